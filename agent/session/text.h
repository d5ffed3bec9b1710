/* Text mode: newline-delimited JSON-RPC 2.0 (PROTOCOL.md sections 1 and 10).
 *
 * Each line is a request and opens a stream. There are no frames, no credit and no keepalive; what
 * handlers pull becomes notifications with base64, and counts as consumed when the socket has taken
 * everything that was queued.
 */
#ifndef AGENT_TEXT_H
#define AGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;
struct stream;

struct text {
    size_t scanned; /* bytes of the input without a newline */
    bool skipping;  /* the rest of a line that is too long */
    uint64_t last_id;
    struct stream *unconfirmed; /* streams with bytes in the queue */
};

/* The stream ends: its bytes need no confirmation any more. */
void text_forget(struct session *session, struct stream *stream);

#endif
