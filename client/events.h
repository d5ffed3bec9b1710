/* What arrived on the output channels of a process and was not taken yet, in order: stretches of
 * bytes, gaps and ends. Bytes that follow each other on one channel are one stretch.
 */
#ifndef NSP_EVENTS_H
#define NSP_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/nsclient.h"
#include "protocol/buf.h"

struct nsp_mark {
    uint8_t kind; /* enum nsp_event_kind: DATA, GAP or END */
    uint8_t channel;
    bool truncated;
    uint64_t offset;
    uint64_t length; /* of DATA and GAP */
};

/* The last mark stays out of the buffer, so that it can grow. */
struct nsp_events {
    struct nsp_buf bytes;
    struct nsp_buf marks;
    struct nsp_mark last;
    bool has_last;
};

/* ceiling: of bytes not taken. The marks of that many single bytes are the other bound. */
void nsp_events_init(struct nsp_events *events, size_t ceiling);
void nsp_events_done(struct nsp_events *events);
/* A larger one; a smaller one is ignored. */
void nsp_events_set_ceiling(struct nsp_events *events, size_t ceiling);

/* EXHAUSTED, and then nothing is changed. */
int nsp_events_data(struct nsp_events *events, uint8_t channel, uint64_t offset, const void *bytes,
                    size_t length, struct nsp_error *err);
int nsp_events_gap(struct nsp_events *events, uint8_t channel, uint64_t offset, uint64_t to,
                   struct nsp_error *err);
int nsp_events_end(struct nsp_events *events, uint8_t channel, uint64_t offset, bool truncated,
                   struct nsp_error *err);

static inline size_t nsp_events_length(const struct nsp_events *events)
{
    return nsp_buf_length(&events->bytes);
}

/* The oldest; false when there is none. */
bool nsp_events_front(const struct nsp_events *events, struct nsp_event *ret_event);
/* Takes the oldest, of DATA at most length bytes. */
void nsp_events_take(struct nsp_events *events, size_t length);

#endif
