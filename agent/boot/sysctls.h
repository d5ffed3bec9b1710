/* Kernel parameters, see sysctl(8) and proc(5). */
#ifndef AGENT_BOOT_SYSCTLS_H
#define AGENT_BOOT_SYSCTLS_H

#include <stddef.h>

#include "protocol/error.h"

/* Writes each of the settings "NAME=VALUE" below directory ("/proc/sys"). A name has dots or
 * slashes between its parts; a slash in a name with dots stands for a dot inside a part, as in
 * "net.ipv4.conf.eth0/1.forwarding". All are tried; the error is the first one's: INVALID_PARAMS
 * for a name that is none, NOT_FOUND, PERMISSION or SYSTEM, with the name as object. */
int sysctls_apply(const char *directory, char *const *settings, size_t count,
                  struct nsp_error *err);

#endif
