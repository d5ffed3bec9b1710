/* Bytes as a JSON string (RFC 8259 section 7), in quotes. Pure: no memory is allocated.
 *
 * Escaped is only what must be: quote, backslash and control characters. Bytes that are not UTF-8
 * become U+FFFD, so that the text is always acceptable to nsp_json_check; a NUL does as well.
 */
#ifndef NSP_JSON_TEXT_H
#define NSP_JSON_TEXT_H

#include <stddef.h>

enum { NSP_JSON_TEXT_GROWTH = 6 }; /* at most so many characters a byte, and two quotes */

/* Characters that nsp_json_text_write writes. */
size_t nsp_json_text_length(const void *bytes, size_t n);

/* Writes exactly nsp_json_text_length(bytes, n) characters, no NUL, and returns that number. */
size_t nsp_json_text_write(char *target, const void *bytes, size_t n);

#endif
