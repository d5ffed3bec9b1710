/* From an initramfs to the real root file system, as switch_root(8) does it.
 *
 * Called by PID 1 with /proc, /sys, /dev and /run mounted. An initramfs cannot be pivoted away
 * (pivot_root(2)): the new root is moved over it and its files are removed.
 */
#ifndef AGENT_ROOT_H
#define AGENT_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/error.h"

struct root_options {
    const char *device;  /* "/dev/vda"; a tag for virtiofs; "tmpfs" */
    const char *type;    /* NULL: found out from the superblock */
    const char *options; /* as in mount(8); NULL: none */
    bool read_only;      /* the device may be so as well: then the root is */
    const char *overlay; /* NULL: none; "tmpfs", or a device with a file system: what is written */
    uint32_t wait_ms;    /* for each device to appear */
    /* Called with a file system's name before it is mounted, so that its module can be loaded. */
    void (*prepare)(void *arg, const char *type);
    void *arg;
};

/* Whether the present root is an initramfs: rootfs, a ramfs or tmpfs. */
bool root_is_initramfs(void);

/* On failure nothing has been moved: the initramfs stays the root. NOT_FOUND (device), UNSUPPORTED
 * (file system), SYSTEM with the path as object. */
int root_switch(const struct root_options *options, struct nsp_error *err);

/* The type of the file system on a device, from its superblock: ext4, squashfs, erofs, xfs or
 * btrfs; NULL when it is none of them. */
const char *root_file_system(const char *device);

#endif
