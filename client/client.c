/* The client: one connection at a time, the calls that use it, and what happens between two.
 *
 *   CONNECTING --hello answered--> READY --lost--> CONNECTING     (any) --given up--> FAILED
 *
 * CONNECTING is either an attempt (there is a connection) or a pause before the next (there is
 * none). An outage lasts from a loss until frames other than hello's answer arrive; reconnect_ms
 * bounds it. A call that is not DONE is in `calls`; one that is SENT is also in `streams` by its
 * stream id.
 */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/call.h"
#include "client/connection.h"
#include "client/hello.h"
#include "client/table.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum {
    RECONNECT_DEFAULT = 30 * 1000,
    ATTEMPT_DEFAULT = 5 * 1000,
    PAUSE_MIN = 10,
    PAUSE_MAX = 1000,
    STEADY = 1000, /* a connection that lived so long is replaced without a pause */
    HELLO_STREAM = 1,
};

struct nsp_client {
    enum nsp_client_state state;
    struct nsp_address address;
    char *name, *token, *token_file;
    uint64_t reconnect_ms, attempt_ms;

    struct nsp_connection *connection;
    struct nsp_hello_answer hello;
    struct nsp_buf hello_parts;
    uint64_t now;
    uint64_t since;        /* start of the attempt or of READY */
    uint64_t outage_since; /* valid unless there was progress since */
    uint64_t retry_at, pause;
    bool reached; /* somebody has accepted a connection */
    bool greeted_once, progress;
    bool due; /* process has something to do at once */
    struct nsp_error last_error, broken;

    struct nsp_call **calls; /* in the order in which they were made */
    size_t count, capacity, cursor;
    struct nsp_table streams;
    uint32_t last_stream;
    uint64_t dials, pings;
};

uint64_t nsp_client_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* ---- calls and streams -------------------------------------------------------------------- */

int nsp_client_add_call(struct nsp_client *client, struct nsp_call *call, struct nsp_error *err)
{
    if (client->state == NSP_CLIENT_FAILED) {
        if (err)
            *err = client->last_error;
        return -1;
    }
    if (client->count == NSP_LIMIT_STREAMS)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "streams", "%d calls are in progress",
                           NSP_LIMIT_STREAMS);
    if (client->count == client->capacity) {
        size_t capacity = client->capacity ? client->capacity * 2 : 8;
        struct nsp_call **calls = reallocarray(client->calls, capacity, sizeof *calls);
        if (!calls)
            return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for %zu calls", capacity);
        client->calls = calls;
        client->capacity = capacity;
    }
    client->calls[client->count++] = call;
    client->due = true;
    return 0;
}

void nsp_client_remove_call(struct nsp_client *client, struct nsp_call *call)
{
    size_t index = 0;
    while (index < client->count && client->calls[index] != call)
        index++;
    if (index == client->count)
        return;
    client->count--;
    memmove(&client->calls[index], &client->calls[index + 1],
            (client->count - index) * sizeof(struct nsp_call *));
}

void nsp_client_wake(struct nsp_client *client)
{
    client->due = true;
}

int nsp_client_open_stream(struct nsp_client *client, uint32_t stream, struct nsp_call *call,
                           const char *text, struct nsp_error *err)
{
    size_t length = strlen(text);
    if (length > NSP_LIMIT_JSON_MESSAGE)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "json_message",
                           "the request of %zu bytes is larger than %d", length,
                           NSP_LIMIT_JSON_MESSAGE);
    if (nsp_table_put(&client->streams, stream, call, err) < 0)
        return -1;
    if (nsp_connection_send_json(client->connection, NSP_FRAME_REQUEST, stream, text, length,
                                 NULL) < 0) {
        nsp_table_remove(&client->streams, stream);
        return 0;
    }
    return 1;
}

void nsp_client_close_stream(struct nsp_client *client, uint32_t stream)
{
    nsp_table_remove(&client->streams, stream);
}

void nsp_client_send_frame(struct nsp_client *client, const struct nsp_frame *frame,
                           const void *payload)
{
    if (!client->connection || client->broken.code != NSP_E_NONE)
        return;
    if (nsp_connection_send(client->connection, frame, payload, &client->broken) < 0)
        client->due = true;
}

void nsp_client_data_ready(struct nsp_client *client)
{
    if (client->connection)
        nsp_connection_data_ready(client->connection);
}

uint64_t nsp_client_credit(const struct nsp_client *client)
{
    return client->greeted_once ? client->hello.credit : NSP_LIMIT_INITIAL_CREDIT;
}

