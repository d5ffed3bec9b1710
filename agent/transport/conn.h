/* A buffered connection: bytes in, bytes out, nothing about their meaning.
 *
 * Input is read into a buffer when the loop says so, and the owner takes from it what it can use.
 * Output goes through a queue (conn_send) that conn_flush writes, or straight from the caller's
 * memory, together with what is queued, by conn_send_now; what the socket does not take at once is
 * queued, so bytes never change their order.
 *
 * Bulk data should wait for conn_room: little is queued or unsent in the kernel, so that what is
 * sent next does not wait behind much. Whether the loop watches for writability follows from "is
 * something queued or does the owner wait for room", and is never set by hand.
 *
 * A lost peer is an event like others (CONN_LOST, once, always from the loop); nothing is read or
 * written after it.
 */
#ifndef AGENT_CONN_H
#define AGENT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "agent/loop/loop.h"
#include "agent/transport/transport.h"
#include "protocol/buf.h"
#include "protocol/error.h"

struct conn;

enum conn_event {
    CONN_INPUT,  /* bytes were added to conn_input */
    CONN_OUTPUT, /* the socket takes bytes again: conn_flush, then more */
    CONN_LOST,   /* see conn_error; only conn_free is useful now */
};

typedef void (*conn_callback)(void *arg, enum conn_event event);

enum { CONN_IOV = 4 };

struct conn_limits {
    size_t input;  /* bytes of input at once: the longest unit that is taken whole */
    size_t output; /* bytes queued at once */
    size_t unsent; /* bytes unsent in the kernel */
};

/* Takes fd (closed on error too) and starts reading. */
int conn_new(struct loop *loop, int fd, const struct transport *transport,
             const struct conn_limits *limits, conn_callback callback, void *arg,
             struct conn **ret_conn, struct nsp_error *err);
/* Closes. Not inside the callback: defer it. NULL is fine. */
void conn_free(struct conn *conn);

/* What has come: take from the front with nsp_buf_consume. */
struct nsp_buf *conn_input(struct conn *conn);

/* Queues. EXHAUSTED beyond the limit; nothing is queued then. */
int conn_send(struct conn *conn, const void *bytes, size_t length, struct nsp_error *err);
/* Room to write length bytes in place, then conn_commit. */
int conn_reserve(struct conn *conn, size_t length, uint8_t **ret_room, struct nsp_error *err);
void conn_commit(struct conn *conn, size_t length);

/* Writes what is queued and these bytes at once, and queues the rest. At most CONN_IOV parts. The
 * bytes are the caller's again after it. EXHAUSTED is fatal for the connection, since a part may
 * have gone out. */
int conn_send_now(struct conn *conn, const struct iovec *iov, int count, struct nsp_error *err);

/* Writes what is queued, as far as the limit of unsent bytes and the socket allow. */
void conn_flush(struct conn *conn);
size_t conn_queued(const struct conn *conn);
bool conn_room(struct conn *conn);
/* Most bytes of one unit of bulk data. */
size_t conn_piece(const struct conn *conn);

/* What to watch for: input; room for more than what is queued. */
void conn_want(struct conn *conn, bool input, bool room);

/* Held, it neither reads nor writes; what is sent stays queued. */
void conn_hold(struct conn *conn, bool held);

/* Tells the peer that nothing follows, where the transport can. */
void conn_end(struct conn *conn);

/* Why it was lost: NONE when the peer closed it in order, or while it is not lost. */
const struct nsp_error *conn_error(const struct conn *conn);
bool conn_lost(const struct conn *conn);
uint64_t conn_bytes_in(const struct conn *conn);
uint64_t conn_bytes_out(const struct conn *conn);

#endif
