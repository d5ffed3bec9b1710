/* Writing to standard output or standard error without ever waiting: a reader that stands still
 * must not keep the connection from answering the agent.
 *
 * O_NONBLOCK is a property that other programs share through the same open file, so it is never set
 * on descriptors 1 and 2. Sockets are written with MSG_DONTWAIT; pipes and terminals are opened
 * anew where that is possible, otherwise written in pieces which poll has promised room for.
 * Regular files take everything.
 */
#ifndef NSCTL_SINK_H
#define NSCTL_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/buf.h"
#include "protocol/error.h"

enum nsctl_sink_kind {
    NSCTL_SINK_DIRECT,
    NSCTL_SINK_SOCKET,
    NSCTL_SINK_REOPENED,
    NSCTL_SINK_POLLED
};

struct nsctl_sink {
    enum nsctl_sink_kind kind;
    int fd;
    bool blocked; /* poll for writing, then clear it */
    struct nsp_buf queue;
};

void nsctl_sink_init(struct nsctl_sink *sink, int fd);
void nsctl_sink_done(struct nsctl_sink *sink);

/* Returns how much was written, 0 when it is blocked; -1: SYSTEM, EPIPE too. */
long nsctl_sink_write(struct nsctl_sink *sink, const void *bytes, size_t length,
                      struct nsp_error *err);
/* Adds to the queue, which nsctl_sink_flush writes. 1: it is empty now, 0: blocked, -1: SYSTEM. */
int nsctl_sink_queue(struct nsctl_sink *sink, const void *bytes, size_t length,
                     struct nsp_error *err);
int nsctl_sink_flush(struct nsctl_sink *sink, struct nsp_error *err);

#endif
