/* Mounting, see mount(2): one entry of a table, and what is mounted now. */
#ifndef AGENT_MOUNT_H
#define AGENT_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/error.h"

struct mount_entry {
    const char *source, *target, *type;
    unsigned long flags; /* MS_* */
    const char *data;    /* of the file system; NULL: none */
    bool optional;       /* this kernel may not have it */
};

/* Makes the target (0755, with its parents) and mounts. *ret_was_there: something of this type, or
 * anything for which the kernel says EBUSY, is mounted there already, and nothing was done. SYSTEM
 * with the target as object. ret_was_there may be NULL. */
int mount_entry_apply(const struct mount_entry *entry, bool *ret_was_there, struct nsp_error *err);

/* Whether path itself is a mount point of this file system type, see statfs(2). type: "proc",
 * "sysfs", "devtmpfs", "tmpfs", "devpts", "cgroup2"; others are never said to be there. */
bool mount_is_type(const char *path, const char *type);

/* A directory and its parents, mode 0755; there already is success. */
int mount_make_directory(const char *path, struct nsp_error *err);

/* Option words as mount(8) has them ("ro,nosuid,mode=1777"): the known flags, and the rest for the
 * file system in target. EXHAUSTED when that does not fit. */
int mount_parse_options(const char *options, unsigned long *ret_flags, char *target,
                        size_t capacity, struct nsp_error *err);

/* One line of /proc/self/mountinfo, proc(5), unescaped; points into the reader's buffer. */
struct mount_info {
    unsigned major, minor;
    const char *root, *target, *type, *source;
    bool is_read_only;
};

/* Calls visit for each mount, in the order of the file, until it returns false. Lines that do not
 * fit 4 KiB are left out. SYSTEM. */
int mount_each(bool (*visit)(void *arg, const struct mount_info *info), void *arg,
               struct nsp_error *err);

#endif
