#include "agent/netlink/netlink.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum { RECEIVE_BUFFER = 1 << 20, DUMP_TRIES = 5, NO_ANSWER = -1 };

struct netlink {
    int fd;
    uint32_t sequence; /* of the next request */
    int64_t wait_ms;
    uint8_t datagram[NETLINK_DATAGRAM];
};

/* agent/base/clock.h counts suspended time, which poll(2) does not. */
static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int netlink_new(int fd, struct netlink **ret_netlink, struct nsp_error *err)
{
    struct netlink *netlink = malloc(sizeof *netlink);
    if (!netlink)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a netlink socket");
    netlink->fd = fd;
    netlink->sequence = 1;
    netlink->wait_ms = NETLINK_DEADLINE_MS;
    *ret_netlink = netlink;
    return 0;
}

/* Connected, so that only the kernel can send us anything. Kernels before 4.12 lack the options;
 * answers are then longer or say less. */
int netlink_open(struct netlink **ret_netlink, struct nsp_error *err)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    const int size = RECEIVE_BUFFER, on = 1;
    AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "socket", "netlink");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "connect", "netlink");
    if (netlink_new(fd, ret_netlink, err) < 0)
        return -1;
    STEAL_FD(fd);
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    if (netlink)
        close(netlink->fd);
    free(netlink);
}

void netlink_set_deadline(struct netlink *netlink, unsigned milliseconds)
{
    netlink->wait_ms = milliseconds;
}

/* The next datagram's length, or minus an errno: -ETIMEDOUT at the deadline. */
static ssize_t receive(struct netlink *netlink, int64_t deadline)
{
    for (;;) {
        struct iovec iov = {netlink->datagram, sizeof netlink->datagram};
        struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t length = recvmsg(netlink->fd, &header, MSG_DONTWAIT);
        if (length >= 0)
            return header.msg_flags & MSG_TRUNC ? -EMSGSIZE : length;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int64_t rest = deadline - now_ms();
        if (rest <= 0)
            return -ETIMEDOUT;
        struct pollfd wait = {.fd = netlink->fd, .events = POLLIN};
        poll(&wait, 1, (int)rest);
    }
}

