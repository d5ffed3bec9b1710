/* File systems: what every program expects, and the volumes of the configuration. */
#ifndef AGENT_BOOT_MOUNTS_H
#define AGENT_BOOT_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/boot/config.h"

struct mounts_request {
    const char *root; /* before every path; "" but for tests */
    bool tmp;         /* /tmp, unless something is in it */
};

/* /dev/shm and, where the kernel has them, the others. Failures of the optional ones are told in
 * detail only. SYSTEM with the target as object, after all were tried. */
int mounts_apply(const struct mounts_request *request, char *detail, size_t capacity,
                 struct nsp_error *err);

/* Mounts the volumes, those nearer to the root first. Failures of those that are not required are
 * told in detail only. The error is that of the first required one, after all were tried. */
int mounts_volumes(const struct config_mount *list, size_t count, char *detail, size_t capacity,
                   struct nsp_error *err);

/* The program "nullspace-agent mount-volumes FILE": the volumes of that configuration, since
 * mounting one may take its time. An errand (errand.h): prints the detail, returns its status. */
int mounts_main(const char *config_path);

#endif
