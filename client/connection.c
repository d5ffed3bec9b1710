#include "client/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/hybrid.h"
#include "client/json.h"
#include "protocol/buf.h"
#include "protocol/cleanup.h"
#include "protocol/error_json.h"

enum {
    READ_SIZE = 128 * 1024,
    DATA_MAX = 64 * 1024,        /* of one DATA frame, so that control waits for little */
    BYTES_PER_PROCESS = 1 << 20, /* read before the caller's other work gets its turn */
    FRAME_MAX = NSP_FRAME_HEADER_SIZE + NSP_LIMIT_FRAME_PAYLOAD,
};

enum state { CONNECTING, HANDSHAKE, PREFACE, OPEN };

struct nsp_connection {
    enum state state;
    int fd;
    struct nsp_address address;
    const struct nsp_connection_handler *handler;
    void *arg;

    struct nsp_hybrid hybrid;
    struct nsp_buf in;
    struct nsp_buf control;
    struct nsp_buf data; /* at most one frame */
    bool data_begun;     /* its first bytes are in the socket: control must wait for the rest */
    bool data_ready;

    uint64_t idle_ms, dead_ms;
    uint64_t heard;  /* when something arrived last */
    uint64_t pinged; /* when our unanswered keepalive ping was sent; 0: there is none */
    uint64_t pong;
};

static const uint64_t keepalive_number = UINT64_MAX;

int nsp_connection_new(const struct nsp_address *address,
                       const struct nsp_connection_handler *handler, void *arg, uint64_t now,
                       struct nsp_connection **ret_connection, struct nsp_error *err)
{
    struct nsp_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a connection");
    connection->state = CONNECTING;
    connection->fd = -1;
    connection->address = *address;
    connection->handler = handler;
    connection->arg = arg;
    connection->idle_ms = NSP_LIMIT_KEEPALIVE_IDLE;
    connection->dead_ms = NSP_LIMIT_KEEPALIVE_DEAD;
    connection->heard = now;
    nsp_buf_init(&connection->in, FRAME_MAX + READ_SIZE);
    nsp_buf_init(&connection->control, NSP_LIMIT_CONTROL_QUEUE);
    nsp_buf_init(&connection->data, NSP_FRAME_HEADER_SIZE + DATA_MAX);
    if (nsp_address_connect(address, &connection->fd, err) < 0) {
        nsp_connection_free(connection);
        return -1;
    }
    *ret_connection = connection;
    return 0;
}

void nsp_connection_free(struct nsp_connection *connection)
{
    if (!connection)
        return;
    if (connection->fd >= 0)
        close(connection->fd);
    nsp_buf_done(&connection->in);
    nsp_buf_done(&connection->control);
    nsp_buf_done(&connection->data);
    free(connection);
}

int nsp_connection_fd(const struct nsp_connection *connection)
{
    return connection->fd;
}

static bool has_output(const struct nsp_connection *connection)
{
    return nsp_buf_length(&connection->control) > 0 || nsp_buf_length(&connection->data) > 0 ||
           (connection->state == OPEN && connection->data_ready);
}

short nsp_connection_events(const struct nsp_connection *connection)
{
    if (connection->state == CONNECTING)
        return POLLOUT;
    return has_output(connection) ? POLLIN | POLLOUT : POLLIN;
}

uint64_t nsp_connection_due(const struct nsp_connection *connection)
{
    if (connection->state != OPEN)
        return UINT64_MAX;
    if (connection->pinged)
        return connection->pinged + connection->dead_ms;
    return connection->heard + connection->idle_ms;
}

int nsp_connection_send(struct nsp_connection *connection, const struct nsp_frame *frame,
                        const void *payload, struct nsp_error *err)
{
    uint8_t *room = NULL;
    size_t size = NSP_FRAME_HEADER_SIZE + frame->length;
    if (nsp_buf_reserve(&connection->control, size, &room, err) < 0)
        return -1;
    nsp_frame_encode(frame, room);
    if (frame->length > 0)
        memcpy(room + NSP_FRAME_HEADER_SIZE, payload, frame->length);
    nsp_buf_commit(&connection->control, size);
    return 0;
}

