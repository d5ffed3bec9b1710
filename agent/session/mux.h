/* Binary mode: frames in and out (PROTOCOL.md sections 2, 3 and 6).
 *
 * Frames are cut from the input one by one. DATA is passed on as it comes; all other payloads are
 * short or JSON and wait until they are whole. A REQUEST in several parts is gathered in its
 * stream; all parts that a connection has under way are limited together.
 */
#ifndef AGENT_MUX_H
#define AGENT_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/idmap.h"

struct mux {
    bool prefaced;
    uint32_t last_id; /* of the client's streams */
    /* The DATA frame whose payload is being passed on. */
    uint32_t data_stream, data_left, data_skip;
    uint8_t data_channel;
    size_t partial_bytes;
    struct idmap discarding; /* streams refused before their REQUEST was whole */
};

#endif