static void send_queued(struct nsp_client *client)
{
    for (size_t i = 0; i < client->count;) {
        struct nsp_call *call = client->calls[i];
        /* Ids are never used again, so a connection that has used them all is replaced. */
        if (client->last_stream > UINT32_MAX - 2) {
            nsp_fail(&client->broken, NSP_E_CONNECTION, "the connection has no stream ids left");
            client->due = true;
            return;
        }
        if (nsp_call_queued(call) && nsp_call_send(call, client->last_stream + 2, client->now) > 0)
            client->last_stream += 2;
        if (i < client->count && client->calls[i] == call)
            i++;
    }
}

static void expire_calls(struct nsp_client *client)
{
    for (size_t i = 0; i < client->count;) {
        struct nsp_call *call = client->calls[i];
        if (nsp_call_queued(call) && nsp_call_due(call, client->now) <= client->now) {
            struct nsp_error error = NSP_ERROR_INIT;
            nsp_fail(&error, NSP_E_DEADLINE, "the deadline passed without a connection");
            nsp_call_fail(call, &error);
        }
        if (i < client->count && client->calls[i] == call)
            i++;
    }
}

/* ---- the connection's events -------------------------------------------------------------- */

static void on_open(void *arg)
{
    struct nsp_client *client = arg;
    AUTO_FREE char *text = NULL;
    client->reached = true;
    const char *token_file =
        client->address.token_file[0] ? client->address.token_file : client->token_file;
    if (nsp_hello_request(client->name, client->token, token_file,
                          nsp_address_is_guest(&client->address), &text, &client->broken) < 0)
        return;
    (void)nsp_connection_send_json(client->connection, NSP_FRAME_REQUEST, HELLO_STREAM, text,
                                   strlen(text), &client->broken);
}

static int on_hello(struct nsp_client *client, const struct nsp_frame *frame,
                    const uint8_t *payload, struct nsp_error *err)
{
    const char *text = NULL;
    size_t length = 0;
    struct nsp_hello_answer answer;
    if (frame->type != NSP_FRAME_RESPONSE)
        return nsp_fail(err, NSP_E_PROTOCOL, "%s on the stream of hello",
                        nsp_frame_type_name(frame->type));
    int whole = nsp_call_assemble(&client->hello_parts, frame, payload, &text, &length, err);
    if (whole <= 0)
        return whole;
    int result = nsp_hello_read(text, length, &answer, err);
    nsp_buf_done(&client->hello_parts);
    if (result < 0)
        return -1;
    nsp_hello_done(&client->hello);
    client->hello = answer;
    client->state = NSP_CLIENT_READY;
    client->greeted_once = true;
    client->progress = false;
    client->since = client->now;
    nsp_connection_keepalive(client->connection, answer.idle_ms, answer.dead_ms);
    return 0;
}

static int on_frame(void *arg, const struct nsp_frame *frame, const uint8_t *payload,
                    struct nsp_error *err)
{
    struct nsp_client *client = arg;
    if (frame->type == NSP_FRAME_REQUEST || frame->type == NSP_FRAME_CANCEL)
        return nsp_fail(err, NSP_E_PROTOCOL, "%s from the agent", nsp_frame_type_name(frame->type));
    if (frame->stream % 2 == 0 || frame->stream > client->last_stream)
        return nsp_fail(err, NSP_E_PROTOCOL, "%s on stream %u, which was never opened",
                        nsp_frame_type_name(frame->type), frame->stream);
    if (client->state != NSP_CLIENT_READY)
        return on_hello(client, frame, payload, err);
    client->progress = true;
    struct nsp_call *call = nsp_table_get(&client->streams, frame->stream);
    return call ? nsp_call_frame(call, frame, payload, err) : 0;
}

/* Calls take turns, one frame each. */
static bool on_pull(void *arg, size_t max, struct nsp_frame *ret_frame, const uint8_t **ret_payload)
{
    struct nsp_client *client = arg;
    for (size_t tried = 0; tried < client->count; tried++) {
        client->cursor = (client->cursor + 1) % client->count;
        if (nsp_call_pull(client->calls[client->cursor], max, ret_frame, ret_payload))
            return true;
    }
    return false;
}

static const struct nsp_connection_handler connection_handler = {
    .open = on_open, .frame = on_frame, .pull = on_pull};

/* ---- attempts and outages ----------------------------------------------------------------- */

static void give_up(struct nsp_client *client)
{
    client->state = NSP_CLIENT_FAILED;
    while (client->count > 0)
        nsp_call_fail(client->calls[client->count - 1], &client->last_error);
}

/* As long as nobody has ever accepted a connection the address may be wrong. Only what is known to
 * pass by itself is worth a second try then: nobody listening behind a hybrid socket yet, or a full
 * backlog. */