int nsp_connection_send_json(struct nsp_connection *connection, uint8_t type, uint32_t stream,
                             const char *text, size_t length, struct nsp_error *err)
{
    size_t frames = length / NSP_LIMIT_FRAME_PAYLOAD + 1;
    uint8_t *room = NULL;
    if (nsp_buf_reserve(&connection->control, length + frames * NSP_FRAME_HEADER_SIZE, &room, err) <
        0)
        return -1;
    while (length > 0) {
        size_t piece = length;
        /* The rest must not be shorter than what the type allows. */
        if (piece > NSP_LIMIT_FRAME_PAYLOAD)
            piece = length - NSP_LIMIT_FRAME_PAYLOAD < 2 ? length / 2 : NSP_LIMIT_FRAME_PAYLOAD;
        struct nsp_frame frame = {.length = (uint32_t)piece,
                                  .stream = stream,
                                  .type = type,
                                  .flags = piece < length ? NSP_FLAG_MORE : 0};
        if (nsp_connection_send(connection, &frame, text, err) < 0)
            return -1;
        text += piece;
        length -= piece;
    }
    return 0;
}

void nsp_connection_data_ready(struct nsp_connection *connection)
{
    connection->data_ready = true;
}

void nsp_connection_keepalive(struct nsp_connection *connection, uint64_t idle_ms, uint64_t dead_ms)
{
    connection->idle_ms = idle_ms;
    connection->dead_ms = dead_ms;
}

int nsp_connection_ping(struct nsp_connection *connection, uint64_t number, struct nsp_error *err)
{
    uint8_t payload[8];
    struct nsp_frame frame = {.length = sizeof payload, .type = NSP_FRAME_PING};
    nsp_frame_put_u64(payload, number);
    return nsp_connection_send(connection, &frame, payload, err);
}

uint64_t nsp_connection_pong(const struct nsp_connection *connection)
{
    return connection->pong;
}

/* ---- output ------------------------------------------------------------------------------- */

