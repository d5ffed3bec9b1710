#include "protocol/buf.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 256 };

void nsp_buf_init(struct nsp_buf *buf, size_t ceiling)
{
    *buf = (struct nsp_buf){.ceiling = ceiling};
}

void nsp_buf_done(struct nsp_buf *buf)
{
    free(buf->data);
    *buf = (struct nsp_buf){.ceiling = buf->ceiling};
}

static int grow(struct nsp_buf *buf, size_t needed, struct nsp_error *err)
{
    /* Doubling bounds the copying of a buffer that grows by little; what comes at once is not
     * rounded up to twice its size. */
    size_t capacity = buf->capacity ? 2 * buf->capacity : SMALLEST;
    if (capacity < needed)
        capacity = (needed + SMALLEST - 1) & ~(size_t)(SMALLEST - 1);
    if (capacity > buf->ceiling)
        capacity = buf->ceiling;
    uint8_t *data = malloc(capacity);
    if (!data)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a buffer of %zu bytes", capacity);
    size_t length = nsp_buf_length(buf);
    if (length > 0)
        memcpy(data, nsp_buf_bytes(buf), length);
    free(buf->data);
    buf->data = data;
    buf->capacity = capacity;
    buf->start = 0;
    buf->end = length;
    return 0;
}

int nsp_buf_reserve(struct nsp_buf *buf, size_t length, uint8_t **ret_room, struct nsp_error *err)
{
    size_t used = nsp_buf_length(buf);
    if (length > buf->ceiling - used)
        return nsp_fail(err, NSP_E_EXHAUSTED, "buffer limit of %zu bytes reached", buf->ceiling);
    if (buf->capacity - buf->end < length) {
        /* Moving costs at most what was consumed since the last move when half is free. */
        if (used + length <= buf->capacity && buf->start >= buf->capacity / 2) {
            memmove(buf->data, buf->data + buf->start, used);
            buf->start = 0;
            buf->end = used;
        } else if (grow(buf, used + length, err) < 0) {
            return -1;
        }
    }
    *ret_room = buf->data + buf->end;
    return 0;
}

void nsp_buf_commit(struct nsp_buf *buf, size_t length)
{
    buf->end += length;
}

int nsp_buf_append(struct nsp_buf *buf, const void *bytes, size_t length, struct nsp_error *err)
{
    if (length == 0)
        return 0;
    uint8_t *room;
    if (nsp_buf_reserve(buf, length, &room, err) < 0)
        return -1;
    memcpy(room, bytes, length);
    nsp_buf_commit(buf, length);
    return 0;
}

void nsp_buf_consume(struct nsp_buf *buf, size_t length)
{
    buf->start += length;
    if (buf->start == buf->end)
        buf->start = buf->end = 0;
}

void nsp_buf_shrink(struct nsp_buf *buf, size_t keep)
{
    if (nsp_buf_length(buf) == 0 && buf->capacity > keep) {
        free(buf->data);
        buf->data = NULL;
        buf->start = buf->end = buf->capacity = 0;
    }
}