static bool worth_a_retry(const struct nsp_client *client, const struct nsp_error *error)
{
    if (!nsp_error_retryable(error->code))
        return false;
    if (client->reached || error->sys_errno == EAGAIN)
        return true;
    bool missing = error->sys_errno == ENOENT || error->sys_errno == EACCES;
    return client->address.kind == NSP_ADDRESS_HYBRID && !missing;
}

static uint64_t next_pause(struct nsp_client *client, bool was_ready)
{
    if (was_ready && client->now - client->since >= STEADY)
        return 0;
    if (was_ready && client->progress)
        return PAUSE_MIN;
    uint64_t pause = client->pause * 2;
    return pause < PAUSE_MIN ? PAUSE_MIN : pause > PAUSE_MAX ? PAUSE_MAX : pause;
}

static void on_lost(struct nsp_client *client, const struct nsp_error *error)
{
    bool was_ready = client->state == NSP_CLIENT_READY;
    nsp_connection_free(client->connection);
    client->connection = NULL;
    client->state = NSP_CLIENT_CONNECTING;
    client->last_error = *error;
    client->broken = NSP_ERROR_INIT;
    nsp_buf_done(&client->hello_parts);
    /* Backwards, since those that end leave the list. */
    for (size_t i = client->count; i > 0; i--)
        nsp_call_lost(client->calls[i - 1], error);
    nsp_table_clear(&client->streams);
    if (was_ready && (client->progress || client->now - client->since >= STEADY))
        client->outage_since = client->now;
    client->pause = next_pause(client, was_ready);
    client->retry_at = client->now + client->pause;
    if (!worth_a_retry(client, error) || client->now - client->outage_since >= client->reconnect_ms)
        give_up(client);
}

static void dial(struct nsp_client *client)
{
    struct nsp_error error = NSP_ERROR_INIT;
    client->since = client->now;
    client->dials++;
    client->last_stream = HELLO_STREAM;
    if (nsp_connection_new(&client->address, &connection_handler, client, client->now,
                           &client->connection, &error) < 0)
        on_lost(client, &error);
}

static void attend(struct nsp_client *client, short revents)
{
    struct nsp_error error = NSP_ERROR_INIT;
    if (nsp_connection_process(client->connection, revents, client->now, &error) < 0) {
        /* What went wrong first on our side is the cause. */
        on_lost(client, client->broken.code ? &client->broken : &error);
        return;
    }
    if (client->broken.code != NSP_E_NONE) {
        error = client->broken;
        on_lost(client, &error);
        return;
    }
    if (client->state != NSP_CLIENT_READY && client->now - client->since >= client->attempt_ms) {
        nsp_fail(&error, NSP_E_CONNECTION, "the agent did not answer within %llu ms",
                 (unsigned long long)client->attempt_ms);
        on_lost(client, &error);
    }
}

int nsp_client_process(struct nsp_client *client, short revents, uint64_t now,
                       struct nsp_error *err)
{
    client->now = now;
    client->due = false;
    if (client->state == NSP_CLIENT_CONNECTING && !client->connection && now >= client->retry_at) {
        dial(client);
        revents = 0;
    }
    if (client->connection)
        attend(client, revents);
    if (client->state == NSP_CLIENT_READY) {
        send_queued(client);
        attend(client, 0);
    }
    expire_calls(client);
    if (client->state != NSP_CLIENT_FAILED)
        return 0;
    if (err)
        *err = client->last_error;
    return -1;
}

/* ---- the user's side ---------------------------------------------------------------------- */

static bool copy_text(const char *text, char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return !text || *ret_copy;
}

static int take_options(struct nsp_client *client, const struct nsp_client_options *options,
                        struct nsp_error *err)
{
    static const struct nsp_client_options none = {0};
    if (!options)
        options = &none;
    if (!copy_text(options->name ? options->name : "libnsclient", &client->name) ||
        !copy_text(options->token, &client->token) ||
        !copy_text(options->token_file, &client->token_file))
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a client");
    client->reconnect_ms = RECONNECT_DEFAULT;
    if (options->reconnect_ms != 0)
        client->reconnect_ms = options->reconnect_ms > 0 ? (uint64_t)options->reconnect_ms : 0;
    client->attempt_ms = options->attempt_ms > 0 ? (uint64_t)options->attempt_ms : ATTEMPT_DEFAULT;
    return 0;
}

int nsp_client_new(const char *address, const struct nsp_client_options *options,
                   struct nsp_client **ret_client, struct nsp_error *err)
{
    struct nsp_client *client = calloc(1, sizeof *client);
    if (!client)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a client");
    nsp_buf_init(&client->hello_parts, NSP_LIMIT_JSON_MESSAGE);
    client->due = true;
    client->now = client->outage_since = nsp_client_now();
    if (nsp_address_parse(address, &client->address, err) < 0 ||
        take_options(client, options, err) < 0) {
        nsp_client_free(client);
        return -1;
    }
    *ret_client = client;
    return 0;
}

