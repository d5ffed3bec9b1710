/* Who this guest is: host name, /etc/hostname, /etc/hosts, /etc/machine-id. */
#ifndef AGENT_BOOT_IDENTITY_H
#define AGENT_BOOT_IDENTITY_H

#include <stddef.h>

#include "protocol/error.h"

struct identity_request {
    const char *etc;      /* "/etc" */
    const char *fallback; /* a directory for what etc cannot take, "/run/nullspace" */
    const char *hostname; /* NULL: what /etc/hostname says */
    const char *domain;   /* NULL: none */
    char *const *hosts;   /* lines for /etc/hosts, NULL-terminated; NULL: none */
};

/* hosts(5) gets a marked block, in the place of an earlier one: the loopback addresses unless the
 * rest of the file has localhost, the own name, and the lines. machine-id(5) is made when it is
 * missing, empty or "uninitialized". Everything is tried; the error is the first one's:
 * INVALID_PARAMS, EXHAUSTED (a file beyond 64 KiB), PERMISSION or SYSTEM. */
int identity_apply(const struct identity_request *request, struct nsp_error *err);

#endif
