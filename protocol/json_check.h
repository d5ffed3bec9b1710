/* Strict check of a JSON text (RFC 8259) before any parser sees it.
 *
 * Refused besides what RFC 8259 refuses: ill-formed UTF-8, \u0000 and unpaired surrogates,
 * duplicate keys in one object (compared after unescaping), anything deeper than
 * NSP_LIMIT_JSON_DEPTH, more values than NSP_LIMIT_JSON_NODES, more bytes than
 * NSP_LIMIT_JSON_MESSAGE, numbers beyond what a double holds or longer than 63 characters, a byte
 * order mark, and anything but white space after the value. The top level must be an object.
 *
 * Memory is allocated, and given back before the return, only while more than 128 keys are open.
 * The time is O(n log n) for every text.
 */
#ifndef NSP_JSON_CHECK_H
#define NSP_JSON_CHECK_H

#include <stddef.h>

#include "protocol/error.h"
#include "protocol/utf8.h"

/* PARSE with the byte position and the reason; EXHAUSTED for depth, values, size and memory. */
int nsp_json_check(const char *text, size_t length, struct nsp_error *err);

/* The same for a text of several lines: the reason alone, and on PARSE where it is (bytes from the
 * start; length at the end). */
int nsp_json_check_place(const char *text, size_t length, size_t *ret_offset,
                         struct nsp_error *err);

/* True when the bytes are well-formed UTF-8 (RFC 3629) without NUL. */
static inline bool nsp_json_is_text(const void *bytes, size_t length)
{
    return nsp_utf8_is_text(bytes, length);
}

#endif
