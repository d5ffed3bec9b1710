#include "client/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* After sys/socket.h, whose sa_family_t it uses. */
#include <linux/vm_sockets.h>
#include <netinet/tcp.h>

#include "protocol/cleanup.h"

union socket_address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_vm vm;
};

static int refuse(const char *text, const char *why, struct nsp_error *err)
{
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, text, "address \"%.100s\": %s", text, why);
}

/* Digits only, so that no sign, space or octal slips through. */
static bool parse_number(const char *text, size_t length, uint64_t max, uint32_t *ret_value)
{
    uint64_t value = 0;
    if (length == 0 || length > 10)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > max)
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

static bool copy(char *target, size_t capacity, const char *text, size_t length)
{
    if (length == 0 || length >= capacity)
        return false;
    memcpy(target, text, length);
    target[length] = '\0';
    return true;
}

static int parse_unix(const char *text, const char *rest, struct nsp_address *address,
                      struct nsp_error *err)
{
    if (!copy(address->path, sizeof address->path, rest, strlen(rest)))
        return refuse(text, "the path is empty or too long", err);
    return 0;
}

static int parse_hybrid(const char *text, const char *rest, struct nsp_address *address,
                        struct nsp_error *err)
{
    const char *colon = strrchr(rest, ':');
    if (!colon)
        return refuse(text, "hybrid:PATH:PORT is needed", err);
    if (!copy(address->path, sizeof address->path, rest, (size_t)(colon - rest)))
        return refuse(text, "the path is empty or too long", err);
    if (!parse_number(colon + 1, strlen(colon + 1), UINT32_MAX - 1, &address->port))
        return refuse(text, "the port is not a number below 4294967295", err);
    return 0;
}

static int parse_vsock(const char *text, const char *rest, struct nsp_address *address,
                       struct nsp_error *err)
{
    const char *colon = strchr(rest, ':');
    if (!colon)
        return refuse(text, "vsock:CID:PORT is needed", err);
    if (!parse_number(rest, (size_t)(colon - rest), UINT32_MAX - 1, &address->cid))
        return refuse(text, "the CID is not a number below 4294967295", err);
    if (!parse_number(colon + 1, strlen(colon + 1), UINT32_MAX - 1, &address->port))
        return refuse(text, "the port is not a number below 4294967295", err);
    return 0;
}

static int parse_token_file(const char *text, const char *query, struct nsp_address *address,
                            struct nsp_error *err)
{
    static const char name[] = "?token-file=";
    if (strncmp(query, name, sizeof name - 1) != 0)
        return refuse(text, "only ?token-file=FILE may follow the port", err);
    query += sizeof name - 1;
    if (!copy(address->token_file, sizeof address->token_file, query, strlen(query)))
        return refuse(text, "the token file's path is empty or too long", err);
    return 0;
}

static int parse_tcp(const char *text, const char *rest, struct nsp_address *address,
                     struct nsp_error *err)
{
    size_t length = strcspn(rest, "?");
    const char *colon = memrchr(rest, ':', length);
    if (!colon)
        return refuse(text, "tcp:HOST:PORT is needed", err);
    const char *host = rest;
    size_t host_length = (size_t)(colon - rest);
    if (host_length >= 2 && host[0] == '[' && host[host_length - 1] == ']') {
        host++;
        host_length -= 2;
    }
    uint8_t binary[sizeof(struct in6_addr)];
    if (!copy(address->host, sizeof address->host, host, host_length) ||
        inet_pton(strchr(address->host, ':') ? AF_INET6 : AF_INET, address->host, binary) != 1)
        return refuse(text, "the host is not a numeric address", err);
    if (!parse_number(colon + 1, (size_t)(rest + length - colon - 1), UINT16_MAX, &address->port) ||
        address->port == 0)
        return refuse(text, "the port is not in 1..65535", err);
    return rest[length] ? parse_token_file(text, rest + length, address, err) : 0;
}