void nsp_client_free(struct nsp_client *client)
{
    if (!client)
        return;
    struct nsp_error error = NSP_ERROR_INIT;
    nsp_fail(&error, NSP_E_CANCELLED, "the client was closed");
    client->last_error = error;
    give_up(client);
    nsp_connection_free(client->connection);
    nsp_hello_done(&client->hello);
    nsp_buf_done(&client->hello_parts);
    nsp_table_done(&client->streams);
    free(client->calls);
    free(client->name);
    free(client->token);
    free(client->token_file);
    free(client);
}

int nsp_client_fd(const struct nsp_client *client)
{
    return client->connection ? nsp_connection_fd(client->connection) : -1;
}

short nsp_client_events(const struct nsp_client *client)
{
    return client->connection ? nsp_connection_events(client->connection) : 0;
}

static uint64_t due_at(const struct nsp_client *client)
{
    uint64_t due = UINT64_MAX;
    if (client->state == NSP_CLIENT_FAILED)
        return UINT64_MAX;
    if (client->connection)
        due = nsp_connection_due(client->connection);
    if (client->state == NSP_CLIENT_READY)
        return due;
    uint64_t own = client->connection ? client->since + client->attempt_ms : client->retry_at;
    due = own < due ? own : due;
    for (size_t i = 0; i < client->count; i++) {
        uint64_t call = nsp_call_due(client->calls[i], client->now);
        due = call < due ? call : due;
    }
    return due;
}

int64_t nsp_client_timeout(const struct nsp_client *client, uint64_t now)
{
    if (client->due)
        return 0;
    uint64_t due = due_at(client);
    if (due == UINT64_MAX)
        return -1;
    return due > now ? (int64_t)(due - now) : 0;
}

enum nsp_client_state nsp_client_state(const struct nsp_client *client)
{
    return client->state;
}

uint64_t nsp_client_outage(const struct nsp_client *client, uint64_t now)
{
    return client->state == NSP_CLIENT_READY ? 0 : now - client->outage_since;
}

const struct nsp_error *nsp_client_last_error(const struct nsp_client *client)
{
    return &client->last_error;
}

const struct nsp_hello *nsp_client_hello(const struct nsp_client *client)
{
    return client->greeted_once ? &client->hello.public : NULL;
}

int nsp_client_step(struct nsp_client *client, int64_t timeout, struct nsp_error *err)
{
    /* What was queued goes out before the wait; it may end what the caller waits for. */
    if (client->due) {
        if (nsp_client_process(client, 0, nsp_client_now(), err) < 0)
            return -1;
        timeout = 0;
    }
    int64_t due = nsp_client_timeout(client, nsp_client_now());
    if (timeout < 0 || (due >= 0 && due < timeout))
        timeout = due;
    struct pollfd slot = {.fd = nsp_client_fd(client), .events = nsp_client_events(client)};
    if (poll(&slot, 1, timeout > INT32_MAX ? INT32_MAX : (int)timeout) < 0)
        slot.revents = 0;
    return nsp_client_process(client, slot.revents, nsp_client_now(), err);
}

int nsp_client_connect(struct nsp_client *client, struct nsp_error *err)
{
    while (client->state != NSP_CLIENT_READY)
        if (nsp_client_step(client, -1, err) < 0)
            return -1;
    return 0;
}

static uint64_t nanoseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int nsp_client_ping(struct nsp_client *client, int64_t timeout, uint64_t *ret_nanoseconds,
                    struct nsp_error *err)
{
    if (nsp_client_connect(client, err) < 0)
        return -1;
    uint64_t number = ++client->pings, dials = client->dials;
    uint64_t deadline = nsp_client_now() + (uint64_t)timeout;
    uint64_t start = nanoseconds();
    if (nsp_connection_ping(client->connection, number, err) < 0)
        return -1;
    client->due = true;
    while (client->connection && client->dials == dials) {
        if (nsp_connection_pong(client->connection) == number) {
            *ret_nanoseconds = nanoseconds() - start;
            return 0;
        }
        uint64_t now = nsp_client_now();
        if (now >= deadline)
            return nsp_fail(err, NSP_E_DEADLINE, "no answer to a ping within %lld ms",
                            (long long)timeout);
        if (nsp_client_step(client, (int64_t)(deadline - now), err) < 0)
            return -1;
    }
    if (err)
        *err = client->last_error;
    return -1;
}
