#include "agent/boot/nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/machine/mount.h"
#include "protocol/cleanup.h"

enum { PATH_BYTES = 512 };

static const struct node {
    const char *module, *name, *device; /* device: below the class directory */
    mode_t mode;
} nodes[] = {
    {"fuse", "fuse", "fuse", 0666},
    {"tun", "net/tun", "tun", 0666},
};

static bool read_number(const struct nodes_request *request, const struct node *node,
                        dev_t *ret_number)
{
    char path[PATH_BYTES], text[32];
    unsigned major, minor;
    snprintf(path, sizeof path, "%s/%s/dev", request->class, node->device);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return false;
    text[got] = '\0';
    if (sscanf(text, "%u:%u", &major, &minor) != 2)
        return false;
    *ret_number = makedev(major, minor);
    return true;
}

/* Those that the kernel has made are root's alone; what they do is guarded by other means. */
static int open_to_all(const char *path, const struct node *node, struct nsp_error *err)
{
    if (chmod(path, node->mode) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "chmod", path);
    return 1;
}

/* 1: there; 0: this kernel has none. */
static int make(const struct nodes_request *request, const struct node *node, struct nsp_error *err)
{
    char path[PATH_BYTES];
    dev_t number;
    snprintf(path, sizeof path, "%s/%s", request->dev, node->name);
    if (access(path, F_OK) == 0)
        return open_to_all(path, node, err);
    (void)request->load(node->module, NULL);
    if (access(path, F_OK) == 0)
        return open_to_all(path, node, err);
    if (!read_number(request, node, &number))
        return 0;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    if (mount_make_directory(path, err) < 0)
        return -1;
    *slash = '/';
    if (mknod(path, S_IFCHR | node->mode, number) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mknod", path);
    return open_to_all(path, node, err);
}

int nodes_apply(const struct nodes_request *request, char *detail, size_t capacity,
                struct nsp_error *err)
{
    size_t used = 0;
    int result = 0;
    detail[0] = '\0';
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        int made = make(request, &nodes[i], result == 0 ? err : NULL);
        if (made < 0)
            result = -1;
        if (used < capacity)
            used += (size_t)snprintf(detail + used, capacity - used, "%s%s: %s", i ? ", " : "",
                                     nodes[i].name, made > 0 ? "there" : "none");
    }
    return result;
}
