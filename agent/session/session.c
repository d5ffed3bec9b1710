/* The life of one session: see session_impl.h. */
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/session/session_impl.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum {
    PIECES_PER_TURN = 4,
    GOODBYE_BYTES = 8192, /* room for a last error beyond the control queue */
};

static const char *const state_names[] = {"opening",  "greeting",  "running",
                                          "refusing", "lingering", "closed"};
_Static_assert(sizeof state_names / sizeof *state_names == SESSION_STATES, "one name a state");

static void set_state(struct session *session, enum session_state state)
{
    log_debug("session", "conn=%llu from=%s to=%s", (unsigned long long)session->id,
              state_names[session->state], state_names[state]);
    session->state = state;
}

bool session_is_open(const struct session *session)
{
    return session->state < LINGERING && !conn_lost(session->conn);
}

bool session_takes_input(const struct session *session)
{
    return session->state <= RUNNING && !conn_lost(session->conn) &&
           conn_queued(session->conn) < session->server->limits.control_queue / 2;
}

struct loop *session_loop(const struct session *session)
{
    return session->server->loop;
}

void session_touch(struct session *session)
{
    if (!session->busy)
        loop_defer(session->server->loop, &session->work);
}

void session_request(struct session *session, struct stream *stream, const char *text,
                     size_t length)
{
    session->server->callbacks->request(session->server->arg, stream, text, length);
}

/* Endings */

static void log_end(const struct session *session, const struct nsp_error *why)
{
    char quoted[256];
    log_info("connection ends", "conn=%llu state=%s error=%s detail=%s",
             (unsigned long long)session->id, state_names[session->state],
             nsp_error_name(why->code),
             log_quote(quoted, sizeof quoted, why->msg, strlen(why->msg)));
}

/* Gives back the place among those that have not said hello. */
static void leave_unauthenticated(struct session *session)
{
    if (session->counted)
        session->server->unauthenticated--;
    session->counted = false;
}

static void close_session(struct session *session)
{
    if (session->state == CLOSED)
        return;
    set_state(session, CLOSED);
    leave_unauthenticated(session);
    timer_cancel(session->timer);
    session_touch(session);
}

static void arm(struct session *session, uint64_t delay_ms)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (timer_set(session->timer, delay_ms * CLOCK_NS_PER_MS, &err) < 0)
        session_drop(session, &err);
}

static void linger(struct session *session)
{
    set_state(session, LINGERING);
    session_touch(session);
    arm(session, session->server->limits.linger_ms);
}

void session_drop(struct session *session, const struct nsp_error *why)
{
    if (session->state == CLOSED)
        return;
    log_end(session, why);
    close_session(session);
}

void session_fail(struct session *session, const struct nsp_error *why)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (session->state >= LINGERING)
        return;
    if (!session->mode || session->mode->goodbye(session, why, &err) < 0) {
        session_drop(session, why);
        return;
    }
    log_end(session, why);
    conn_hold(session->conn, false);
    linger(session);
}

/* Hello and keepalive */

void session_greet(struct session *session)
{
    if (session->greeted || session->state > GREETING)
        return;
    session->greeted = true;
    leave_unauthenticated(session);
    set_state(session, RUNNING);
    if (session->mode->ping)
        arm(session, session->server->limits.keepalive_idle_ms);
    else
        timer_cancel(session->timer);
}

void session_refuse(struct session *session)
{
    if (session->state >= REFUSING)
        return;
    log_warn("wrong token", "conn=%llu", (unsigned long long)session->id);
    set_state(session, REFUSING);
    conn_hold(session->conn, true);
    arm(session, session->server->limits.refusal_ms);
}

static void ping(struct session *session, uint64_t now)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (session->mode->ping(session, &err) < 0) {
        session_drop(session, &err);
        return;
    }
    session->pinged_ns = now;
    session_touch(session);
    arm(session, session->server->limits.keepalive_dead_ms);
}

