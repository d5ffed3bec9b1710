/* A byte queue with a ceiling: append at the end, consume from the front.
 *
 * Memory is allocated when first needed and kept until nsp_buf_done or nsp_buf_shrink. Growing past
 * the ceiling, or failing to get memory, is EXHAUSTED and leaves the buffer as it was.
 * Not for sharing between threads.
 */
#ifndef NSP_BUF_H
#define NSP_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

struct nsp_buf {
    uint8_t *data; /* use nsp_buf_bytes() */
    size_t start, end, capacity, ceiling;
};

/* ceiling: the most bytes it may ever hold at once. Allocates nothing. */
void nsp_buf_init(struct nsp_buf *buf, size_t ceiling);
void nsp_buf_done(struct nsp_buf *buf);

/* The queued bytes; valid until the next call that changes the buffer. */
static inline const uint8_t *nsp_buf_bytes(const struct nsp_buf *buf)
{
    return buf->data + buf->start;
}
static inline size_t nsp_buf_length(const struct nsp_buf *buf)
{
    return buf->end - buf->start;
}

int nsp_buf_append(struct nsp_buf *buf, const void *bytes, size_t length, struct nsp_error *err);

/* Room for length more bytes at the end: write there, then nsp_buf_commit what was written. */
int nsp_buf_reserve(struct nsp_buf *buf, size_t length, uint8_t **ret_room, struct nsp_error *err);
void nsp_buf_commit(struct nsp_buf *buf, size_t length);

/* Drops length bytes from the front; at most nsp_buf_length. */
void nsp_buf_consume(struct nsp_buf *buf, size_t length);

/* Gives memory back when the buffer is empty and larger than keep bytes. */
void nsp_buf_shrink(struct nsp_buf *buf, size_t keep);

#endif
