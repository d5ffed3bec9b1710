#include "protocol/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value of a character plus one, so that 0 stands for all that do not belong. */
#define RUN8(first, value)                                                                         \
    [first] = (value) + 1, [(first) + 1] = (value) + 2, [(first) + 2] = (value) + 3,               \
    [(first) + 3] = (value) + 4, [(first) + 4] = (value) + 5, [(first) + 5] = (value) + 6,         \
    [(first) + 6] = (value) + 7, [(first) + 7] = (value) + 8
static const uint8_t values[256] = {
    RUN8('A', 0),  RUN8('I', 8),  RUN8('Q', 16), ['Y'] = 25, ['Z'] = 26,
    RUN8('a', 26), RUN8('i', 34), RUN8('q', 42), ['y'] = 51, ['z'] = 52,
    RUN8('0', 52), ['8'] = 61,    ['9'] = 62,    ['+'] = 63, ['/'] = 64,
};
#undef RUN8

size_t nsp_base64_encode(char *target, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;
    char *to = target;
    for (; n >= 3; n -= 3, from += 3) {
        uint32_t group = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = alphabet[group >> 6 & 63];
        *to++ = alphabet[group & 63];
    }
    if (n > 0) {
        uint32_t group = (uint32_t)from[0] << 16 | (n == 2 ? (uint32_t)from[1] << 8 : 0);
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = n == 2 ? alphabet[group >> 6 & 63] : '=';
        *to++ = '=';
    }
    return (size_t)(to - target);
}

/* Decodes one group of four into at most three bytes; how many, or -1. */
static int decode_group(uint8_t *to, const char *from, bool last)
{
    int kept = 3;
    if (last && from[3] == '=')
        kept = from[2] == '=' ? 1 : 2;
    uint32_t group = 0;
    for (int i = 0; i <= kept; i++) {
        uint8_t value = values[(unsigned char)from[i]];
        if (value == 0)
            return -1;
        group |= (uint32_t)(value - 1) << (18 - 6 * i);
    }
    /* Bits that no byte holds must be zero: one text for one value. */
    if ((group & ((UINT32_C(1) << (24 - 8 * kept)) - 1)) != 0)
        return -1;
    for (int i = 0; i < kept; i++)
        to[i] = (uint8_t)(group >> (16 - 8 * i));
    return kept;
}

int nsp_base64_decode(void *target, const char *text, size_t length, size_t *ret_n,
                      struct nsp_error *err)
{
    if (length % 4 != 0)
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "base64 of %zu characters lacks its padding",
                        length);
    uint8_t *to = target;
    for (size_t at = 0; at < length; at += 4) {
        int n = decode_group(to, text + at, at + 4 == length);
        if (n < 0)
            return nsp_fail(err, NSP_E_INVALID_PARAMS, "not base64 at character %zu", at);
        to += n;
    }
    *ret_n = (size_t)(to - (uint8_t *)target);
    return 0;
}
