/* Nothing here allocates: PID 1 uses it too. */
#include "agent/machine/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum { PATH_BYTES = 4096, LINE_BYTES = 4096 };

static const struct {
    const char *type;
    long magic;
} types[] = {
    {"proc", PROC_SUPER_MAGIC},       {"sysfs", SYSFS_MAGIC},
    {"devtmpfs", TMPFS_MAGIC}, /* a tmpfs by another name */
    {"tmpfs", TMPFS_MAGIC},           {"devpts", DEVPTS_SUPER_MAGIC},
    {"cgroup2", CGROUP2_SUPER_MAGIC},
};

/* A tmpfs below a tmpfs is no mount point of its own. */
static bool is_mount_point(const char *path)
{
    char parent[PATH_BYTES];
    struct stat here, above;
    int length = snprintf(parent, sizeof parent, "%s/..", path);
    if (length < 0 || (size_t)length >= sizeof parent || stat(path, &here) < 0 ||
        stat(parent, &above) < 0)
        return false;
    return here.st_dev != above.st_dev || here.st_ino == above.st_ino;
}

bool mount_is_type(const char *path, const char *type)
{
    struct statfs status;
    if (statfs(path, &status) < 0)
        return false;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].type, type) == 0)
            return (long)status.f_type == types[i].magic && is_mount_point(path);
    return false;
}

int mount_make_directory(const char *path, struct nsp_error *err)
{
    char part[PATH_BYTES];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return nsp_fail_errno(err, NSP_E_SYSTEM, ENAMETOOLONG, "mkdir", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST) {
            int reason = errno; /* EROFS comes before EEXIST in some file systems */
            struct stat status;
            if (stat(part, &status) < 0 || !S_ISDIR(status.st_mode))
                return nsp_fail_errno(err, NSP_E_SYSTEM, reason, "mkdir", part);
        }
    }
    return 0;
}

int mount_entry_apply(const struct mount_entry *entry, bool *ret_was_there, struct nsp_error *err)
{
    bool was_there = mount_is_type(entry->target, entry->type);
    if (!was_there) {
        if (mount_make_directory(entry->target, err) < 0)
            return -1;
        if (mount(entry->source, entry->target, entry->type, entry->flags, entry->data) < 0) {
            if (errno != EBUSY)
                return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mount", entry->target);
            was_there = true;
        }
    }
    if (ret_was_there)
        *ret_was_there = was_there;
    return 0;
}

static const struct {
    const char *word;
    unsigned long set, clear;
} flags[] = {
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"noatime", MS_NOATIME, 0},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"lazytime", MS_LAZYTIME, 0},
    {"dirsync", MS_DIRSYNC, 0},
    {"silent", MS_SILENT, 0},
    {"bind", MS_BIND, 0},
    {"rbind", MS_BIND | MS_REC, 0},
    {"defaults", 0, 0},
};

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

int mount_parse_options(const char *options, unsigned long *ret_flags, char *target,
                        size_t capacity, struct nsp_error *err)
{
    unsigned long result = 0;
    size_t used = 0;
    for (const char *at = options; *at;) {
        size_t length = strcspn(at, ","), known = 0;
        while (known < sizeof flags / sizeof flags[0] && !is_word(at, length, flags[known].word))
            known++;
        if (known < sizeof flags / sizeof flags[0]) {
            result = (result | flags[known].set) & ~flags[known].clear;
        } else if (length > 0) {
            if (used + length + 2 > capacity)
                return nsp_fail(err, NSP_E_EXHAUSTED, "mount options are too long");
            if (used > 0)
                target[used++] = ',';
            memcpy(target + used, at, length);
            used += length;
        }
        at += length + (at[length] == ',');
    }
    target[used] = '\0';
    *ret_flags = result;
    return 0;
}

/* Blanks and backslashes stand as three octal digits. In place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static char *next_field(char **line)
{
    char *field = strsep(line, " ");
    return field && *field ? field : NULL;
}

/* ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS [TAGS...] - TYPE SOURCE SUPER_OPTIONS */
static bool parse_line(char *line, struct mount_info *ret_info)
{
    char *fields[6], *tag, *type, *source;
    for (int i = 0; i < 6; i++)
        if (!(fields[i] = next_field(&line)))
            return false;
    while ((tag = next_field(&line)) && strcmp(tag, "-") != 0)
        ;
    if (!tag || !(type = next_field(&line)) || !(source = next_field(&line)) ||
        sscanf(fields[2], "%u:%u", &ret_info->major, &ret_info->minor) != 2)
        return false;
    unescape(fields[3]);
    unescape(fields[4]);
    unescape(source);
    ret_info->root = fields[3];
    ret_info->target = fields[4];
    ret_info->type = type;
    ret_info->source = source;
    ret_info->is_read_only =
        strncmp(fields[5], "ro", 2) == 0 && (fields[5][2] == ',' || fields[5][2] == '\0');
    return true;
}

/* A line that does not fit is left out, whatever follows of it. */
struct lines {
    int fd;
    size_t length, at;
    bool is_skipping;
    char text[LINE_BYTES];
};

/* NULL at the end of the file. */
static char *next_line(struct lines *lines)
{
    for (;;) {
        char *start = lines->text + lines->at;
        char *end = memchr(start, '\n', lines->length - lines->at);
        if (end) {
            *end = '\0';
            lines->at = (size_t)(end + 1 - lines->text);
            if (!lines->is_skipping)
                return start;
            lines->is_skipping = false;
            continue;
        }
        lines->length -= lines->at;
        memmove(lines->text, start, lines->length);
        lines->at = 0;
        if (lines->length == sizeof lines->text) {
            lines->length = 0;
            lines->is_skipping = true;
        }
        ssize_t got =
            read(lines->fd, lines->text + lines->length, sizeof lines->text - lines->length);
        if (got <= 0)
            return NULL;
        lines->length += (size_t)got;
    }
}

int mount_each(bool (*visit)(void *arg, const struct mount_info *info), void *arg,
               struct nsp_error *err)
{
    static const char path[] = "/proc/self/mountinfo";
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", path);
    struct lines lines = {.fd = fd};
    char *line;
    while ((line = next_line(&lines))) {
        struct mount_info info;
        if (parse_line(line, &info) && !visit(arg, &info))
            break;
    }
    return 0;
}
