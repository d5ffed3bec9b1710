#include "protocol/json_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocol/utf8.h"

static const char replacement[] = "\xEF\xBF\xBD";

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static char short_escape(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

/* Spells one sequence of the input into piece; *ret_used says how many bytes it was. */
static size_t spell(const uint8_t *at, const uint8_t *end, char piece[8], size_t *ret_used)
{
    static const char digits[] = "0123456789abcdef";
    size_t length = nsp_utf8_next(at, end);
    *ret_used = length > 0 ? length : 1;
    if (length == 0 || *at == 0) {
        memcpy(piece, replacement, 3);
        return 3;
    }
    char escape = short_escape(*at);
    if (escape) {
        piece[0] = '\\';
        piece[1] = escape;
        return 2;
    }
    if (*at < 0x20) {
        memcpy(piece, "\\u00", 4);
        piece[4] = digits[*at >> 4];
        piece[5] = digits[*at & 15];
        return 6;
    }
    memcpy(piece, at, length);
    return length;
}

size_t nsp_json_text_length(const void *bytes, size_t n)
{
    if (n == 0)
        return 2;
    const uint8_t *at = bytes, *end = at + n;
    size_t length = 2;
    while (at < end) {
        if (is_plain(*at)) {
            at++;
            length++;
            continue;
        }
        char piece[8];
        size_t used;
        length += spell(at, end, piece, &used);
        at += used;
    }
    return length;
}

size_t nsp_json_text_write(char *target, const void *bytes, size_t n)
{
    char *to = target;
    *to++ = '"';
    for (const uint8_t *at = bytes, *end = n > 0 ? at + n : at; at < end;) {
        if (is_plain(*at)) {
            *to++ = (char)*at++;
            continue;
        }
        char piece[8];
        size_t used;
        size_t length = spell(at, end, piece, &used);
        memcpy(to, piece, length);
        to += length;
        at += used;
    }
    *to++ = '"';
    return (size_t)(to - target);
}
