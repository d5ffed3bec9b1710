#include "agent/machine/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/machine/mount.h"

/* Numbers: the kernel's Documentation/admin-guide/devices.txt. */
static const struct {
    const char *path;
    unsigned major, minor;
    mode_t mode;
} nodes[] = {
    {"/dev/null", 1, 3, 0666},   {"/dev/zero", 1, 5, 0666},    {"/dev/full", 1, 7, 0666},
    {"/dev/random", 1, 8, 0666}, {"/dev/urandom", 1, 9, 0666}, {"/dev/kmsg", 1, 11, 0644},
    {"/dev/tty", 5, 0, 0666},    {"/dev/console", 5, 1, 0600},
};

static const struct {
    const char *path, *target;
} links[] = {
    {"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "fd/0"},       {"/dev/stdout", "fd/1"},
    {"/dev/stderr", "fd/2"},      {"/dev/core", "/proc/kcore"}, {"/dev/ptmx", "pts/ptmx"},
};

static int make_nodes(struct nsp_error *err)
{
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        mode_t mask = umask(0);
        int result =
            mknod(nodes[i].path, S_IFCHR | nodes[i].mode, makedev(nodes[i].major, nodes[i].minor));
        umask(mask);
        if (result < 0 && errno != EEXIST)
            return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mknod", nodes[i].path);
    }
    return 0;
}

int devices_mount(struct nsp_error *err)
{
    struct mount_entry entry = {
        .source = "dev",
        .target = "/dev",
        .type = "devtmpfs",
        .flags = MS_NOSUID,
        .data = "mode=0755",
    };
    if (mount_entry_apply(&entry, NULL, err) == 0)
        return 0;
    entry.type = "tmpfs";
    if (mount_entry_apply(&entry, NULL, err) < 0)
        return -1;
    return make_nodes(err);
}

int devices_make_links(struct nsp_error *err)
{
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i].target, links[i].path) < 0 && errno != EEXIST)
            return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "symlink", links[i].path);
    return 0;
}

int devices_open_console(struct nsp_error *err)
{
    struct stat status;
    if (fstat(STDERR_FILENO, &status) == 0 && S_ISCHR(status.st_mode))
        return 0;
    int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", "/dev/console");
    for (int standard = 0; standard <= STDERR_FILENO; standard++)
        dup2(fd, standard);
    close(fd);
    return 0;
}
