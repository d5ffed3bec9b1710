/* All sessions together: accepting, the limits on their number, the end. */
#include <stdlib.h>

#include "agent/base/log.h"
#include "agent/session/session_impl.h"
#include "agent/transport/listener.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

struct session_listener {
    struct session_listener *next;
    struct listener *listener;
};

static const struct session_limits default_limits = {
    .control_queue = NSP_LIMIT_CONTROL_QUEUE,
    .socket_unsent = NSP_LIMIT_SOCKET_UNSENT,
    .connections = NSP_LIMIT_CONNECTIONS,
    .unauthenticated = NSP_LIMIT_UNAUTHENTICATED,
    .streams = NSP_LIMIT_STREAMS,
    .hello_ms = NSP_LIMIT_HELLO_TIME,
    .keepalive_idle_ms = NSP_LIMIT_KEEPALIVE_IDLE,
    .keepalive_dead_ms = NSP_LIMIT_KEEPALIVE_DEAD,
    .refusal_ms = 1000,
    .linger_ms = 1000,
};

int session_server_new(struct loop *loop, const struct session_callbacks *callbacks, void *arg,
                       struct session_server **ret_server, struct nsp_error *err)
{
    struct session_server *server = calloc(1, sizeof *server);
    if (!server)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the session server");
    *server = (struct session_server){
        .loop = loop, .callbacks = callbacks, .arg = arg, .limits = default_limits};
    *ret_server = server;
    return 0;
}

const struct session_limits *session_server_limits(const struct session_server *server)
{
    return &server->limits;
}

void session_server_set_limits(struct session_server *server, const struct session_limits *limits)
{
    server->limits = *limits;
}

/* Those beyond the limit are bounded by UNAUTHENTICATED, and do not keep others away. */
static unsigned count_sessions(const struct session_server *server)
{
    unsigned count = 0;
    for (const struct session *session = server->first; session; session = session->next)
        count += session->state != CLOSED && !session->refused;
    return count;
}

/* Under a flood of connections that never say hello the newest have the best chance: a client that
 * means it sends its hello at once. */
static void evict_silent(struct session_server *server)
{
    struct session *session = server->first;
    struct nsp_error why = NSP_ERROR_INIT;
    while (session && !session->counted)
        session = session->next;
    if (!session)
        return;
    (void)nsp_fail_on(&why, NSP_E_EXHAUSTED, "unauthenticated",
                      "too many connections that have not said hello");
    server->totals.refused_total++;
    session_drop(session, &why);
}

static int take(struct session_server *server, int fd, const struct transport *transport,
                const struct token *token, struct nsp_error *err)
{
    bool refused = count_sessions(server) >= server->limits.connections;
    if (server->unauthenticated >= server->limits.unauthenticated)
        evict_silent(server);
    if (refused)
        server->totals.refused_total++;
    return session_open(server, fd, transport, token, refused, err);
}

static void on_accepted(void *arg, struct listener *listener, int fd)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (take(arg, fd, listener_transport(listener), listener_token(listener), &err) < 0)
        log_error(LOG_WARN, "connection refused", &err);
}

int session_server_add(struct session_server *server, struct listener *listener,
                       struct nsp_error *err)
{
    AUTO_FREE struct session_listener *entry = calloc(1, sizeof *entry);
    if (!entry) {
        listener_free(listener);
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a listener");
    }
    if (listener_start(listener, server->loop, on_accepted, server, err) < 0) {
        listener_free(listener);
        return -1;
    }
    entry->listener = listener;
    entry->next = server->listeners;
    server->listeners = STEAL(entry);
    return 0;
}

static void end_listeners(struct session_server *server, void (*end)(struct listener *listener))
{
    while (server->listeners) {
        struct session_listener *entry = server->listeners;
        server->listeners = entry->next;
        end(entry->listener);
        free(entry);
    }
}

void session_server_stop_accepting(struct session_server *server)
{
    end_listeners(server, listener_remove);
}

bool session_server_is_quiet(const struct session_server *server)
{
    for (const struct session *session = server->first; session; session = session->next)
        if (session->state < CLOSED && (session->ready.first || conn_queued(session->conn) > 0))
            return false;
    return true;
}

void session_server_say_goodbye(struct session_server *server)
{
    struct nsp_error why = NSP_ERROR_INIT;
    (void)nsp_fail(&why, NSP_E_SHUTTING_DOWN, "%s", nsp_error_text(NSP_E_SHUTTING_DOWN));
    for (struct session *session = server->first; session; session = session->next)
        session_fail(session, &why);
}

bool session_server_is_empty(const struct session_server *server)
{
    return !server->first;
}

int session_server_adopt(struct session_server *server, int fd, struct nsp_error *err)
{
    return take(server, fd, &unix_transport, NULL, err);
}

void session_server_stats(const struct session_server *server, struct session_stats *ret_stats)
{
    struct session_stats stats = server->totals;
    for (const struct session *session = server->first; session; session = session->next) {
        stats.connections++;
        stats.streams += idmap_count(&session->streams);
        stats.bytes_in += conn_bytes_in(session->conn);
        stats.bytes_out += conn_bytes_out(session->conn);
    }
    *ret_stats = stats;
}

void session_server_free(struct session_server *server)
{
    if (!server)
        return;
    end_listeners(server, listener_free);
    while (server->first)
        session_free(server->first);
    free(server);
}
