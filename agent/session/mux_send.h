/* Binary mode's output: frames into the connection's queue, data straight to the socket.
 *
 * All fail with EXHAUSTED when the queue is full; then the connection is of no use any more, since
 * a part may be queued. See struct session_mode for what most of them mean.
 */
#ifndef AGENT_MUX_SEND_H
#define AGENT_MUX_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/session/stream.h"
#include "protocol/error.h"

struct session;

int mux_send_respond(struct session *session, const struct stream *stream, const char *text,
                     size_t length, bool is_error, struct nsp_error *err);
/* A response to a request that never became a stream. */
int mux_send_error(struct session *session, uint32_t id, const struct nsp_error *why,
                   struct nsp_error *err);
int mux_send_notify(struct session *session, const struct stream *stream, const char *method,
                    const char *params, size_t length, struct nsp_error *err);
int mux_send_piece(struct session *session, struct stream *stream, const struct stream_piece *piece,
                   struct nsp_error *err);
int mux_send_credit(struct session *session, const struct stream *stream, uint8_t channel,
                    struct nsp_error *err);
int mux_send_ping(struct session *session, struct nsp_error *err);
int mux_send_pong(struct session *session, uint64_t number, struct nsp_error *err);
int mux_send_goodbye(struct session *session, const struct nsp_error *why, struct nsp_error *err);

#endif
