/* Shared memory without a name: memfd_create(2), of fixed size. */
#ifndef AGENT_MEMFD_H
#define AGENT_MEMFD_H

#include <stddef.h>

#include "protocol/error.h"

/* A memfd of size zero bytes, close-on-exec, not executable, that can neither grow nor shrink: who
 * maps it cannot be given SIGBUS by another. name: for /proc only. SYSTEM or EXHAUSTED. */
int memfd_new(const char *name, size_t size, int *ret_fd, struct nsp_error *err);

/* No writable mapping and no write from now on, except through mappings that exist already. Kernels
 * before 5.1 cannot do that, and nothing happens. */
void memfd_forbid_new_writers(int fd);

/* UNSUPPORTED unless fd is of exactly that size. */
int memfd_check(int fd, size_t size, struct nsp_error *err);

#endif
