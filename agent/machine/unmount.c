#include "agent/machine/unmount.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <unistd.h>

#include "agent/machine/mount.h"
#include "protocol/cleanup.h"

enum { TRIES = 5, TEXT_BYTES = 4096, PATH_BYTES = 4096 };

void unmount_sync(void)
{
    AUTO_FD int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0)
        syncfs(root);
    sync();
}

/* Without data of their own; without them nothing here could be found out. */
static const char *const kept_types[] = {"proc",   "sysfs",  "devtmpfs", "cgroup2",
                                         "devpts", "rootfs", "ramfs"};

void unmount_swap(void)
{
    char text[TEXT_BYTES];
    AUTO_FD int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0)
        return;
    text[length] = '\0';
    char *rest = text, *line;
    strsep(&rest, "\n"); /* the heading */
    while ((line = strsep(&rest, "\n"))) {
        line[strcspn(line, " \t")] = '\0';
        if (line[0] == '/')
            swapoff(line);
    }
}

static bool is_kept(const struct mount_info *info)
{
    for (size_t i = 0; i < sizeof kept_types / sizeof kept_types[0]; i++)
        if (strcmp(info->type, kept_types[i]) == 0)
            return true;
    return strcmp(info->target, "/") == 0;
}

/* The mount number `wanted` of those that are not kept, counted from the first. */
struct search {
    unsigned wanted, seen;
    char target[PATH_BYTES];
};

static bool find(void *arg, const struct mount_info *info)
{
    struct search *search = arg;
    if (is_kept(info) || search->seen++ != search->wanted)
        return true;
    snprintf(search->target, sizeof search->target, "%s", info->target);
    return false;
}

static bool count(void *arg, const struct mount_info *info)
{
    *(unsigned *)arg += !is_kept(info);
    return true;
}

/* The file lists a mount after what it is mounted on. Returns how many are left. */
static unsigned unmount_once(int flags)
{
    static struct search search;
    unsigned left = 0;
    mount_each(count, &left, NULL);
    for (unsigned number = left; number-- > 0;) {
        search.wanted = number;
        search.seen = 0;
        search.target[0] = '\0';
        mount_each(find, &search, NULL);
        if (search.target[0])
            umount2(search.target, flags);
    }
    left = 0;
    mount_each(count, &left, NULL);
    return left;
}

static bool make_read_only(void *arg, const struct mount_info *info)
{
    bool has_data = !is_kept(info) || strcmp(info->target, "/") == 0;
    if (has_data && !info->is_read_only &&
        mount(NULL, info->target, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0 &&
        strcmp(info->type, "tmpfs") != 0)
        ++*(unsigned *)arg;
    return true;
}

void unmount_all(void)
{
    unsigned left = UINT32_MAX, before;
    for (int i = 0; i < TRIES && left > 0; i++) {
        before = left;
        left = unmount_once(UMOUNT_NOFOLLOW);
        if (left >= before)
            break;
    }
}

unsigned unmount_rest(void)
{
    unsigned writable = 0;
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL); /* before one that may hang */
    mount_each(make_read_only, &writable, NULL);
    unmount_once(MNT_DETACH | UMOUNT_NOFOLLOW);
    return writable;
}
