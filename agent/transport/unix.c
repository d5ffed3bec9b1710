/* Unix sockets (unix(7)): the file has mode 0600 from its first moment on, and a peer must be root
 * or have our own effective user id (SO_PEERCRED), which also protects abstract names.
 *
 * The kernel calls such a socket writable when at most a quarter of its send buffer is taken, so
 * the buffer is four times the wanted low mark. "Taken" is what the peer has not read yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/transport/transport.h"
#include "protocol/cleanup.h"

static bool is_abstract(const struct address *address)
{
    return ((const struct sockaddr_un *)&address->socket)->sun_path[0] == '\0';
}

static const char *path_of(const struct address *address)
{
    return ((const struct sockaddr_un *)&address->socket)->sun_path;
}

static int parse(const char *rest, struct address *ret_address, struct nsp_error *err)
{
    struct sockaddr_un *name = (struct sockaddr_un *)&ret_address->socket;
    size_t length = strlen(rest);
    bool abstract = rest[0] == '@';

    if (length <= abstract)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, ret_address->text, "path is empty");
    if (length >= sizeof name->sun_path)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, ret_address->text,
                           "path is longer than %zu bytes", sizeof name->sun_path - 1);
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, rest, length);
    if (abstract)
        name->sun_path[0] = '\0';
    /* An abstract name is exactly as long as we say; a path includes its NUL. */
    ret_address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
    return 0;
}

/* Removes a socket file at which nobody listens any more; anything else stays. */
static int clear_stale(const struct address *address, struct nsp_error *err)
{
    const char *path = path_of(address);
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : nsp_fail_errno(err, NSP_E_SYSTEM, errno, "lstat", path);
    if (!S_ISSOCK(status.st_mode))
        return nsp_fail_on(err, NSP_E_ALREADY_EXISTS, path, "a file that is not a socket is there");

    AUTO_FD int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "socket", path);
    /* EAGAIN: the listener's queue is full. */
    if (connect(probe, (const struct sockaddr *)&address->socket, address->length) == 0 ||
        errno == EAGAIN)
        return nsp_fail_on(err, NSP_E_ALREADY_EXISTS, path, "somebody listens there already");
    if (errno != ECONNREFUSED)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "connect", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "unlink", path);
    return 0;
}

static int bind_socket(const struct address *address, const struct listener_options *options,
                       int *ret_fd, struct nsp_error *err)
{
    (void)options;
    if (!is_abstract(address) && clear_stale(address, err) < 0)
        return -1;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "socket", address->text);
    /* On Linux the file takes its mode from the descriptor: no moment with a wider one. */
    if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "fchmod", address->text);
    if (bind(fd, (const struct sockaddr *)&address->socket, address->length) < 0)
        return nsp_fail_errno(err, errno == EADDRINUSE ? NSP_E_ALREADY_EXISTS : NSP_E_SYSTEM, errno,
                              "bind", address->text);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

static int admit(int fd, const struct listener_options *options, struct nsp_error *err)
{
    (void)options;
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return nsp_fail_errno(err, NSP_E_PERMISSION, errno, "getsockopt", "SO_PEERCRED");
    if (peer.uid != 0 && peer.uid != geteuid())
        return nsp_fail(err, NSP_E_PERMISSION, "peer has user id %u, wanted is 0 or %u",
                        (unsigned)peer.uid, (unsigned)geteuid());
    return 0;
}

static void prepare(int fd, int low)
{
    int half = 2 * low; /* the kernel doubles it (socket(7)) */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof half);
}

static int unsent(int fd)
{
    int bytes;
    return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -1 : bytes;
}

static void remove_name(const struct address *address)
{
    if (!is_abstract(address))
        (void)unlink(path_of(address));
}

const struct transport unix_transport = {
    .scheme = "unix",
    .half_close = true,
    .parse = parse,
    .bind = bind_socket,
    .admit = admit,
    .prepare = prepare,
    .unsent = unsent,
    .remove = remove_name,
};