/* Bytes that come only note their time; the timer finds out how long the silence is by now. */
static void keep_alive(struct session *session)
{
    const struct session_limits *limits = &session->server->limits;
    uint64_t now = clock_now_ns();
    bool waiting = session->pinged_ns > session->heard_ns;
    uint64_t since_ms =
        (now - (waiting ? session->pinged_ns : session->heard_ns)) / CLOCK_NS_PER_MS;
    uint64_t limit_ms = waiting ? limits->keepalive_dead_ms : limits->keepalive_idle_ms;
    struct nsp_error err = NSP_ERROR_INIT;

    if (since_ms < limit_ms) {
        arm(session, limit_ms - since_ms);
    } else if (!waiting) {
        ping(session, now);
    } else {
        (void)nsp_fail(&err, NSP_E_KEEPALIVE, "nothing came for %llu ms after a ping",
                       (unsigned long long)since_ms);
        session_fail(session, &err);
    }
}

static void on_timer(void *arg)
{
    struct session *session = arg;
    struct nsp_error err = NSP_ERROR_INIT;
    switch (session->state) {
    case OPENING:
    case GREETING:
        (void)nsp_fail(&err, NSP_E_HELLO_REQUIRED, "no hello within %u ms",
                       session->server->limits.hello_ms);
        session_fail(session, &err);
        break;
    case RUNNING:
        keep_alive(session);
        break;
    case REFUSING:
        conn_hold(session->conn, false);
        linger(session);
        break;
    default:
        close_session(session);
    }
}

/* Input */

static void choose_mode(struct session *session)
{
    struct nsp_error err = NSP_ERROR_INIT;
    uint8_t first = *nsp_buf_bytes(conn_input(session->conn));
    bool is_text = first == '{' || first == '[';

    session->mode = first == NSP_PREFACE_FIRST_BYTE ? &mux_mode : &text_mode;
    set_state(session, GREETING);
    if (session->refused) {
        (void)nsp_fail_on(&err, NSP_E_EXHAUSTED, "connections", "too many connections");
        session_fail(session, &err);
    } else if (session->mode == &text_mode && !is_text) {
        (void)nsp_fail(&err, NSP_E_PARSE, "a connection starts with 0xC0 or {, not with 0x%02x",
                       first);
        session_fail(session, &err);
    }
}

static void feed(struct session *session)
{
    struct nsp_buf *input = conn_input(session->conn);
    if (session->state == OPENING && nsp_buf_length(input) > 0)
        choose_mode(session);
    if (session->mode && session_takes_input(session))
        session->mode->input(session);
    if (session->state >= LINGERING)
        nsp_buf_consume(input, nsp_buf_length(input));
    session->stalled = !session_takes_input(session) && nsp_buf_length(input) > 0;
}

/* Output */

static void send_pieces(struct session *session)
{
    session->more = false;
    for (int n = 0; session->ready.first && session_is_open(session); n++) {
        if (!conn_room(session->conn))
            return;
        if (n == PIECES_PER_TURN) {
            session->more = true;
            return;
        }
        stream_send_piece(session->ready.first);
    }
}

/* Writes what can be written, and derives from the state what to wait for. */
static void pump(struct session *session)
{
    struct conn *conn = session->conn;
    send_pieces(session);
    conn_flush(conn);
    if (conn_queued(conn) == 0 && session->mode && session->mode->flushed)
        session->mode->flushed(session);
    if (session->state == LINGERING && conn_queued(conn) == 0 && !session->ended) {
        session->ended = true;
        conn_end(conn);
    }
    bool input = session_takes_input(session) || session->state == LINGERING;
    bool room = session->ready.first && session_is_open(session) && !session->more;
    conn_want(conn, input, room);
}

static void free_gone_streams(struct session *session)
{
    struct stream *stream;
    while ((stream = session->gone.first)) {
        stream_list_remove(&session->gone, stream);
        stream_free(stream);
    }
}

static void lose_streams(struct session *session)
{
    size_t cursor = 0;
    struct stream *stream;
    while ((stream = idmap_next(&session->streams, &cursor)))
        stream_lose(stream);
}

/* Brings everything into order after events; no callback of a stream is on the stack. */
static void settle(struct session *session)
{
    session->busy = true;
    if (session->state != CLOSED)
        pump(session);
    /* Reading had stopped in the middle of the buffer. */
    if (session->stalled && session_takes_input(session)) {
        feed(session);
        pump(session);
        session->more |= session->stalled && session_takes_input(session);
    }
    if (session->state >= LINGERING)
        lose_streams(session);
    free_gone_streams(session);
    session->busy = false;
    if (session->more || session->state == CLOSED)
        session_touch(session);
}

