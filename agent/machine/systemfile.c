#include "agent/machine/systemfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/machine/mount.h"
#include "protocol/cleanup.h"

enum { MODE = 0644 };

struct content {
    const uint8_t *text;
    size_t length;
};

static bool has_content(const char *path, const struct content *content)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size != content->length)
        return false;
    uint8_t piece[512];
    for (size_t at = 0; at < content->length;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got <= 0 || (size_t)got > content->length - at ||
            memcmp(piece, content->text + at, (size_t)got) != 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

/* 0, or -1 with errno. */
static int write_content(int fd, const struct content *content)
{
    for (size_t at = 0; at < content->length;) {
        ssize_t written = write(fd, content->text + at, content->length - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        at += (size_t)written;
    }
    return 0;
}

static int replace(const char *path, const struct content *content)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary) {
        errno = ENAMETOOLONG;
        return -1;
    }
    AUTO_FD int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (write_content(fd, content) == 0 && fchmod(fd, MODE) == 0 && fsync(fd) == 0 &&
        rename(temporary, path) == 0)
        return 0;
    int error = errno;
    unlink(temporary);
    errno = error;
    return -1;
}

static void make_parents(const char *path)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return;
    *slash = '\0';
    mount_make_directory(directory, NULL);
}

/* The directories of what a symbolic link leads to, as far as they are missing. */
static void make_link_parents(const char *path)
{
    char link[PATH_MAX / 2], target[PATH_MAX];
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length <= 0)
        return;
    link[length] = '\0';
    int directory = link[0] == '/' ? 0 : (int)(strrchr(path, '/') + 1 - path);
    if (snprintf(target, sizeof target, "%.*s%s", directory, path, link) < (int)sizeof target)
        make_parents(target);
}

/* Shortened only after it was written, so that a reader never sees it empty. */
static int overwrite(const char *path, const struct content *content)
{
    struct stat status;
    make_link_parents(path);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, MODE);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    if (write_content(fd, content) < 0 || ftruncate(fd, (off_t)content->length) < 0)
        return -1;
    return 0;
}

static int cover(const char *path, const char *fallback, const struct content *content)
{
    make_parents(fallback);
    if (replace(fallback, content) < 0)
        return -1;
    return mount(fallback, path, NULL, MS_BIND, NULL);
}

int systemfile_write(const char *path, const char *fallback, const void *text, size_t length,
                     struct nsp_error *err)
{
    const struct content content = {text, length};
    if (has_content(path, &content) || replace(path, &content) == 0 ||
        overwrite(path, &content) == 0)
        return 0;
    int error = errno; /* says more than why the fallback failed as well */
    if (fallback && cover(path, fallback, &content) == 0)
        return 0;
    enum nsp_error_code code = error == EPERM || error == EACCES ? NSP_E_PERMISSION : NSP_E_SYSTEM;
    return nsp_fail_errno(err, code, error, "write", path);
}