static const struct scheme {
    const char *prefix;
    enum nsp_address_kind kind;
    int (*parse)(const char *text, const char *rest, struct nsp_address *address,
                 struct nsp_error *err);
} schemes[] = {
    {"unix:", NSP_ADDRESS_UNIX, parse_unix},
    {"tcp:", NSP_ADDRESS_TCP, parse_tcp},
    {"hybrid:", NSP_ADDRESS_HYBRID, parse_hybrid},
    {"vsock:", NSP_ADDRESS_VSOCK, parse_vsock},
};

int nsp_address_parse(const char *text, struct nsp_address *ret_address, struct nsp_error *err)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        const struct scheme *scheme = &schemes[i];
        size_t length = strlen(scheme->prefix);
        if (strncmp(text, scheme->prefix, length) != 0)
            continue;
        struct nsp_address address = {.kind = scheme->kind};
        if (scheme->parse(text, text + length, &address, err) < 0)
            return -1;
        *ret_address = address;
        return 0;
    }
    return refuse(text, "it must start with unix:, tcp:, hybrid: or vsock:", err);
}

/* sun_path is short. A longer path is reached through its directory's descriptor. */
static int unix_address(const char *path, struct sockaddr_un *ret_un, int *ret_directory,
                        struct nsp_error *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) < sizeof un.sun_path) {
        snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
        *ret_un = un;
        return 0;
    }
    const char *slash = strrchr(path, '/');
    char directory[NSP_LIMIT_PATH + 1] = ".";
    if (slash)
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path + 1), path);
    AUTO_FD int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_CONNECTION, errno, "open", directory);
    int length = snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d/%s", fd,
                          slash ? slash + 1 : path);
    if (length < 0 || (size_t)length >= sizeof un.sun_path)
        return nsp_fail_errno(err, NSP_E_CONNECTION, ENAMETOOLONG, "connect", path);
    *ret_un = un;
    *ret_directory = STEAL_FD(fd);
    return 0;
}

static socklen_t inet_address(const struct nsp_address *address, union socket_address *ret_socket)
{
    if (strchr(address->host, ':')) {
        ret_socket->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                                .sin6_port = htons((uint16_t)address->port)};
        inet_pton(AF_INET6, address->host, &ret_socket->in6.sin6_addr);
        return sizeof ret_socket->in6;
    }
    ret_socket->in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)address->port)};
    inet_pton(AF_INET, address->host, &ret_socket->in.sin_addr);
    return sizeof ret_socket->in;
}

/* What waits in the kernel cannot be overtaken by control frames, so little shall wait there. */
static void bound_unsent(int fd, enum nsp_address_kind kind)
{
    int bytes = NSP_LIMIT_SOCKET_UNSENT, on = 1;
    if (kind == NSP_ADDRESS_TCP) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
    } else if (kind != NSP_ADDRESS_VSOCK) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
}

int nsp_address_connect(const struct nsp_address *address, int *ret_fd, struct nsp_error *err)
{
    union socket_address target = {0};
    socklen_t length = sizeof target.un;
    const char *object = address->path;
    AUTO_FD int directory = -1;

    if (address->kind == NSP_ADDRESS_TCP) {
        length = inet_address(address, &target);
        object = address->host;
    } else if (address->kind == NSP_ADDRESS_VSOCK) {
        target.vm = (struct sockaddr_vm){
            .svm_family = AF_VSOCK, .svm_cid = address->cid, .svm_port = address->port};
        length = sizeof target.vm;
        object = "vsock";
    } else if (unix_address(address->path, &target.un, &directory, err) < 0) {
        return -1;
    }
    AUTO_FD int fd = socket(target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_CONNECTION, errno, "socket", object);
    bound_unsent(fd, address->kind);
    if (connect(fd, &target.any, length) < 0 && errno != EINPROGRESS && errno != EINTR)
        return nsp_fail_errno(err, NSP_E_CONNECTION, errno, "connect", object);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

bool nsp_address_is_guest(const struct nsp_address *address)
{
    return address->kind == NSP_ADDRESS_HYBRID ||
           (address->kind == NSP_ADDRESS_VSOCK && address->cid > VMADDR_CID_HOST);
}
