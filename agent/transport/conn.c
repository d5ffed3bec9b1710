/* The kernel's share of unsent bytes is bounded by a low mark of half the limit: the socket counts
 * as writable below it (transport prepare), and then one piece of at most the other half may go.
 * While it is not known how much of it the peer has taken, unsent is an upper bound: what was
 * written since the kernel was asked last.
 */
#include "agent/transport/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum {
    READ_SMALL = 4096, /* kept while nothing flows */
    READ_LARGE = 65536,
    QUEUE_KEPT = 4096,
};

struct conn {
    struct loop *loop;
    struct io *io;
    const struct transport *transport;
    conn_callback callback;
    void *arg;
    struct nsp_buf input, output;
    size_t low, unsent, read_size;
    bool want_input, want_room, held, lost;
    struct nsp_error error;
    struct loop_deferred tell_lost;
    uint64_t bytes_in, bytes_out;
};

static void on_tell_lost(void *arg)
{
    struct conn *conn = arg;
    conn->callback(conn->arg, CONN_LOST);
}

static void lose(struct conn *conn)
{
    if (conn->lost)
        return;
    conn->lost = true;
    (void)io_want(conn->io, 0, NULL);
    loop_defer(conn->loop, &conn->tell_lost);
}

static void lose_errno(struct conn *conn, int sys_errno, const char *op)
{
    if (!conn->lost)
        (void)nsp_fail_errno(&conn->error, NSP_E_CONNECTION, sys_errno, op, NULL);
    lose(conn);
}

static void update_interest(struct conn *conn)
{
    if (conn->lost)
        return;
    bool write = nsp_buf_length(&conn->output) > 0 || conn->want_room;
    bool read = conn->want_input && nsp_buf_length(&conn->input) < conn->input.ceiling;
    unsigned wanted = (read ? IO_READ : 0) | (write ? IO_WRITE : 0);
    if (conn->held)
        wanted = 0;
    struct nsp_error err = NSP_ERROR_INIT;
    if (io_want(conn->io, wanted, &err) < 0)
        lose_errno(conn, err.sys_errno, err.op);
}

/* A read that filled its room is followed by larger ones; an idle connection keeps little. */
static void adapt_read_size(struct conn *conn, size_t got)
{
    if (got == conn->read_size)
        conn->read_size = READ_LARGE;
    else if (got < READ_SMALL)
        conn->read_size = READ_SMALL;
}

static void read_input(struct conn *conn)
{
    size_t held = nsp_buf_length(&conn->input);
    /* Filling up to a fixed size keeps the rest of a unit and a read in one allocation. */
    size_t room = held < conn->read_size / 2 ? conn->read_size - held : conn->read_size;
    size_t left = conn->input.ceiling - held;
    uint8_t *target;
    if (room > left)
        room = left;
    if (nsp_buf_reserve(&conn->input, room, &target, &conn->error) < 0) {
        lose(conn);
        return;
    }
    ssize_t got = read(io_fd(conn->io), target, room);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        lose_errno(conn, errno, "read");
        return;
    }
    if (got == 0) {
        lose(conn);
        return;
    }
    nsp_buf_commit(&conn->input, (size_t)got);
    conn->bytes_in += (uint64_t)got;
    adapt_read_size(conn, held + (size_t)got);
    conn->callback(conn->arg, CONN_INPUT);
    nsp_buf_shrink(&conn->input, READ_SMALL);
    update_interest(conn); /* a full buffer reads no more */
}

static void on_io(void *arg, unsigned ready)
{
    struct conn *conn = arg;
    if (conn->lost)
        return;
    if (ready & IO_READ) {
        read_input(conn);
        return;
    }
    /* Writable means that at most the low mark is unsent. */
    if (conn->unsent > conn->low)
        conn->unsent = conn->low;
    conn->callback(conn->arg, CONN_OUTPUT);
}

int conn_new(struct loop *loop, int fd, const struct transport *transport,
             const struct conn_limits *limits, conn_callback callback, void *arg,
             struct conn **ret_conn, struct nsp_error *err)
{
    AUTO_FD int owned = fd;
    AUTO_FREE struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a connection");
    *conn = (struct conn){
        .loop = loop,
        .transport = transport,
        .callback = callback,
        .arg = arg,
        .low = limits->unsent / 2,
        .read_size = READ_SMALL,
        .want_input = true,
        .error = NSP_ERROR_INIT,
        .tell_lost = {.callback = on_tell_lost, .arg = conn},
    };
    nsp_buf_init(&conn->input, limits->input);
    nsp_buf_init(&conn->output, limits->output);
    transport->prepare(fd, (int)conn->low);
    if (io_new(loop, fd, IO_READ, on_io, conn, &conn->io, err) < 0)
        return -1;
    (void)STEAL_FD(owned);
    *ret_conn = STEAL(conn);
    return 0;
}

