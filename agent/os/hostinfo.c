#include "agent/os/hostinfo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "protocol/cleanup.h"

/* A call that exists refuses these arguments with another error than ENOSYS or a filter's EPERM. */
static bool call_exists(long result)
{
    return result >= 0 || (errno != ENOSYS && errno != EPERM);
}

static bool has_clone3(void)
{
    return call_exists(syscall(SYS_clone3, NULL, 0));
}

static bool has_pidfd(void)
{
    AUTO_FD int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    return call_exists(fd);
}

static bool has_close_range(void)
{
    return call_exists(syscall(SYS_close_range, UINT_MAX, UINT_MAX, 0));
}

static bool has_openat2(void)
{
    return call_exists(syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0));
}

static bool has_cgroup2(void)
{
    struct statfs info;
    return statfs("/sys/fs/cgroup", &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

static const struct {
    const char *name;
    bool (*present)(void);
} features[] = {
    [HOSTINFO_CLONE3] = {"clone3", has_clone3},
    [HOSTINFO_PIDFD] = {"pidfd", has_pidfd},
    [HOSTINFO_CLOSE_RANGE] = {"close_range", has_close_range},
    [HOSTINFO_OPENAT2] = {"openat2", has_openat2},
    [HOSTINFO_CGROUP2] = {"cgroup2", has_cgroup2},
};
_Static_assert(sizeof features / sizeof *features == HOSTINFO_FEATURE_COUNT, "one row a feature");

unsigned hostinfo_missing(void)
{
    unsigned missing = 0;
    for (unsigned i = 0; i < HOSTINFO_FEATURE_COUNT; i++)
        if (!features[i].present())
            missing |= 1u << i;
    return missing;
}

const char *hostinfo_feature_name(enum hostinfo_feature feature)
{
    return features[feature].name;
}

/* The start of a small file, NUL-terminated; its length, or -1 with errno. */
static ssize_t read_start(const char *path, char *target, size_t capacity)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length;
    do
        length = read(fd, target, capacity - 1);
    while (length < 0 && errno == EINTR);
    if (length >= 0)
        target[length] = '\0';
    return length;
}

int hostinfo_boot_id(char target[HOSTINFO_BOOT_ID_SIZE], struct nsp_error *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    char id[HOSTINFO_BOOT_ID_SIZE];
    ssize_t length = read_start(path, id, sizeof id);
    if (length < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "read", path);
    if (length != HOSTINFO_BOOT_ID_SIZE - 1)
        return nsp_fail_on(err, NSP_E_SYSTEM, path, "%s is too short", path);
    memcpy(target, id, sizeof id);
    return 0;
}

uint64_t hostinfo_resident_kib(void)
{
    char text[128];
    unsigned long long total, resident;
    if (read_start("/proc/self/statm", text, sizeof text) <= 0 ||
        sscanf(text, "%llu %llu", &total, &resident) != 2)
        return 0;
    return resident * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}

uint64_t hostinfo_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return 0;
    uint64_t count = 0;
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            count++;
    closedir(directory);
    return count - 1; /* not the one that reads */
}
