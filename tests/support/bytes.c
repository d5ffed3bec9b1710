#include "tests/support/bytes.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>

size_t bytes_from_hex(const char *text, uint8_t *target, size_t capacity)
{
    size_t count = 0;
    while (*text) {
        unsigned value;
        if (*text == ' ') {
            text++;
            continue;
        }
        ck_assert(isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]));
        ck_assert_int_eq(sscanf(text, "%2x", &value), 1);
        ck_assert_uint_lt(count, capacity);
        target[count++] = (uint8_t)value;
        text += 2;
    }
    return count;
}
