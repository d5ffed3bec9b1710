/* TCP (tcp(7)), for debugging on one machine: loopback only unless told otherwise, always with a
 * token, since any local process can connect.
 *
 * TCP_NOTSENT_LOWAT makes the socket writable only while few bytes wait for being sent, so that a
 * control frame passes them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/transport/listener.h"
#include "agent/transport/transport.h"
#include "protocol/cleanup.h"

enum {
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_PROBES = 3,
    UNACKNOWLEDGED_MS = 45000, /* sent data without an answer for so long: the peer is gone */
};

static int malformed(const struct address *address, struct nsp_error *err)
{
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, address->text,
                       "not of the form tcp:A.B.C.D:PORT or tcp:[IPV6]:PORT with numeric parts");
}

static int parse(const char *rest, struct address *ret_address, struct nsp_error *err)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(rest, ':');
    size_t host_length = colon ? (size_t)(colon - rest) : 0;
    unsigned long port;

    if (!colon || host_length == 0 || host_length >= sizeof host ||
        address_number(colon + 1, UINT16_MAX, &port) < 0)
        return malformed(ret_address, err);
    memcpy(host, rest, host_length);
    host[host_length] = '\0';

    if (host[0] == '[' && host[host_length - 1] == ']') {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&ret_address->socket;
        host[host_length - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &six->sin6_addr) != 1)
            return malformed(ret_address, err);
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        ret_address->length = sizeof *six;
        return 0;
    }
    struct sockaddr_in *four = (struct sockaddr_in *)&ret_address->socket;
    if (inet_pton(AF_INET, host, &four->sin_addr) != 1)
        return malformed(ret_address, err);
    four->sin_family = AF_INET;
    four->sin_port = htons((uint16_t)port);
    ret_address->length = sizeof *four;
    return 0;
}

static bool is_loopback(const struct address *address)
{
    if (address->socket.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->socket;
        return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
    }
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->socket;
    return ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static int bind_socket(const struct address *address, const struct listener_options *options,
                       int *ret_fd, struct nsp_error *err)
{
    static const int on = 1;
    if (!is_loopback(address) && !options->insecure_bind)
        return nsp_fail_on(err, NSP_E_PERMISSION, address->text,
                           "not a loopback address, and insecure binding was not asked for");
    int family = address->socket.ss_family;
    AUTO_FD int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "socket", address->text);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "setsockopt", address->text);
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "setsockopt", address->text);
    if (bind(fd, (const struct sockaddr *)&address->socket, address->length) < 0)
        return nsp_fail_errno(err, errno == EADDRINUSE ? NSP_E_ALREADY_EXISTS : NSP_E_SYSTEM, errno,
                              "bind", address->text);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

static int admit(int fd, const struct listener_options *options, struct nsp_error *err)
{
    (void)fd;
    (void)options;
    (void)err;
    return 0; /* the token decides, at hello */
}

static void prepare(int fd, int low)
{
    const struct {
        int level, name, value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, low},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        (void)setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value, sizeof(int));
}

static int unsent(int fd)
{
    int bytes;
    return ioctl(fd, SIOCOUTQNSD, &bytes) < 0 ? -1 : bytes;
}

const struct transport tcp_transport = {
    .scheme = "tcp",
    .needs_token = true,
    .half_close = true,
    .parse = parse,
    .bind = bind_socket,
    .admit = admit,
    .prepare = prepare,
    .unsent = unsent,
};
