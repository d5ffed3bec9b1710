/* A session server and a hand-driven client in one thread, joined by a socketpair or a loopback
 * connection. The requests that it understands are the test's own:
 *
 *   {"method":"hello","token":"..."}   stream_greet
 *   {"method":"echo"}                  answered at once with the request itself
 *   {"method":"hold"}                  never answered, unless it is cancelled
 *   {"method":"source","bytes":N}      N bytes on channel 2 (byte k is peer_byte(k)), END, answer
 *   {"method":"gap","bytes":N}         a GAP of N bytes on channel 2, then N bytes, END, answer
 *   {"method":"sink","bytes":W}        takes channel 1 with a window of W; answered at END
 *   {"method":"notify","bytes":N}      one notification with a string of N bytes, answer
 *   {"method":"stuck"}                 wants to pull, never has anything
 *   {"method":"long","bytes":N}        answered with N bytes
 *
 * "deadline_ms" sets a deadline, "id" (a number, text mode) the label.
 */
#ifndef TESTS_SUPPORT_PEER_H
#define TESTS_SUPPORT_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "agent/loop/loop.h"
#include "agent/session/session.h"
#include "agent/session/stream.h"
#include "protocol/buf.h"
#include "protocol/frame.h"

enum { PEER_CALLS = 8192 };

/* One request as the layer above the session saw it. */
struct peer_call {
    struct peer *peer;
    struct stream *stream; /* NULL when it has ended */
    char method[16];
    uint64_t bytes, sent, gap, consumed, received;
    bool input_ended, output_ended, auto_consume;
    unsigned responded, lost, cancelled, deadlines, pulls, wrong_bytes;
};

struct peer {
    struct loop *loop;
    struct session_server *server;
    int fd; /* the client's end; -1: closed */
    struct nsp_buf in;
    bool paused; /* the client does not read */
    size_t read_limit;
    bool closed_by_agent;
    struct peer_call *calls;
    unsigned call_count;
    bool consume; /* sinks give credit back at once */
};

/* limits: NULL for the usual ones. No connection yet. */
void peer_set_up(struct peer *peer, const struct session_limits *limits);
void peer_tear_down(struct peer *peer);

void peer_connect(struct peer *peer); /* a socketpair that the server adopts */
/* Over loopback TCP, where this token is asked for. */
void peer_connect_tcp(struct peer *peer, const char *token);
void peer_disconnect(struct peer *peer);

/* Sends all; runs the loop while the socket is full. */
void peer_send(struct peer *peer, const void *bytes, size_t length);
void peer_send_text(struct peer *peer, const char *text);
void peer_send_frame(struct peer *peer, const struct nsp_frame *frame, const void *payload);
void peer_request(struct peer *peer, uint32_t stream, const char *text);
/* Part of a request. */
void peer_request_part(struct peer *peer, uint32_t stream, const char *text, size_t length,
                       bool more);
/* PING, PONG, CREDIT, GAP. */
void peer_send_number(struct peer *peer, uint8_t type, uint32_t stream, uint8_t channel,
                      uint64_t offset, uint64_t number);
/* Without payload: END, CANCEL. */
void peer_send_plain(struct peer *peer, uint8_t type, uint32_t stream, uint8_t channel,
                     uint64_t offset);
/* DATA on channel 1 with bytes of peer_byte. */
void peer_send_data(struct peer *peer, uint32_t stream, uint64_t offset, size_t length);
/* Preface and hello, and takes the answers. */
void peer_greet(struct peer *peer);

/* Runs the loop until nothing happens any more at once, reading what comes. */
void peer_settle(struct peer *peer);
/* Runs the loop for so long. */
void peer_wait(struct peer *peer, unsigned ms);

/* Takes the next whole frame; false when there is none. The payload stays until the next call. */
bool peer_next(struct peer *peer, struct nsp_frame *ret_frame, const char **ret_payload);
/* As peer_next, but it must be there and of this type. */
struct nsp_frame peer_expect(struct peer *peer, uint8_t type, const char **ret_payload);
void peer_expect_preface(struct peer *peer);
/* A GOAWAY with this error comes next (frames of other types are passed over), then the end. */
void peer_expect_goaway(struct peer *peer, const char *name);
/* Takes the next line without its newline into target; false when there is none. */
bool peer_next_line(struct peer *peer, char *target, size_t capacity);

/* Takes DATA of the stream from offset on, checking every byte; returns where it ends. */
uint64_t peer_take_data(struct peer *peer, uint32_t stream, uint64_t offset);
/* The payload is an error of this name. */
void peer_assert_error(const struct nsp_frame *frame, const char *payload, const char *name);

struct session_stats peer_stats(const struct peer *peer);
struct peer_call *peer_last_call(struct peer *peer);

uint8_t peer_byte(uint64_t offset);

#endif
