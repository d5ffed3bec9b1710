/* One session, as the files of this folder share it. Nobody else includes this.
 *
 *   OPENING --first byte--> GREETING --hello--> RUNNING
 *      |                     |   \--wrong token--> REFUSING --delay--.
 *      |                     |                                       v
 *      '------- error -------+--------- error, GOAWAY ----------> LINGERING --flushed, peer closed,
 *                                                                     |        or time over--.
 *   any --peer lost, queue over its limit--> CLOSED <-----------------'----------------------'
 *
 * One timer serves all states, each in turn: hello, keepalive, delay, linger.
 *
 * What a callback of the layer above may end is never freed under it: streams that ended are freed
 * in settle, which comes last in every event of the connection and in the deferred session_work;
 * sessions only in session_work. Replies made outside an event of the connection touch the session,
 * so that all of one loop turn are written together.
 */
#ifndef AGENT_SESSION_IMPL_H
#define AGENT_SESSION_IMPL_H

#include "agent/base/idmap.h"
#include "agent/session/mux.h"
#include "agent/session/session.h"
#include "agent/session/stream_impl.h"
#include "agent/session/text.h"
#include "agent/transport/conn.h"
#include "agent/transport/token.h"

enum session_state { OPENING, GREETING, RUNNING, REFUSING, LINGERING, CLOSED, SESSION_STATES };

struct session;

/* What differs between binary and text mode. Functions that queue fail with EXHAUSTED. */
struct session_mode {
    const char *name;
    /* Takes what it can from the input, while session_takes_input. */
    void (*input)(struct session *session);
    int (*respond)(struct session *session, const struct stream *stream, const char *text,
                   size_t length, bool is_error, struct nsp_error *err);
    int (*notify)(struct session *session, const struct stream *stream, const char *method,
                  const char *params, size_t length, struct nsp_error *err);
    int (*piece)(struct session *session, struct stream *stream, const struct stream_piece *piece,
                 struct nsp_error *err);
    int (*credit)(struct session *session, const struct stream *stream, uint8_t channel,
                  struct nsp_error *err);
    int (*goodbye)(struct session *session, const struct nsp_error *why, struct nsp_error *err);
    int (*ping)(struct session *session, struct nsp_error *err); /* NULL: there is none */
    void (*flushed)(struct session *session);                    /* the queue is empty; or NULL */
    size_t piece_max;        /* bytes of one piece, besides the connection's own limit */
    uint64_t initial_credit; /* of each output channel */
};

extern const struct session_mode mux_mode, text_mode;

struct session_server {
    struct loop *loop;
    const struct session_callbacks *callbacks;
    void *arg;
    struct session_limits limits;
    struct session_listener *listeners;
    struct session *first, *last;
    uint64_t next_id;
    unsigned unauthenticated; /* sessions that have not said hello */
    struct session_stats
        totals; /* connections_total, refused_total; bytes of sessions that ended */
};

struct session {
    struct session_server *server;
    struct session *previous, *next; /* of the server, oldest first */
    uint64_t id;
    enum session_state state;
    const struct session_mode *mode; /* NULL: not known yet */
    struct conn *conn;
    struct timer *timer;
    struct loop_deferred work;
    struct token token;
    bool needs_token;
    bool greeted;
    bool counted; /* among those that have not said hello */
    bool refused; /* beyond CONNECTIONS: hears so and goes */
    bool ended;   /* LINGERING: conn_end was called */
    bool busy;    /* in settle: what it has to do is not deferred */
    bool more;    /* something is left for the next turn */
    bool stalled; /* input waits in the buffer until the peer has read its answers */
    uint64_t heard_ns, pinged_ns;
    struct idmap streams;
    struct stream_list ready; /* there may be something to pull */
    struct stream_list gone;  /* ended, to be freed */
    struct mux mux;
    struct text text;
};

/* transport and token (NULL: none is needed) are the listener's. Takes fd. */
int session_open(struct session_server *server, int fd, const struct transport *transport,
                 const struct token *token, bool refused, struct nsp_error *err);
/* At once, with SHUTTING_DOWN; only when the loop does not run. */
void session_free(struct session *session);

/* The peer hears why (GOAWAY), streams are lost, the connection closes. */
void session_fail(struct session *session, const struct nsp_error *why);
/* Closes without a word: nothing more can be queued. */
void session_drop(struct session *session, const struct nsp_error *why);

/* hello was said, or is not needed. */
void session_greet(struct session *session);
/* A wrong token: answers wait, and then the connection closes. */
void session_refuse(struct session *session);

/* False while the peer does not read what we answer, and once the session ends. */
bool session_takes_input(const struct session *session);
/* Requests, notifications and pieces still make sense. */
bool session_is_open(const struct session *session);

void session_request(struct session *session, struct stream *stream, const char *text,
                     size_t length);
struct loop *session_loop(const struct session *session);

/* Output was queued, or a stream is ready or has ended: settle will run. */
void session_touch(struct session *session);

/* A struct iovec's initializer, for texts that are put together from parts. */
#define SESSION_PART(text, size)                                                                   \
    {                                                                                              \
        .iov_base = (void *)(text), .iov_len = (size)                                              \
    }
#define SESSION_LITERAL(text) SESSION_PART(text, sizeof(text) - 1)

#endif
