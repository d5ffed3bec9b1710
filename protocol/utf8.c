#include "protocol/utf8.h"

#include <string.h>

static bool between(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

size_t nsp_utf8_next(const uint8_t *at, const uint8_t *end)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (!between(first, 0xC2, 0xF4) || (size_t)(end - at) < length)
        return 0;
    /* The second byte's range keeps out overlong forms, surrogates and what is beyond U+10FFFF. */
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (!between(at[1], low, high))
        return 0;
    for (size_t i = 2; i < length; i++)
        if (!between(at[i], 0x80, 0xBF))
            return 0;
    return length;
}

uint32_t nsp_utf8_code_point(const uint8_t *at, size_t length)
{
    if (length == 1)
        return at[0];
    uint32_t point = at[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++)
        point = point << 6 | (at[i] & 0x3F);
    return point;
}

bool nsp_utf8_is_text(const void *bytes, size_t n)
{
    if (n == 0)
        return true;
    if (memchr(bytes, 0, n))
        return false;
    const uint8_t *at = bytes, *end = at + n;
    while (at < end) {
        size_t length = nsp_utf8_next(at, end);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}
