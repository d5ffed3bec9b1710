/* The new root is put together at /newroot; with an overlay its parts lie below /run/nullspace,
 * where they stay visible. Then /proc, /sys, /dev and /run move into it, and it moves over "/". */
#include "agent/machine/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/machine/mount.h"
#include "protocol/cleanup.h"

#define NEW_ROOT "/newroot"
#define LOWER "/run/nullspace/root.lower"
#define WRITABLE "/run/nullspace/root.writable"
#define UPPER WRITABLE "/upper"
#define WORK WRITABLE "/work"

enum { POLL_MS = 5, OPTIONS_BYTES = 1024, DEPTH_MAX = 32 };

static const struct {
    const char *type;
    off_t offset;
    const char *magic;
    size_t length;
} superblocks[] = {
    {"squashfs", 0, "hsqs", 4},
    {"xfs", 0, "XFSB", 4},
    {"erofs", 1024, "\xe2\xe1\xf5\xe0", 4},
    {"ext4", 1080, "\x53\xef", 2},
    {"btrfs", 65536 + 64, "_BHRfS_M", 8},
};

bool root_is_initramfs(void)
{
    struct statfs status;
    return statfs("/", &status) == 0 &&
           (status.f_type == RAMFS_MAGIC || status.f_type == TMPFS_MAGIC);
}

const char *root_file_system(const char *device)
{
    AUTO_FD int fd = open(device, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; fd >= 0 && i < sizeof superblocks / sizeof superblocks[0]; i++) {
        char found[8];
        if (pread(fd, found, superblocks[i].length, superblocks[i].offset) ==
                (ssize_t)superblocks[i].length &&
            memcmp(found, superblocks[i].magic, superblocks[i].length) == 0)
            return superblocks[i].type;
    }
    return NULL;
}

static bool is_device(const char *name)
{
    return name[0] == '/';
}

static int wait_for(const char *device, uint32_t wait_ms, struct nsp_error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    uint64_t until = clock_now_ns() + wait_ms * CLOCK_NS_PER_MS;
    while (is_device(device) && access(device, F_OK) < 0) {
        if (clock_now_ns() >= until)
            return nsp_fail_on(err, NSP_E_NOT_FOUND, device, "no device %s after %u ms", device,
                               (unsigned)wait_ms);
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int mount_device(const struct root_options *root, const char *device, const char *type,
                        const char *options, unsigned long flags, const char *target,
                        struct nsp_error *err)
{
    char data[OPTIONS_BYTES];
    unsigned long more;
    if (mount_parse_options(options ? options : "", &more, data, sizeof data, err) < 0 ||
        wait_for(device, root->wait_ms, err) < 0 || mount_make_directory(target, err) < 0)
        return -1;
    if (!type)
        type = is_device(device) ? root_file_system(device) : "tmpfs";
    if (!type)
        return nsp_fail_on(err, NSP_E_UNSUPPORTED, device, "no known file system on %s", device);
    if (root->prepare)
        root->prepare(root->arg, type);
    if (mount(device, target, type, flags | more, data) < 0 &&
        ((errno != EACCES && errno != EROFS) || /* the device is read-only */
         mount(device, target, type, flags | more | MS_RDONLY, data) < 0))
        return nsp_fail_errno(err, errno == ENODEV ? NSP_E_UNSUPPORTED : NSP_E_SYSTEM, errno,
                              "mount", device);
    return 0;
}

static int mount_overlay(struct nsp_error *err)
{
    /* With these it can be exported, and fanotify(7) works on it; not every kernel or upper file
     * system lets them. */
    static const char *const variants[] = {"lowerdir=" LOWER ",upperdir=" UPPER ",workdir=" WORK
                                           ",index=on,nfs_export=on",
                                           "lowerdir=" LOWER ",upperdir=" UPPER ",workdir=" WORK};
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (mount("overlay", NEW_ROOT, "overlay", 0, variants[i]) == 0)
            return 0;
    return nsp_fail_errno(err, errno == ENODEV ? NSP_E_UNSUPPORTED : NSP_E_SYSTEM, errno, "mount",
                          "overlay");
}

static void take_down(void)
{
    umount2(NEW_ROOT, MNT_DETACH);
    umount2(WRITABLE, MNT_DETACH);
    umount2(LOWER, MNT_DETACH);
}

static int build(const struct root_options *root, struct nsp_error *err)
{
    if (!root->overlay)
        return mount_device(root, root->device, root->type, root->options,
                            root->read_only ? MS_RDONLY : 0, NEW_ROOT, err);
    if (mount_device(root, root->device, root->type, root->options, MS_RDONLY, LOWER, err) < 0 ||
        mount_device(root, root->overlay, NULL, NULL, 0, WRITABLE, err) < 0 ||
        mount_make_directory(UPPER, err) < 0 || mount_make_directory(WORK, err) < 0 ||
        mount_make_directory(NEW_ROOT, err) < 0)
        return -1;
    if (root->prepare)
        root->prepare(root->arg, "overlay");
    return mount_overlay(err);
}

/* Everything on the initramfs itself: its memory is free then. The program that runs from it keeps
 * its own file. */
static void remove_tree(int directory, dev_t device, int depth)
{
    DIR *list = depth < DEPTH_MAX ? fdopendir(directory) : NULL;
    struct dirent *entry;
    if (!list) {
        close(directory);
        return;
    }
    while ((entry = readdir(list))) {
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(list), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            status.st_dev != device)
            continue;
        if (S_ISDIR(status.st_mode)) {
            int inner =
                openat(dirfd(list), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (inner >= 0)
                remove_tree(inner, device, depth + 1);
        }
        unlinkat(dirfd(list), entry->d_name, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
    }
    closedir(list);
}

static const char *const moved[] = {"/proc", "/sys", "/dev", "/run"};

enum { MOVED = sizeof moved / sizeof moved[0], PLACE_BYTES = 32 };

/* Without them nothing would work in the new root: better to stay in this one. */
static int make_places(struct nsp_error *err)
{
    for (int i = 0; i < MOVED; i++) {
        char place[PLACE_BYTES];
        struct stat status;
        snprintf(place, sizeof place, NEW_ROOT "%s", moved[i]);
        mkdir(place, 0755);
        if (stat(place, &status) < 0 || !S_ISDIR(status.st_mode))
            return nsp_fail_on(err, NSP_E_NOT_FOUND, moved[i],
                               "the root has no directory %s, and none can be made", moved[i]);
    }
    return 0;
}

static int move_into(void)
{
    for (int i = 0; i < MOVED; i++) {
        char place[PLACE_BYTES];
        snprintf(place, sizeof place, NEW_ROOT "%s", moved[i]);
        /* What is no mount, since its own step has failed, stays behind. */
        if (mount(moved[i], place, NULL, MS_MOVE, NULL) < 0 && errno != EINVAL)
            return -1;
    }
    return chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
                   chdir("/") < 0
               ? -1
               : 0;
}

int root_switch(const struct root_options *options, struct nsp_error *err)
{
    struct stat old;
    int old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (old_root < 0 || fstat(old_root, &old) < 0 || build(options, err) < 0 ||
        make_places(err) < 0) {
        if (old_root < 0)
            nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", "/");
        else
            close(old_root);
        take_down();
        return -1;
    }
    if (move_into() < 0) {
        close(old_root);
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mount", NEW_ROOT);
    }
    remove_tree(old_root, old.st_dev, 0);
    return 0;
}