/* Writes a queue. 1: all of it, 0: the socket is full, -1: lost. */
static int write_queue(struct nsp_connection *connection, struct nsp_buf *queue, bool *ret_written,
                       struct nsp_error *err)
{
    while (nsp_buf_length(queue) > 0) {
        ssize_t n = send(connection->fd, nsp_buf_bytes(queue), nsp_buf_length(queue),
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            return nsp_fail_errno(err, NSP_E_CONNECTION, errno, "send", NULL);
        *ret_written = true;
        nsp_buf_consume(queue, (size_t)n);
    }
    return 1;
}

static bool pull_data(struct nsp_connection *connection)
{
    struct nsp_frame frame;
    const uint8_t *payload = NULL;
    uint8_t *room = NULL;
    if (!connection->data_ready || connection->state != OPEN)
        return false;
    /* Room is made sure of first: a frame that was pulled counts as sent. */
    if (nsp_buf_reserve(&connection->data, NSP_FRAME_HEADER_SIZE + DATA_MAX, &room, NULL) < 0)
        return false;
    if (!connection->handler->pull(connection->arg, DATA_MAX, &frame, &payload)) {
        connection->data_ready = false;
        return false;
    }
    nsp_frame_encode(&frame, room);
    if (frame.length > 0)
        memcpy(room + NSP_FRAME_HEADER_SIZE, payload, frame.length);
    nsp_buf_commit(&connection->data, NSP_FRAME_HEADER_SIZE + frame.length);
    return true;
}

/* 0 when nothing more can be written now. */
static int flush(struct nsp_connection *connection, struct nsp_error *err)
{
    for (;;) {
        bool written = false;
        int result = 1;
        if (!connection->data_begun)
            result = write_queue(connection, &connection->control, &written, err);
        if (result <= 0)
            return result;
        if (nsp_buf_length(&connection->data) == 0 && !pull_data(connection))
            return 0;
        result = write_queue(connection, &connection->data, &written, err);
        connection->data_begun = result == 0 && (connection->data_begun || written);
        if (result <= 0)
            return result;
    }
}

/* Tells the agent why, if the socket takes it at once: the connection ends anyway. */
static void say_goodbye(struct nsp_connection *connection, const struct nsp_error *reason)
{
    static const char head[] = "{\"error\":", tail[] = "}";
    char text[sizeof head + NSP_ERROR_JSON_SIZE + sizeof tail];
    size_t length = sizeof head - 1;
    memcpy(text, head, length);
    length += nsp_error_json(reason, text + length, NSP_ERROR_JSON_SIZE);
    memcpy(text + length, tail, sizeof tail - 1);
    length += sizeof tail - 1;
    if (nsp_connection_send_json(connection, NSP_FRAME_GOAWAY, 0, text, length, NULL) == 0)
        (void)flush(connection, NULL);
}

/* ---- input -------------------------------------------------------------------------------- */

static int goaway(const uint8_t *payload, size_t length, struct nsp_error *err)
{
    struct nsp_json *json = NULL;
    struct nsp_error reason = NSP_ERROR_INIT;
    if (nsp_json_parse((const char *)payload, length, &json, err) < 0)
        return -1;
    nsp_json_error(nsp_json_get(json, "error"), &reason);
    nsp_json_free(json);
    if (err)
        *err = reason;
    return -1;
}

static int dispatch(struct nsp_connection *connection, const struct nsp_frame *frame,
                    const uint8_t *payload, struct nsp_error *err)
{
    struct nsp_frame pong = {.length = 8, .type = NSP_FRAME_PONG};
    switch (frame->type) {
    case NSP_FRAME_PING:
        return nsp_connection_send(connection, &pong, payload, err);
    case NSP_FRAME_PONG:
        if (nsp_frame_get_u64(payload) != keepalive_number)
            connection->pong = nsp_frame_get_u64(payload);
        return 0;
    case NSP_FRAME_GOAWAY:
        return goaway(payload, frame->length, err);
    default:
        return connection->handler->frame(connection->arg, frame, payload, err);
    }
}

/* 1: a frame was handed out, 0: there is no whole one. */
static int next_frame(struct nsp_connection *connection, struct nsp_error *err)
{
    struct nsp_frame frame;
    const uint8_t *bytes = nsp_buf_bytes(&connection->in);
    size_t length = nsp_buf_length(&connection->in);
    if (length < NSP_FRAME_HEADER_SIZE)
        return 0;
    if (nsp_frame_decode(bytes, &frame, err) < 0)
        return -1;
    if (length - NSP_FRAME_HEADER_SIZE < frame.length)
        return 0;
    if (dispatch(connection, &frame, bytes + NSP_FRAME_HEADER_SIZE, err) < 0)
        return -1;
    nsp_buf_consume(&connection->in, NSP_FRAME_HEADER_SIZE + frame.length);
    return 1;
}

/* The client may send frames behind its preface without waiting for the agent's. */
static int begin_preface(struct nsp_connection *connection, struct nsp_error *err)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    nsp_preface_encode(preface);
    if (nsp_buf_append(&connection->control, preface, sizeof preface, err) < 0)
        return -1;
    connection->state = PREFACE;
    connection->handler->open(connection->arg);
    return 0;
}

static int handshake(struct nsp_connection *connection, struct nsp_error *err)
{
    size_t used = 0;
    uint32_t port = 0;
    int result = nsp_hybrid_feed(&connection->hybrid, nsp_buf_bytes(&connection->in),
                                 nsp_buf_length(&connection->in), &used, &port, err);
    if (result < 0)
        return -1;
    nsp_buf_consume(&connection->in, used);
    return result > 0 ? begin_preface(connection, err) : 0;
}

static int preface(struct nsp_connection *connection, struct nsp_error *err)
{
    uint8_t minor = 0;
    if (nsp_buf_length(&connection->in) < NSP_PREFACE_SIZE)
        return 0;
    if (nsp_preface_decode(nsp_buf_bytes(&connection->in), &minor, err) < 0)
        return -1;
    nsp_buf_consume(&connection->in, NSP_PREFACE_SIZE);
    connection->state = OPEN;
    return 0;
}

