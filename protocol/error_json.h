/* An error as the JSON of PROTOCOL.md section 4: {"code":…,"message":…,"data":{…}}. Pure, no
 * memory: it must work when there is none. Bytes that are not UTF-8 become U+FFFD. */
#ifndef NSP_ERROR_JSON_H
#define NSP_ERROR_JSON_H

#include <stddef.h>

#include "protocol/error.h"

enum { NSP_ERROR_JSON_SIZE = 4096 }; /* always enough */

/* Writes NUL-terminated text; returns its length. With less capacity than it takes: 0 and an empty
 * text. errno, op and object are left out when unknown; an empty message is the code's text. */
size_t nsp_error_json(const struct nsp_error *err, char *target, size_t capacity);

#endif
