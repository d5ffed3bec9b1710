#include "agent/boot/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/machine/module.h"
#include "agent/machine/mount.h"
#include "agent/process/errand.h"
#include "protocol/cleanup.h"

#define COMMON (MS_NOSUID | MS_NODEV | MS_NOEXEC)

enum { PATH_BYTES = 512, DATA_BYTES = 1024 };

/* What is told: counts, then the names of those that failed. */
struct tale {
    unsigned mounted, there, failed;
    char failures[128];
    size_t used;
};

static const struct mount_entry builtin[] = {
    {"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
    {"mqueue", "/dev/mqueue", "mqueue", COMMON, NULL, true},
    {"hugetlbfs", "/dev/hugepages", "hugetlbfs", MS_NOSUID | MS_NODEV, NULL, true},
    {"tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
    {"securityfs", "/sys/kernel/security", "securityfs", COMMON, NULL, true},
    {"debugfs", "/sys/kernel/debug", "debugfs", COMMON, "mode=0700", true},
    {"tracefs", "/sys/kernel/tracing", "tracefs", COMMON, "mode=0700", true},
    {"bpf", "/sys/fs/bpf", "bpf", COMMON, "mode=0700", true},
    {"binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc", COMMON, NULL, true},
};

static bool is_empty(const char *path)
{
    DIR *directory = opendir(path);
    bool is_empty = true;
    const struct dirent *entry;
    while (directory && is_empty && (entry = readdir(directory)))
        is_empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (directory)
        closedir(directory);
    return is_empty;
}

static bool has_huge_pages(const char *root)
{
    char path[PATH_BYTES], digit = '0';
    snprintf(path, sizeof path, "%s/proc/sys/vm/nr_hugepages", root);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &digit, 1) == 1 && digit >= '1' && digit <= '9';
}

/* sysfs and procfs have a directory for what the kernel can mount there, and let none be made. */
static bool is_wanted(const struct mounts_request *request, const struct mount_entry *entry)
{
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s%s", request->root, entry->target);
    if (strcmp(entry->target, "/tmp") == 0)
        return request->tmp && is_empty(parent);
    if (strcmp(entry->target, "/dev/hugepages") == 0)
        return has_huge_pages(request->root);
    bool is_made = strncmp(entry->target, "/dev/", 5) == 0;
    return is_made || access(parent, F_OK) == 0;
}

static void count(struct tale *tale, const char *target, int result, bool was_there)
{
    if (result == 0 && was_there) {
        tale->there++;
    } else if (result == 0) {
        tale->mounted++;
    } else {
        tale->failed++;
        if (tale->used < sizeof tale->failures)
            tale->used += (size_t)snprintf(tale->failures + tale->used,
                                           sizeof tale->failures - tale->used, " %s", target);
    }
}

static void tell(const struct tale *tale, char *detail, size_t capacity)
{
    int used =
        snprintf(detail, capacity, "%u mounted, %u there already", tale->mounted, tale->there);
    if (tale->failed > 0 && used > 0 && (size_t)used < capacity)
        snprintf(detail + used, capacity - (size_t)used, ", not mounted:%s", tale->failures);
}

/* The first error stays. */
static int note(int result, const struct nsp_error *problem, struct nsp_error *err)
{
    if (result == 0 && err)
        *err = *problem;
    return -1;
}

int mounts_apply(const struct mounts_request *request, char *detail, size_t capacity,
                 struct nsp_error *err)
{
    struct tale tale = {0};
    int result = 0;
    for (size_t i = 0; i < sizeof builtin / sizeof builtin[0]; i++) {
        char target[PATH_BYTES];
        bool was_there = false;
        struct nsp_error problem = NSP_ERROR_INIT;
        struct mount_entry entry = builtin[i];
        if (!is_wanted(request, &entry))
            continue;
        snprintf(target, sizeof target, "%s%s", request->root, entry.target);
        entry.target = target;
        int applied = mount_entry_apply(&entry, &was_there, &problem);
        count(&tale, builtin[i].target, applied, was_there);
        if (applied < 0 && !entry.optional)
            result = note(result, &problem, err);
    }
    tell(&tale, detail, capacity);
    return result;
}

static size_t depth(const char *path)
{
    size_t depth = 0;
    for (; *path; path++)
        depth += path[0] == '/' && path[1] != '/' && path[1] != '\0';
    return depth;
}

/* Equal depths stay in the order of the configuration. */
static int by_depth(const void *left, const void *right)
{
    const struct config_mount *a = *(const struct config_mount *const *)left;
    const struct config_mount *b = *(const struct config_mount *const *)right;
    size_t depth_a = depth(a->target), depth_b = depth(b->target);
    return depth_a != depth_b ? (depth_a < depth_b ? -1 : 1) : (a < b ? -1 : a > b);
}

/* A file can be bound to a file only. */
static int make_file(const char *source, const char *target, struct nsp_error *err)
{
    struct stat status;
    char parent[PATH_BYTES];
    if (stat(source, &status) < 0 || S_ISDIR(status.st_mode) || access(target, F_OK) == 0)
        return 0;
    const char *slash = strrchr(target, '/');
    int length = slash ? (int)(slash - target) : 0;
    if (length > 0 && length < PATH_BYTES) {
        snprintf(parent, sizeof parent, "%.*s", length, target);
        if (mount_make_directory(parent, err) < 0)
            return -1;
    }
    int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", target);
    close(fd);
    return 0;
}

/* A bind mount takes its flags in a second step only, mount(2). */
static int restrict_bind(const struct mount_entry *entry, struct nsp_error *err)
{
    unsigned long flags = entry->flags & ~(unsigned long)(MS_BIND | MS_REC);
    if (flags == 0 || mount(NULL, entry->target, NULL, flags | MS_REMOUNT | MS_BIND, NULL) == 0)
        return 0;
    nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mount", entry->target);
    umount2(entry->target, MNT_DETACH);
    return -1;
}

static int bind_volume(const struct mount_entry *entry, struct nsp_error *err)
{
    struct stat status;
    if (make_file(entry->source, entry->target, err) < 0)
        return -1;
    if (stat(entry->target, &status) < 0 && mount_make_directory(entry->target, err) < 0)
        return -1;
    unsigned long how = entry->flags & (MS_BIND | MS_REC);
    if (mount(entry->source, entry->target, NULL, how, NULL) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mount", entry->target);
    return restrict_bind(entry, err);
}

static int apply_volume(const struct config_mount *volume, bool *ret_was_there,
                        struct nsp_error *err)
{
    char options[DATA_BYTES], data[DATA_BYTES];
    struct mount_entry entry = {
        .source = volume->source ? volume->source : "none",
        .target = volume->target,
        .type = volume->type ? volume->type : "none",
        .data = data,
    };
    int length = snprintf(options, sizeof options, "nosuid,nodev,%s",
                          volume->options ? volume->options : "");
    if (length < 0 || (size_t)length >= sizeof options)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, entry.target, "mount options are too long");
    if (mount_parse_options(options, &entry.flags, data, sizeof data, err) < 0)
        return -1;
    if (!volume->type || strcmp(volume->type, "bind") == 0)
        entry.flags |= MS_BIND;
    if (entry.flags & MS_BIND)
        return bind_volume(&entry, err);
    int result = mount_entry_apply(&entry, ret_was_there, err);
    /* Nobody else loads its module: there may be no modprobe(8) in the guest. */
    if (result < 0 && err->sys_errno == ENODEV && module_load(entry.type, NULL) == 0)
        result = mount_entry_apply(&entry, ret_was_there, err);
    return result;
}

int mounts_volumes(const struct config_mount *list, size_t volumes, char *detail, size_t capacity,
                   struct nsp_error *err)
{
    struct tale tale = {0};
    int result = 0;
    AUTO_FREE const struct config_mount **sorted = calloc(volumes + 1, sizeof(*sorted));
    if (!sorted)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the list of volumes");
    for (size_t i = 0; i < volumes; i++)
        sorted[i] = &list[i];
    qsort(sorted, volumes, sizeof(*sorted), by_depth);
    for (size_t i = 0; i < volumes; i++) {
        bool was_there = false;
        struct nsp_error problem = NSP_ERROR_INIT;
        int applied = apply_volume(sorted[i], &was_there, &problem);
        count(&tale, sorted[i]->target, applied, was_there);
        if (applied < 0 && sorted[i]->required)
            result = note(result, &problem, err);
    }
    tell(&tale, detail, capacity);
    return result;
}

int mounts_main(const char *config_path)
{
    char detail[ERRAND_LINE];
    struct config_document *document;
    struct nsp_error err = NSP_ERROR_INIT;
    if (config_read(config_path, &document, &err) < 0) {
        puts(err.msg);
        return ERRAND_FAILED;
    }
    const struct param_objects *mounts = &config_get(document)->mounts;
    int result = mounts_volumes(mounts->items, mounts->count, detail, sizeof detail, &err);
    if (result < 0)
        printf("%s; ", err.msg);
    puts(detail);
    config_free(document);
    return result < 0 ? ERRAND_FAILED : ERRAND_DONE;
}
