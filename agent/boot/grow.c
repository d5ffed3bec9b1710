/* ext4 is told how many blocks it is to have, XFS as well, btrfs finds out by itself. The
 * structures are those of the kernel, which has no header for all of them: ioctl numbers from
 * fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h. */
#include "agent/boot/grow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/process/errand.h"
#include "protocol/cleanup.h"

enum { PATH_BYTES = 4096, LINE_BYTES = 8192, SECTOR = 512 };

#define EXT4_RESIZE _IOW('f', 16, uint64_t)

struct xfs_geometry {
    uint32_t block_size, rt_extent_size, ag_blocks, ag_count, log_blocks;
    uint32_t sector_size, inode_size, inode_max_percent;
    uint64_t data_blocks, rt_blocks, rt_extents, log_start;
    uint8_t uuid[16];
    uint32_t stripe_unit, stripe_width;
    int32_t version;
    uint32_t flags, log_sector_size, rt_sector_size, directory_block_size;
};
_Static_assert(sizeof(struct xfs_geometry) == 112, "as the kernel has it");
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)

struct xfs_growth {
    uint64_t blocks;
    uint32_t inode_max_percent;
};
#define XFS_GROW _IOW('X', 110, struct xfs_growth)

/* Bytes; 0: not known. */
static uint64_t device_size(dev_t device)
{
    char path[64], text[32];
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/size", major(device), minor(device));
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    return strtoull(text, NULL, 10) * SECTOR;
}

static uint64_t total_bytes(int fd)
{
    struct statfs status;
    return fstatfs(fd, &status) < 0 ? 0 : (uint64_t)status.f_blocks * (uint64_t)status.f_bsize;
}

static int grow_ext4(int fd, uint64_t bytes, uint64_t block_size)
{
    uint64_t blocks = bytes / block_size;
    return ioctl(fd, EXT4_RESIZE, &blocks);
}

static int grow_xfs(int fd, uint64_t bytes)
{
    struct xfs_geometry geometry;
    if (ioctl(fd, XFS_GEOMETRY, &geometry) < 0 || geometry.block_size == 0)
        return -1;
    struct xfs_growth growth = {bytes / geometry.block_size, geometry.inode_max_percent};
    return growth.blocks <= geometry.data_blocks ? 0 : ioctl(fd, XFS_GROW, &growth);
}

static int grow_btrfs(int fd)
{
    struct btrfs_ioctl_vol_args arguments = {.name = "max"};
    return ioctl(fd, BTRFS_IOC_RESIZE, &arguments);
}

static enum errand_status say(enum errand_status status, const char *what, const char *reason)
{
    printf("%s%s%s\n", what, reason ? ": " : "", reason ? reason : "");
    return status;
}

static enum errand_status report(int fd, uint64_t before)
{
    uint64_t after = total_bytes(fd);
    if (after == before)
        return say(ERRAND_NOTHING, "the file system has the size of its device", NULL);
    printf("from %llu to %llu MiB\n", (unsigned long long)(before >> 20),
           (unsigned long long)(after >> 20));
    return ERRAND_DONE;
}

static enum errand_status grow(int fd, const struct statfs *type, const struct stat *status)
{
    uint64_t before = total_bytes(fd), bytes = device_size(status->st_dev);
    int result;
    switch ((unsigned long)type->f_type) {
    case EXT4_SUPER_MAGIC:
        if (bytes == 0)
            return say(ERRAND_NOTHING, "the size of the device is not known", NULL);
        result = grow_ext4(fd, bytes, (uint64_t)type->f_bsize);
        break;
    case XFS_SUPER_MAGIC:
        if (bytes == 0)
            return say(ERRAND_NOTHING, "the size of the device is not known", NULL);
        result = grow_xfs(fd, bytes);
        break;
    case BTRFS_SUPER_MAGIC:
        result = grow_btrfs(fd);
        break;
    default:
        return say(ERRAND_NOTHING, "not a file system that can grow", NULL);
    }
    if (result < 0)
        return say(ERRAND_FAILED, "the kernel refuses to grow it", strerror(errno));
    return report(fd, before);
}

/* Octal digits stand for blanks and the like; in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned value;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &value) == 1 && strlen(from) >= 4) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* The writable layer of an overlay on path, from the options in proc(5)'s mountinfo. */
static bool find_upper(const char *path, char target[PATH_BYTES])
{
    static char line[LINE_BYTES];
    bool is_found = false;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fgets(line, sizeof line, mounts)) {
        char mounted[PATH_BYTES];
        const char *upper = strstr(line, ",upperdir=");
        if (!upper || !strstr(line, " - overlay ") ||
            sscanf(line, "%*s %*s %*s %*s %4095s", mounted) != 1)
            continue;
        unescape(mounted);
        if (strcmp(mounted, path) != 0)
            continue;
        upper += strlen(",upperdir=");
        snprintf(target, PATH_BYTES, "%.*s", (int)strcspn(upper, ", \n"), upper);
        unescape(target);
        is_found = true;
    }
    if (mounts)
        fclose(mounts);
    return is_found;
}

static int open_writable(const char *path, struct statfs *ret_type)
{
    char upper[PATH_BYTES];
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, ret_type) < 0)
        return -1;
    if ((unsigned long)ret_type->f_type != OVERLAYFS_SUPER_MAGIC)
        return STEAL_FD(fd);
    if (!find_upper(path, upper)) {
        errno = ENOENT;
        return -1;
    }
    AUTO_FD int below = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return below < 0 || fstatfs(below, ret_type) < 0 ? -1 : STEAL_FD(below);
}

int grow_main(const char *path)
{
    struct statfs type;
    struct stat status;
    struct statvfs flags;
    AUTO_FD int fd = open_writable(path, &type);
    if (fd < 0)
        return say(ERRAND_NOTHING, "the writable file system cannot be reached", strerror(errno));
    if (fstat(fd, &status) < 0 || fstatvfs(fd, &flags) < 0)
        return say(ERRAND_FAILED, "stat", strerror(errno));
    if (flags.f_flag & ST_RDONLY)
        return say(ERRAND_NOTHING, "the file system is read-only", NULL);
    return grow(fd, &type, &status);
}