static int transmit(struct netlink *netlink, const void *bytes, size_t length)
{
    ssize_t sent;
    do
        sent = send(netlink->fd, bytes, length, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* Batches */

/* Requests first to first + count - 1 of a batch, with sequence numbers from base on. */
struct piece {
    struct nlmessage_answer *answers;
    uint32_t base;
    unsigned first, count;
};

/* Takes what answers of the piece are in the datagram. -EPROTO: malformed. */
static int take_answers(const struct netlink *netlink, size_t length, const struct piece *piece,
                        unsigned *open)
{
    const uint8_t *at = netlink->datagram;
    const uint8_t *end = at + length;
    struct nlmessage message;
    int got;
    while ((got = nlmessage_next(&at, end, &message)) > 0) {
        struct nlmessage_answer answer;
        uint32_t number = message.sequence - piece->base;
        if (message.type != NLMSG_ERROR || number >= piece->count)
            continue;
        if (!nlmessage_answer(&message, &answer))
            return -EPROTO;
        struct nlmessage_answer *slot = &piece->answers[piece->first + number];
        /* What was done before the answers to others were lost stays done. */
        if (slot->error == NO_ANSWER || slot->error > 0)
            *slot = answer;
        *open -= *open > 0;
    }
    return got < 0 ? -EPROTO : 0;
}

/* 0 when all requests of the piece are answered; -ENOBUFS when answers were lost. The kernel has
 * queued all answers before send(2) returns, so that after a loss an empty queue is the end. */
static int collect(struct netlink *netlink, const struct piece *piece, int64_t deadline)
{
    bool lost = false;
    unsigned open = piece->count;
    while (open > 0) {
        ssize_t length = receive(netlink, lost ? 0 : deadline);
        if (length == -ENOBUFS)
            lost = true;
        else if (length < 0)
            return lost && length == -ETIMEDOUT ? -ENOBUFS : (int)length;
        else if (take_answers(netlink, (size_t)length, piece, &open) < 0)
            return -EPROTO;
    }
    return 0;
}

/* Gives the piece's messages their sequence numbers; returns their length in bytes. */
static size_t number_messages(uint8_t *bytes, const struct piece *piece)
{
    size_t length = 0;
    for (unsigned i = 0; i < piece->count; i++) {
        struct nlmsghdr header;
        memcpy(&header, bytes + length, sizeof header);
        header.nlmsg_seq = piece->base + i;
        memcpy(bytes + length, &header, sizeof header);
        length += NLMSG_ALIGN((size_t)header.nlmsg_len);
    }
    return length;
}

/* Requests from *first on, size at a time. *first and *offset end at the first piece that was not
 * answered in full. */
static int send_pieces(struct netlink *netlink, const struct nlmessage_writer *batch, unsigned size,
                       int64_t deadline, struct nlmessage_answer *answers, unsigned *first,
                       size_t *offset)
{
    uint8_t *bytes = batch->bytes.data + batch->bytes.start;
    while (*first < batch->count) {
        unsigned rest = batch->count - *first;
        const struct piece piece = {.answers = answers,
                                    .base = netlink->sequence,
                                    .first = *first,
                                    .count = rest < size ? rest : size};
        size_t length = number_messages(bytes + *offset, &piece);
        netlink->sequence += piece.count;
        int status = transmit(netlink, bytes + *offset, length);
        if (status == 0)
            status = collect(netlink, &piece, deadline);
        if (status < 0)
            return status;
        *first += piece.count;
        *offset += length;
    }
    return 0;
}

void netlink_exchange(struct netlink *netlink, const struct nlmessage_writer *batch,
                      struct nlmessage_answer *ret_answers)
{
    int64_t deadline = now_ms() + netlink->wait_ms;
    unsigned first = 0;
    size_t offset = 0;
    for (unsigned i = 0; i < batch->count; i++)
        ret_answers[i] = (struct nlmessage_answer){.error = NO_ANSWER};
    int status = batch->failed ? -ENOMEM : 0;
    if (status == 0)
        status = send_pieces(netlink, batch, NETLINK_PIECE, deadline, ret_answers, &first, &offset);
    if (status == -ENOBUFS)
        status = send_pieces(netlink, batch, 1, deadline, ret_answers, &first, &offset);
    for (unsigned i = 0; i < batch->count; i++)
        if (ret_answers[i].error == NO_ANSWER)
            ret_answers[i].error = -status;
}

/* Dumps */

/* 1: it is complete, 0: more follows, or minus an errno. */
static int take_part(const struct netlink *netlink, size_t length, uint32_t sequence,
                     struct nsp_buf *bytes, bool *interrupted)
{
    const uint8_t *at = netlink->datagram;
    const uint8_t *end = at + length;
    for (;;) {
        struct nlmessage message;
        struct nlmessage_answer answer;
        const uint8_t *start = at;
        int got = nlmessage_next(&at, end, &message);
        if (got <= 0)
            return got < 0 ? -EPROTO : 0;
        if (message.sequence != sequence)
            continue;
        if (message.flags & NLM_F_DUMP_INTR)
            *interrupted = true;
        if (message.type == NLMSG_DONE || message.type == NLMSG_ERROR) {
            if (!nlmessage_answer(&message, &answer))
                return -EPROTO;
            return answer.error ? -answer.error : 1;
        }
        if (nsp_buf_append(bytes, start, (size_t)(at - start), NULL) < 0)
            return -ENOMEM;
    }
}

/* Of what stands behind struct nlmsghdr; its first byte is the family. */
static size_t header_length(uint16_t type)
{
    switch (type) {
    case RTM_GETLINK:
        return sizeof(struct ifinfomsg);
    case RTM_GETADDR:
        return sizeof(struct ifaddrmsg);
    case RTM_GETNEIGH:
        return sizeof(struct ndmsg);
    default:
        return sizeof(struct rtmsg);
    }
}

static int dump_once(struct netlink *netlink, uint16_t type, uint8_t family, int64_t deadline,
                     struct nsp_buf *bytes, bool *ret_interrupted)
{
    const uint32_t sequence = netlink->sequence++;
    struct {
        struct nlmsghdr message;
        uint8_t header[sizeof(struct ifinfomsg)];
    } request = {.message = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(header_length(type)),
                             .nlmsg_type = type,
                             .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                             .nlmsg_seq = sequence},
                 .header = {family}};
    nsp_buf_consume(bytes, nsp_buf_length(bytes));
    *ret_interrupted = false;
    int status = transmit(netlink, &request, request.message.nlmsg_len);
    while (status == 0) {
        ssize_t length = receive(netlink, deadline);
        if (length < 0)
            return (int)length;
        status = take_part(netlink, (size_t)length, sequence, bytes, ret_interrupted);
    }
    return status < 0 ? status : 0;
}

static int fail_dump(struct nsp_error *err, int status)
{
    if (status == -ETIMEDOUT)
        return nsp_fail_on(err, NSP_E_DEADLINE, "netlink", "the kernel did not answer in time");
    if (status == -ENOMEM)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "netlink", "no room for what the kernel told");
    enum nsp_error_code code =
        status == -EPERM || status == -EACCES ? NSP_E_PERMISSION : NSP_E_SYSTEM;
    return nsp_fail_errno(err, code, -status, "dump", "netlink");
}

int netlink_dump(struct netlink *netlink, uint16_t type, uint8_t family, struct nsp_buf *ret_bytes,
                 struct nsp_error *err)
{
    int64_t deadline = now_ms() + netlink->wait_ms;
    struct nsp_buf bytes;
    bool interrupted = true;
    int status = 0;
    nsp_buf_init(&bytes, NETLINK_DUMP_MAX);
    for (int i = 0; i < DUMP_TRIES && status == 0 && interrupted; i++)
        status = dump_once(netlink, type, family, deadline, &bytes, &interrupted);
    if (status == 0 && interrupted)
        status = -EAGAIN;
    if (status < 0) {
        nsp_buf_done(&bytes);
        return fail_dump(err, status);
    }
    *ret_bytes = bytes;
    return 0;
}
