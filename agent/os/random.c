#include "agent/os/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

#ifndef GRND_INSECURE
#define GRND_INSECURE 0x0004
#endif

enum { CALL_BYTES = 256, HEX_BYTES = 64 }; /* up to 256 bytes come whole or not at all */

static int fill(void *ret_bytes, size_t length, unsigned flags, struct nsp_error *err)
{
    ssize_t got;
    if (length > CALL_BYTES)
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "more than %d random bytes", CALL_BYTES);
    do
        got = getrandom(ret_bytes, length, flags);
    while (got < 0 && errno == EINTR);
    return got < 0 ? nsp_fail_errno(err, NSP_E_SYSTEM, errno, "getrandom", NULL) : 0;
}

int random_name_bytes(void *ret_bytes, size_t length, struct nsp_error *err)
{
    struct nsp_error first = NSP_ERROR_INIT;
    if (fill(ret_bytes, length, GRND_INSECURE, &first) == 0)
        return 0;
    if (first.sys_errno == EINVAL)
        return fill(ret_bytes, length, 0, err);
    if (err)
        *err = first;
    return -1;
}

int random_key_bytes(void *ret_bytes, size_t length, struct nsp_error *err)
{
    return fill(ret_bytes, length, 0, err);
}

int random_hex(char *ret_text, size_t bytes, struct nsp_error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[HEX_BYTES];
    if (bytes > HEX_BYTES)
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "more than %d random bytes", HEX_BYTES);
    if (random_name_bytes(raw, bytes, err) < 0)
        return -1;
    for (size_t i = 0; i < bytes; i++) {
        ret_text[2 * i] = digits[raw[i] >> 4];
        ret_text[2 * i + 1] = digits[raw[i] & 15];
    }
    ret_text[2 * bytes] = '\0';
    return 0;
}
