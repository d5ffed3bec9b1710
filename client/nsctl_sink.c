#include "client/nsctl_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A line of JSON: 64 KiB of output, escaped. */
enum { QUEUE_MAX = 1 << 20 };

void nsctl_sink_init(struct nsctl_sink *sink, int fd)
{
    struct stat status;
    *sink = (struct nsctl_sink){.kind = NSCTL_SINK_DIRECT, .fd = fd};
    nsp_buf_init(&sink->queue, QUEUE_MAX);
    int flags = fcntl(fd, F_GETFL);
    if (fstat(fd, &status) < 0 || (flags >= 0 && flags & O_NONBLOCK))
        return;
    if (S_ISSOCK(status.st_mode)) {
        sink->kind = NSCTL_SINK_SOCKET;
    } else if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        sink->kind = own >= 0 ? NSCTL_SINK_REOPENED : NSCTL_SINK_POLLED;
        sink->fd = own >= 0 ? own : fd;
    }
}

void nsctl_sink_done(struct nsctl_sink *sink)
{
    if (sink->kind == NSCTL_SINK_REOPENED)
        close(sink->fd);
    nsp_buf_done(&sink->queue);
}

static ssize_t write_once(struct nsctl_sink *sink, const void *bytes, size_t length)
{
    struct pollfd slot = {.fd = sink->fd, .events = POLLOUT};
    switch (sink->kind) {
    case NSCTL_SINK_SOCKET:
        return send(sink->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    case NSCTL_SINK_POLLED:
        if (poll(&slot, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        return write(sink->fd, bytes, length < PIPE_BUF ? length : PIPE_BUF);
    default:
        return write(sink->fd, bytes, length);
    }
}

long nsctl_sink_write(struct nsctl_sink *sink, const void *bytes, size_t length,
                      struct nsp_error *err)
{
    ssize_t n;
    do {
        n = write_once(sink, bytes, length);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno != EAGAIN)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "write", NULL);
    sink->blocked = true;
    return 0;
}

int nsctl_sink_queue(struct nsctl_sink *sink, const void *bytes, size_t length,
                     struct nsp_error *err)
{
    if (nsp_buf_append(&sink->queue, bytes, length, err) < 0)
        return -1;
    return nsctl_sink_flush(sink, err);
}

int nsctl_sink_flush(struct nsctl_sink *sink, struct nsp_error *err)
{
    while (!sink->blocked && nsp_buf_length(&sink->queue) > 0) {
        long n =
            nsctl_sink_write(sink, nsp_buf_bytes(&sink->queue), nsp_buf_length(&sink->queue), err);
        if (n < 0)
            return -1;
        nsp_buf_consume(&sink->queue, (size_t)n);
    }
    return nsp_buf_length(&sink->queue) == 0;
}
