#include "agent/machine/sdnotify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "protocol/cleanup.h"

static const char variable[] = "NOTIFY_SOCKET";

/* Empty: nobody. One byte more than fits into an address, so that a name that was cut is too long.
 */
static char name[sizeof((struct sockaddr_un *)0)->sun_path + 1];

void sdnotify_open(void)
{
    const char *text = getenv(variable);
    size_t length = text ? strnlen(text, sizeof name - 1) : 0;
    memcpy(name, text ? text : "", length);
    name[length] = '\0';
    unsetenv(variable);
}

static int parse(struct sockaddr_un *ret_address, socklen_t *ret_size, struct nsp_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || length < 2)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, variable,
                           "neither a path nor an abstract name: %s", name);
    if (length >= sizeof address.sun_path)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, variable, "longer than %zu bytes",
                           sizeof address.sun_path - 1);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    /* An abstract name is exactly as long as we say; a path includes its NUL. */
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
    *ret_address = address;
    return 0;
}

int sdnotify_send(const char *state, struct nsp_error *err)
{
    /* Neither lost, as with a non-blocking socket and a full queue, nor for ever. */
    static const struct timeval patience = {.tv_usec = SDNOTIFY_WAIT_MS * 1000};
    struct sockaddr_un address;
    socklen_t size = 0;
    if (!name[0])
        return 0;
    if (parse(&address, &size, err) < 0)
        return -1;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "socket", variable);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "setsockopt", variable);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "sendto", variable);
    return 0;
}
