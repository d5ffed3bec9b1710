/* Sessions: what connections mean. A session finds out the mode, sees to hello and keepalive, and
 * runs the mux (binary mode) or text mode over its transport connection.
 *
 * The layer above (rpc) is reached through one callback a request and answers by the stream.
 */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "agent/loop/loop.h"
#include "agent/session/stream.h"

struct listener;
struct session_server;

struct session_callbacks {
    /* A request opened the stream; text is the whole JSON message, not yet checked. */
    void (*request)(void *arg, struct stream *stream, const char *text, size_t length);
};

struct session_stats {
    uint64_t connections, connections_total, refused_total, streams;
    uint64_t bytes_in, bytes_out;
};

/* callbacks and arg must outlive the server. */
int session_server_new(struct loop *loop, const struct session_callbacks *callbacks, void *arg,
                       struct session_server **ret_server, struct nsp_error *err);
/* Ends all sessions (GOAWAY SHUTTING_DOWN where it can be written at once) and frees everything. */
void session_server_free(struct session_server *server);

/* The limits in force: those of limits.def, unless a test sets others before connections come. */
struct session_limits {
    size_t control_queue, socket_unsent;
    unsigned connections, unauthenticated, streams;
    unsigned hello_ms, keepalive_idle_ms, keepalive_dead_ms;
    unsigned refusal_ms; /* delay of the answer to a wrong token */
    unsigned linger_ms;  /* time that the peer has to read why the connection ends */
};
const struct session_limits *session_server_limits(const struct session_server *server);
void session_server_set_limits(struct session_server *server, const struct session_limits *limits);

/* Starts accepting from the listener, which the server then owns. */
int session_server_add(struct session_server *server, struct listener *listener,
                       struct nsp_error *err);
/* Stops accepting for good and takes the listeners' names away; running sessions go on. */
void session_server_stop_accepting(struct session_server *server);
/* For the end: nothing waits to be sent; all are told SHUTTING_DOWN and linger; none is left. */
bool session_server_is_quiet(const struct session_server *server);
void session_server_say_goodbye(struct session_server *server);
bool session_server_is_empty(const struct session_server *server);
/* Takes over an accepted or socketpair'ed descriptor, as if a listener without token had it. */
int session_server_adopt(struct session_server *server, int fd, struct nsp_error *err);

void session_server_stats(const struct session_server *server, struct session_stats *ret_stats);

#endif