static void on_conn(void *arg, enum conn_event event)
{
    struct session *session = arg;
    if (event == CONN_LOST) {
        log_error(LOG_DEBUG, "connection lost", conn_error(session->conn));
        close_session(session);
        return;
    }
    if (session->state == CLOSED)
        return;
    /* While nothing is read, what the peer takes from us is its sign of life. */
    if (event == CONN_INPUT || !session_takes_input(session))
        session->heard_ns = clock_now_ns();
    session->busy = true;
    if (event == CONN_INPUT)
        feed(session);
    settle(session);
}

/* Beginning and end */

static void unlink_session(struct session *session)
{
    struct session_server *server = session->server;
    *(session->previous ? &session->previous->next : &server->first) = session->next;
    *(session->next ? &session->next->previous : &server->last) = session->previous;
    leave_unauthenticated(session);
    server->totals.bytes_in += conn_bytes_in(session->conn);
    server->totals.bytes_out += conn_bytes_out(session->conn);
}

static void destroy(struct session *session)
{
    lose_streams(session);
    free_gone_streams(session);
    /* Who only looks whether somebody listens is no news. */
    log_write(session->greeted ? LOG_INFO : LOG_DEBUG, "connection closed",
              "conn=%llu in=%llu out=%llu", (unsigned long long)session->id,
              (unsigned long long)conn_bytes_in(session->conn),
              (unsigned long long)conn_bytes_out(session->conn));
    unlink_session(session);
    loop_undefer(session->server->loop, &session->work);
    timer_free(session->timer);
    conn_free(session->conn);
    idmap_done(&session->streams);
    idmap_done(&session->mux.discarding);
    free(session);
}

static void session_work(void *arg)
{
    struct session *session = arg;
    if (session->state == CLOSED)
        destroy(session);
    else
        settle(session);
}

void session_free(struct session *session)
{
    struct nsp_error why = NSP_ERROR_INIT;
    (void)nsp_fail(&why, NSP_E_SHUTTING_DOWN, "%s", nsp_error_text(NSP_E_SHUTTING_DOWN));
    session_fail(session, &why);
    if (session->state != CLOSED)
        conn_flush(session->conn);
    set_state(session, CLOSED);
    destroy(session);
}

static int make_parts(struct session *session, int fd, const struct transport *transport,
                      struct nsp_error *err)
{
    AUTO_FD int owned = fd;
    const struct session_limits *limits = &session->server->limits;
    const struct conn_limits conn_limits = {
        /* A text line with its line end, or a frame. */
        .input = NSP_LIMIT_JSON_MESSAGE + 2,
        .output = limits->control_queue + limits->socket_unsent + GOODBYE_BYTES,
        .unsent = limits->socket_unsent,
    };
    if (timer_new(session->server->loop, on_timer, session, &session->timer, err) < 0)
        return -1;
    if (timer_set(session->timer, limits->hello_ms * CLOCK_NS_PER_MS, err) < 0)
        return -1;
    return conn_new(session->server->loop, STEAL_FD(owned), transport, &conn_limits, on_conn,
                    session, &session->conn, err);
}

int session_open(struct session_server *server, int fd, const struct transport *transport,
                 const struct token *token, bool refused, struct nsp_error *err)
{
    AUTO_FD int owned = fd;
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a session");
    *session = (struct session){
        .server = server,
        .id = ++server->next_id,
        .refused = refused,
        .needs_token = token != NULL,
        .heard_ns = clock_now_ns(),
        .counted = true,
        .work = {.callback = session_work, .arg = session},
        .previous = server->last,
    };
    if (token)
        session->token = *token;
    /* One more: text mode knows a request's id only once it is a stream. */
    idmap_init(&session->streams, server->limits.streams + 1);
    idmap_init(&session->mux.discarding, server->limits.streams);
    if (make_parts(session, STEAL_FD(owned), transport, err) < 0) {
        timer_free(session->timer);
        free(session);
        return -1;
    }
    *(server->last ? &server->last->next : &server->first) = session;
    server->last = session;
    server->unauthenticated++;
    server->totals.connections_total++;
    log_debug("connection opened", "conn=%llu transport=%s", (unsigned long long)session->id,
              transport->scheme);
    return 0;
}
