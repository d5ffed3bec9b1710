/* Base64 of RFC 4648 section 4, with padding. Pure: no memory is allocated. */
#ifndef NSP_BASE64_H
#define NSP_BASE64_H

#include <stddef.h>

#include "protocol/error.h"

/* Characters that n bytes become, without a NUL; n is at most SIZE_MAX / 2. */
static inline size_t nsp_base64_encoded_length(size_t n)
{
    return (n / 3 + (n % 3 != 0)) * 4;
}

/* Room that is always enough to decode length characters. */
static inline size_t nsp_base64_decoded_room(size_t length)
{
    return length / 4 * 3;
}

/* Writes exactly nsp_base64_encoded_length(n) characters, no NUL, and returns that number. */
size_t nsp_base64_encode(char *target, const void *bytes, size_t n);

/* Strict: no white space, full padding, unused bits zero. target has nsp_base64_decoded_room bytes
 * and may be text itself. On error, INVALID_PARAMS, target's content is undefined. */
int nsp_base64_decode(void *target, const char *text, size_t length, size_t *ret_n,
                      struct nsp_error *err);

#endif
