#include "agent/os/sdnotify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "protocol/cleanup.h"

static const char variable[] = "NOTIFY_SOCKET";

int sdnotify_parse(const char *text, struct sdnotify *ret_target, struct nsp_error *err)
{
    struct sdnotify target = {.name.sun_family = AF_UNIX};
    size_t length = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || length < 2)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, variable,
                           "neither a path nor an abstract name");
    if (length >= sizeof target.name.sun_path)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, variable, "longer than %zu bytes",
                           sizeof target.name.sun_path - 1);
    memcpy(target.name.sun_path, text, length);
    if (text[0] == '@')
        target.name.sun_path[0] = '\0';
    /* An abstract name is exactly as long as we say; a path includes its NUL. */
    target.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/'));
    *ret_target = target;
    return 0;
}

int sdnotify_take(struct sdnotify *ret_target, struct nsp_error *err)
{
    const char *text = getenv(variable);
    struct sdnotify target = {0};
    int result = text && text[0] ? sdnotify_parse(text, &target, err) : 0;
    unsetenv(variable);
    if (result == 0)
        *ret_target = target;
    return result;
}

int sdnotify_send(const struct sdnotify *target, const char *state, struct nsp_error *err)
{
    /* Neither lost, as with a non-blocking socket and a full queue, nor for ever. */
    static const struct timeval patience = {.tv_usec = SDNOTIFY_WAIT_MS * 1000};
    if (target->length == 0)
        return 0;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "socket", variable);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "setsockopt", variable);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&target->name,
               target->length) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "sendto", variable);
    return 0;
}