static int parse(struct nsp_connection *connection, struct nsp_error *err)
{
    if (connection->state == HANDSHAKE && handshake(connection, err) < 0)
        return -1;
    if (connection->state == PREFACE && preface(connection, err) < 0)
        return -1;
    int result = 1;
    while (connection->state == OPEN && result > 0)
        result = next_frame(connection, err);
    if (result < 0 && err && err->code == NSP_E_PROTOCOL)
        say_goodbye(connection, err);
    return result < 0 ? -1 : 0;
}

static int end_of_file(const struct nsp_connection *connection, struct nsp_error *err)
{
    if (connection->state == HANDSHAKE)
        return nsp_fail_on(err, NSP_E_CONNECTION, connection->address.path,
                           "nobody listens on port %u of the hybrid socket",
                           connection->address.port);
    return nsp_fail(err, NSP_E_CONNECTION, "the agent closed the connection");
}

static int receive(struct nsp_connection *connection, uint64_t now, struct nsp_error *err)
{
    for (size_t total = 0; total < BYTES_PER_PROCESS;) {
        uint8_t *room = NULL;
        if (nsp_buf_reserve(&connection->in, READ_SIZE, &room, err) < 0)
            return -1;
        ssize_t n = recv(connection->fd, room, READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            return nsp_fail_errno(err, NSP_E_CONNECTION, errno, "recv", NULL);
        if (n == 0)
            return end_of_file(connection, err);
        nsp_buf_commit(&connection->in, (size_t)n);
        connection->heard = now;
        connection->pinged = 0;
        if (parse(connection, err) < 0)
            return -1;
        total += (size_t)n;
        /* What is left makes poll say so again; a short read has most likely emptied the socket. */
        if (n < READ_SIZE)
            return 0;
    }
    return 0;
}

/* ---- life --------------------------------------------------------------------------------- */

static int connected(struct nsp_connection *connection, struct nsp_error *err)
{
    int failure = 0;
    socklen_t size = sizeof failure;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
        failure = errno;
    if (failure != 0)
        return nsp_fail_errno(err, NSP_E_CONNECTION, failure, "connect", NULL);
    if (connection->address.kind != NSP_ADDRESS_HYBRID)
        return begin_preface(connection, err);
    char line[NSP_HYBRID_REQUEST_SIZE];
    size_t length = nsp_hybrid_request(connection->address.port, line);
    ssize_t n = send(connection->fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n != (ssize_t)length)
        return nsp_fail_errno(err, NSP_E_CONNECTION, n < 0 ? errno : EPIPE, "send",
                              connection->address.path);
    connection->state = HANDSHAKE;
    return 0;
}

static int keep_alive(struct nsp_connection *connection, uint64_t now, struct nsp_error *err)
{
    if (now < nsp_connection_due(connection))
        return 0;
    if (connection->pinged)
        return nsp_fail(err, NSP_E_KEEPALIVE, "the agent was silent for %llu ms",
                        (unsigned long long)(now - connection->heard));
    connection->pinged = now ? now : 1;
    return nsp_connection_ping(connection, keepalive_number, err);
}

int nsp_connection_process(struct nsp_connection *connection, short revents, uint64_t now,
                           struct nsp_error *err)
{
    if (connection->state == CONNECTING) {
        if (!revents)
            return 0;
        if (connected(connection, err) < 0)
            return -1;
    }
    if ((revents & (POLLIN | POLLHUP | POLLERR)) && receive(connection, now, err) < 0)
        return -1;
    if (keep_alive(connection, now, err) < 0)
        return -1;
    struct nsp_error failure = NSP_ERROR_INIT;
    if (flush(connection, &failure) == 0)
        return 0;
    /* The agent's reason may be there to be read. */
    if (receive(connection, now, err) < 0)
        return -1;
    if (err)
        *err = failure;
    return -1;
}
