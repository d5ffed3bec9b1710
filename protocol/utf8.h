/* Well-formed UTF-8 as RFC 3629 and table 3-7 of the Unicode Standard have it. Pure. */
#ifndef NSP_UTF8_H
#define NSP_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length (1 to 4) of the sequence at `at`, which is before end; 0 when it is ill-formed. */
size_t nsp_utf8_next(const uint8_t *at, const uint8_t *end);

/* The code point of a well-formed sequence. */
uint32_t nsp_utf8_code_point(const uint8_t *at, size_t length);

/* True when the bytes are well-formed and hold no NUL. */
bool nsp_utf8_is_text(const void *bytes, size_t n);

#endif