void conn_free(struct conn *conn)
{
    if (!conn)
        return;
    loop_undefer(conn->loop, &conn->tell_lost);
    io_close(conn->io);
    nsp_buf_done(&conn->input);
    nsp_buf_done(&conn->output);
    free(conn);
}

struct nsp_buf *conn_input(struct conn *conn)
{
    return &conn->input;
}

int conn_send(struct conn *conn, const void *bytes, size_t length, struct nsp_error *err)
{
    return nsp_buf_append(&conn->output, bytes, length, err);
}

int conn_reserve(struct conn *conn, size_t length, uint8_t **ret_room, struct nsp_error *err)
{
    return nsp_buf_reserve(&conn->output, length, ret_room, err);
}

void conn_commit(struct conn *conn, size_t length)
{
    nsp_buf_commit(&conn->output, length);
}

/* Bytes that the socket took; 0 when it is full or lost. MSG_NOSIGNAL: a gone peer is an errno. */
static size_t write_some(struct conn *conn, const struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
    if (conn->lost)
        return 0;
    ssize_t taken = sendmsg(io_fd(conn->io), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (taken < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM)
            lose_errno(conn, errno, "write");
        return 0;
    }
    conn->bytes_out += (uint64_t)taken;
    conn->unsent += (size_t)taken;
    return (size_t)taken;
}

int conn_send_now(struct conn *conn, const struct iovec *iov, int count, struct nsp_error *err)
{
    size_t queued = nsp_buf_length(&conn->output);
    struct iovec all[CONN_IOV + 1];
    int first = queued > 0;
    if (queued > 0)
        all[0] = (struct iovec){(void *)nsp_buf_bytes(&conn->output), queued};
    memcpy(all + first, iov, (size_t)count * sizeof *iov);
    size_t taken = conn->held ? 0 : write_some(conn, all, first + count);
    size_t from_queue = taken < queued ? taken : queued;
    nsp_buf_consume(&conn->output, from_queue);
    taken -= from_queue;
    for (int i = 0; i < count; i++) {
        size_t skip = taken < iov[i].iov_len ? taken : iov[i].iov_len;
        taken -= skip;
        if (nsp_buf_append(&conn->output, (const uint8_t *)iov[i].iov_base + skip,
                           iov[i].iov_len - skip, err) < 0)
            return -1;
    }
    return 0;
}

/* Upper bound of what is unsent; asks the kernel only when the old bound is too high. */
static size_t unsent_at_most(struct conn *conn, size_t wanted)
{
    if (conn->unsent > wanted) {
        int unsent = conn->transport->unsent(io_fd(conn->io));
        conn->unsent = unsent < 0 ? 0 : (size_t)unsent;
    }
    return conn->unsent;
}

void conn_flush(struct conn *conn)
{
    size_t length = nsp_buf_length(&conn->output);
    if (length > 0 && !conn->held && !conn->lost) {
        size_t most = 2 * conn->low;
        size_t unsent = unsent_at_most(conn, length < most ? most - length : 0);
        if (length > most - (unsent < most ? unsent : most))
            length = most - (unsent < most ? unsent : most);
        struct iovec iov = {.iov_base = (void *)nsp_buf_bytes(&conn->output), .iov_len = length};
        if (length > 0)
            nsp_buf_consume(&conn->output, write_some(conn, &iov, 1));
        nsp_buf_shrink(&conn->output, QUEUE_KEPT);
    }
    update_interest(conn);
}

size_t conn_queued(const struct conn *conn)
{
    return nsp_buf_length(&conn->output);
}

bool conn_room(struct conn *conn)
{
    size_t queued = nsp_buf_length(&conn->output);
    if (conn->lost || conn->held || queued > conn->low)
        return false;
    return queued + unsent_at_most(conn, conn->low - queued) <= conn->low;
}

size_t conn_piece(const struct conn *conn)
{
    return conn->low;
}

void conn_want(struct conn *conn, bool input, bool room)
{
    conn->want_input = input;
    conn->want_room = room;
    update_interest(conn);
}

void conn_hold(struct conn *conn, bool held)
{
    conn->held = held;
    update_interest(conn);
}

void conn_end(struct conn *conn)
{
    if (!conn->lost && conn->transport->half_close)
        (void)shutdown(io_fd(conn->io), SHUT_WR);
}

const struct nsp_error *conn_error(const struct conn *conn)
{
    return &conn->error;
}

bool conn_lost(const struct conn *conn)
{
    return conn->lost;
}

uint64_t conn_bytes_in(const struct conn *conn)
{
    return conn->bytes_in;
}

uint64_t conn_bytes_out(const struct conn *conn)
{
    return conn->bytes_out;
}
