#include "agent/boot/sysctls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum { PATH_BYTES = 512, NAME_BYTES = 160 };

/* Which character separates the parts is decided by the first of them, as sysctl(8) does it. */
static void name_to_path(char *name)
{
    char separator = name[strcspn(name, "./")];
    for (char *at = name; separator == '.' && *at; at++)
        if (*at == '.')
            *at = '/';
        else if (*at == '/')
            *at = '.';
}

/* No part is empty, "." or "..": the path stays below the directory. */
static bool is_inside(const char *path)
{
    for (const char *part = path;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || strspn(part, ".") >= length)
            return false;
        part += length;
        if (!*part)
            return true;
    }
}

static int write_value(const char *path, const char *name, const char *value, struct nsp_error *err)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t written = fd < 0 ? -1 : write(fd, value, strlen(value));
    if (written == (ssize_t)strlen(value))
        return 0;
    int reason = written < 0 ? errno : EIO;
    enum nsp_error_code code = reason == ENOENT                      ? NSP_E_NOT_FOUND
                               : reason == EACCES || reason == EPERM ? NSP_E_PERMISSION
                                                                     : NSP_E_SYSTEM;
    return nsp_fail_errno(err, code, reason, fd < 0 ? "open" : "write", name);
}

static int apply(const char *directory, const char *setting, struct nsp_error *err)
{
    char name[NAME_BYTES], path[NAME_BYTES], whole[PATH_BYTES];
    const char *equals = strchr(setting, '=');
    size_t length = equals ? (size_t)(equals - setting) : 0;
    if (length == 0 || length >= sizeof name)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, setting, "a setting is NAME=VALUE");
    memcpy(name, setting, length);
    name[length] = '\0';
    memcpy(path, name, length + 1);
    name_to_path(path);
    if (!is_inside(path))
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, name,
                           "this is no name of a kernel parameter");
    int used = snprintf(whole, sizeof whole, "%s/%s", directory, path);
    if (used < 0 || (size_t)used >= sizeof whole)
        return nsp_fail_errno(err, NSP_E_SYSTEM, ENAMETOOLONG, "open", name);
    return write_value(whole, name, equals + 1, err);
}

int sysctls_apply(const char *directory, char *const *settings, size_t count, struct nsp_error *err)
{
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        struct nsp_error problem = NSP_ERROR_INIT;
        if (apply(directory, settings[i], &problem) == 0 || result < 0)
            continue;
        result = -1;
        if (err)
            *err = problem;
    }
    return result;
}
