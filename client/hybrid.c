#include "client/hybrid.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char keyword[] = "OK ";
enum { KEYWORD = sizeof keyword - 1, DIGITS = 10 };

size_t nsp_hybrid_request(uint32_t port, char ret_line[NSP_HYBRID_REQUEST_SIZE])
{
    char line[NSP_HYBRID_REQUEST_SIZE + 1];
    int length = snprintf(line, sizeof line, "CONNECT %" PRIu32 "\n", port);
    memcpy(ret_line, line, (size_t)length);
    return (size_t)length;
}

/* 1 at the line's end, 0 when the byte fits, -1 when it does not. */
static int step(struct nsp_hybrid *hybrid, char byte)
{
    unsigned position = hybrid->position++;
    if (position < KEYWORD)
        return byte == keyword[position] ? 0 : -1;
    if (byte == '\n')
        return position > KEYWORD ? 1 : -1;
    if (byte < '0' || byte > '9' || position >= KEYWORD + DIGITS)
        return -1;
    hybrid->number = hybrid->number * 10 + (uint64_t)(byte - '0');
    return hybrid->number <= UINT32_MAX ? 0 : -1;
}

int nsp_hybrid_feed(struct nsp_hybrid *hybrid, const void *bytes, size_t length, size_t *ret_used,
                    uint32_t *ret_port, struct nsp_error *err)
{
    const char *text = bytes;
    for (size_t i = 0; i < length; i++) {
        int result = step(hybrid, text[i]);
        if (result < 0)
            return nsp_fail(err, NSP_E_PROTOCOL,
                            "the hybrid socket answered byte 0x%02x where \"OK number\" belongs",
                            (unsigned char)text[i]);
        if (result > 0) {
            *ret_used = i + 1;
            *ret_port = (uint32_t)hybrid->number;
            return 1;
        }
    }
    *ret_used = length;
    return 0;
}
