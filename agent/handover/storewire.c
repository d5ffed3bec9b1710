#include "agent/handover/storewire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_BYTES = STOREWIRE_BATCH * sizeof(int) };

union control {
    struct cmsghdr header; /* for its alignment */
    unsigned char bytes[CMSG_SPACE(FDS_BYTES)];
};

static bool carries_fds(uint32_t op)
{
    return op == STOREWIRE_PUT || op == STOREWIRE_ITEM;
}

static int send_flagged(int socket, const struct storewire_message *message, const int *fds,
                        int flags, struct nsp_error *err)
{
    union control control = {.bytes = {0}};
    struct iovec bytes = {(void *)message, sizeof *message};
    struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};

    if (carries_fds(message->op) && message->count > 0) {
        size_t length = message->count * sizeof(int);
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(length);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(length);
        memcpy(CMSG_DATA(rights), fds, length);
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &header, MSG_NOSIGNAL | flags);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? nsp_fail_errno(err, NSP_E_SYSTEM, errno, "sendmsg", "store") : 0;
}

int storewire_send(int socket, const struct storewire_message *message, const int *fds,
                   struct nsp_error *err)
{
    return send_flagged(socket, message, fds, 0, err);
}

int storewire_try_send(int socket, const struct storewire_message *message, const int *fds,
                       struct nsp_error *err)
{
    return send_flagged(socket, message, fds, MSG_DONTWAIT, err);
}

int storewire_new_kick(int *ret_fd, struct nsp_error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "eventfd", NULL);
    *ret_fd = fd;
    return 0;
}

void storewire_kick(int kick_fd)
{
    const uint64_t one = 1;
    ssize_t written;
    /* Fails only when the counter is full, and then the supervisor will wake all the same. */
    do
        written = write(kick_fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
}

/* Takes the descriptors out of a message; more than STOREWIRE_BATCH do not fit into its buffer. */
static unsigned take_fds(struct msghdr *header, int *ret_fds)
{
    struct cmsghdr *rights = CMSG_FIRSTHDR(header);
    if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t length = rights->cmsg_len - CMSG_LEN(0);
    memcpy(ret_fds, CMSG_DATA(rights), length);
    return (unsigned)(length / sizeof(int));
}

/* NULL when the message is what an honest peer sends. */
static const char *fault_of(const struct storewire_message *message, size_t length, int flags,
                            unsigned fd_count)
{
    if (length != sizeof *message || flags & MSG_TRUNC)
        return "message of a wrong size";
    if (message->op < STOREWIRE_PUT || message->op > STOREWIRE_END)
        return "unknown operation";
    if (message->count > STOREWIRE_BATCH)
        return "more keys than a message has";
    if (fd_count != (carries_fds(message->op) ? message->count : 0))
        return "descriptors and keys do not match";
    for (uint32_t i = 0; i < message->count; i++)
        if (message->keys[i].kind >= STOREWIRE_KIND_COUNT)
            return "unknown kind";
    return NULL;
}

static int refuse(const int *fds, unsigned count, int flags, const char *fault,
                  struct nsp_error *err)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
    /* The kernel drops what our table of descriptors has no room for (unix(7)). */
    if (flags & MSG_CTRUNC)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, EMFILE, "recvmsg", "store");
    return nsp_fail(err, NSP_E_PROTOCOL, "store: %s", fault);
}

int storewire_receive(int socket, struct storewire_message *ret_message, int *ret_fds,
                      struct nsp_error *err)
{
    struct storewire_message message;
    int fds[STOREWIRE_BATCH];
    union control control;
    struct iovec bytes = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t length;
    do
        length = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "recvmsg", "store");

    unsigned fd_count = take_fds(&header, fds);
    if (length == 0 && fd_count == 0)
        return 0;
    const char *fault = fault_of(&message, (size_t)length, header.msg_flags, fd_count);
    if (fault || header.msg_flags & MSG_CTRUNC)
        return refuse(fds, fd_count, header.msg_flags, fault, err);
    *ret_message = message;
    memcpy(ret_fds, fds, fd_count * sizeof(int));
    return 1;
}
