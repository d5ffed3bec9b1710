/* vsock (vsock(7)): how the host reaches a guest. The peer's context id comes from the hypervisor
 * and cannot be forged inside the guest, so it is what authenticates: only the host may connect.
 *
 * Nothing bounds what is unsent in the kernel but the peer's receive buffer: kernels before 6.12
 * do not even tell. Half-close is not used, since hybrid implementations do not carry it.
 */
#include <errno.h>
#include <sys/socket.h> /* before vm_sockets.h, which needs it in Linux 6.1 */
#include <linux/sockios.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/ioctl.h>

#include "agent/transport/listener.h"
#include "agent/transport/transport.h"
#include "protocol/cleanup.h"

static int parse(const char *rest, struct address *ret_address, struct nsp_error *err)
{
    unsigned long port;
    if (strchr(rest, ':'))
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, ret_address->text,
                           "vsock:CID:PORT is a client's form; an agent listens at vsock:PORT");
    if (address_number(rest, VMADDR_PORT_ANY - 1UL, &port) < 0)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, ret_address->text,
                           "not of the form vsock:PORT");
    struct sockaddr_vm *name = (struct sockaddr_vm *)&ret_address->socket;
    name->svm_family = AF_VSOCK;
    name->svm_cid = VMADDR_CID_ANY;
    name->svm_port = (unsigned)port;
    ret_address->length = sizeof *name;
    return 0;
}

static int bind_socket(const struct address *address, const struct listener_options *options,
                       int *ret_fd, struct nsp_error *err)
{
    (void)options;
    AUTO_FD int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nsp_fail_errno(err, errno == EAFNOSUPPORT ? NSP_E_UNSUPPORTED : NSP_E_SYSTEM, errno,
                              "socket", address->text);
    if (bind(fd, (const struct sockaddr *)&address->socket, address->length) < 0)
        return nsp_fail_errno(err, errno == EADDRINUSE ? NSP_E_ALREADY_EXISTS : NSP_E_SYSTEM, errno,
                              "bind", address->text);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

static int admit(int fd, const struct listener_options *options, struct nsp_error *err)
{
    struct sockaddr_vm peer;
    socklen_t length = sizeof peer;
    if (options->any_cid)
        return 0;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
        return nsp_fail_errno(err, NSP_E_PERMISSION, errno, "getpeername", NULL);
    if (peer.svm_cid != VMADDR_CID_HOST)
        return nsp_fail(err, NSP_E_PERMISSION, "peer has context id %u, the host is %u",
                        peer.svm_cid, VMADDR_CID_HOST);
    return 0;
}

static void prepare(int fd, int low)
{
    (void)fd;
    (void)low;
}

static int unsent(int fd)
{
    int bytes;
    return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -1 : bytes;
}

const struct transport vsock_transport = {
    .scheme = "vsock",
    .parse = parse,
    .bind = bind_socket,
    .admit = admit,
    .prepare = prepare,
    .unsent = unsent,
};
