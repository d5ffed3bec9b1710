/* Random bytes from the kernel (getrandom(2)). */
#ifndef AGENT_RANDOM_H
#define AGENT_RANDOM_H

#include <stddef.h>

#include "protocol/error.h"

/* At most 256 bytes. Does not wait for a guest that has no entropy yet: then the weaker source of
 * the same call is used (GRND_INSECURE, Linux 5.6), so use it for names, not for keys. */
int random_name_bytes(void *ret_bytes, size_t length, struct nsp_error *err);

/* At most 256 bytes, fit for keys; waits for entropy. */
int random_key_bytes(void *ret_bytes, size_t length, struct nsp_error *err);

/* Twice `bytes` (at most 64) hexadecimal digits and a NUL, from random_name_bytes. */
int random_hex(char *ret_text, size_t bytes, struct nsp_error *err);

#endif
