#include "tests/support/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/transport/listener.h"
#include "protocol/error_json.h"
#include "tests/support/unit.h"

enum {
    TURNS = 6, /* loop turns after which nothing new comes without new input */
    ROUNDS = 100000,
    SOURCE_SIZE = 1 << 16,
};

uint8_t peer_byte(uint64_t offset)
{
    return (uint8_t)(offset * 131 + (offset >> 8) * 7);
}

/* The service */

static uint64_t number_after(const char *text, size_t length, const char *key, uint64_t fallback)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%.*s", (int)(length < 511 ? length : 511), text);
    const char *at = strstr(copy, key);
    return at ? strtoull(at + strlen(key), NULL, 10) : fallback;
}

static void answer(struct peer_call *call, const char *text, bool is_error)
{
    struct stream *stream = call->stream;
    call->stream = NULL;
    call->responded++;
    stream_respond(stream, text, strlen(text), is_error);
    /* The handle is dead, but using it must not harm. */
    stream_ready(stream);
    stream_respond(stream, text, strlen(text), is_error);
}

static void answer_error(struct peer_call *call, const struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    nsp_error_json(err, text, sizeof text);
    answer(call, text, true);
}

static void pull_data(struct peer_call *call, uint64_t allowance, size_t max,
                      struct stream_piece *ret_piece)
{
    static uint8_t bytes[SOURCE_SIZE];
    uint64_t from = call->gap + call->sent;
    size_t length = (size_t)(call->bytes - call->sent);
    if (length > max)
        length = max;
    if (length > sizeof bytes)
        length = sizeof bytes;
    if (length > allowance)
        length = (size_t)allowance;
    if (length == 0)
        return;
    for (size_t i = 0; i < length; i++)
        bytes[i] = peer_byte(from + i);
    size_t split = length / 3;
    *ret_piece = (struct stream_piece){
        .kind = STREAM_DATA,
        .channel = NSP_CHANNEL_STDOUT,
        .offset = from,
        .length = length,
        .iov = {{.iov_base = bytes, .iov_len = split},
                {.iov_base = bytes + split, .iov_len = length - split}},
        .iov_count = 2,
    };
    call->sent += length;
}

static void on_pull(void *arg, const uint64_t *allowance, size_t max,
                    struct stream_piece *ret_piece)
{
    struct peer_call *call = arg;
    call->pulls++;
    if (strcmp(call->method, "stuck") == 0)
        return;
    if (strcmp(call->method, "gap") == 0 && call->gap == 0) {
        call->gap = call->bytes;
        *ret_piece = (struct stream_piece){
            .kind = STREAM_GAP, .channel = NSP_CHANNEL_STDOUT, .offset = 0, .gap_to = call->gap};
    } else if (call->sent < call->bytes) {
        pull_data(call, allowance[NSP_CHANNEL_STDOUT], max, ret_piece);
    } else if (!call->output_ended) {
        call->output_ended = true;
        *ret_piece = (struct stream_piece){.kind = STREAM_END,
                                           .channel = NSP_CHANNEL_STDOUT,
                                           .offset = call->gap + call->sent,
                                           .truncated = true};
    } else {
        answer(call, "{\"done\":true}", false);
    }
}

static void on_consumed(void *arg, uint8_t channel, uint64_t offset)
{
    struct peer_call *call = arg;
    ck_assert_uint_eq(channel, NSP_CHANNEL_STDOUT);
    ck_assert_uint_gt(offset, call->consumed);
    call->consumed = offset;
}

static void on_data(void *arg, uint8_t channel, const void *bytes, size_t length)
{
    struct peer_call *call = arg;
    const uint8_t *at = bytes;
    ck_assert_uint_eq(channel, NSP_CHANNEL_STDIN);
    for (size_t i = 0; i < length; i++)
        call->wrong_bytes += at[i] != peer_byte(call->received + i);
    call->received += length;
    if (call->auto_consume)
        stream_consumed(call->stream, channel, length);
}

static void on_end(void *arg, uint8_t channel)
{
    struct peer_call *call = arg;
    ck_assert_uint_eq(channel, NSP_CHANNEL_STDIN);
    ck_assert(!call->input_ended);
    call->input_ended = true;
    answer(call, "{\"taken\":true}", false);
}

static void on_gone(void *arg, enum stream_gone why)
{
    struct peer_call *call = arg;
    struct nsp_error err = NSP_ERROR_INIT;
    if (why == STREAM_LOST) {
        call->lost++;
        call->stream = NULL;
        return;
    }
    *(why == STREAM_CANCELLED ? &call->cancelled : &call->deadlines) += 1;
    if (call->bytes == 13) /* a handler that forgets to answer */
        call->stream = NULL;
    else
        answer_error(
            call,
            (nsp_fail(&err, why == STREAM_CANCELLED ? NSP_E_CANCELLED : NSP_E_DEADLINE, "given up"),
             &err));
}

static const struct stream_handler handler = {
    .pull = on_pull, .consumed = on_consumed, .data = on_data, .end = on_end, .gone = on_gone};

static void say_hello(struct peer_call *call, const char *text, size_t length)
{
    char copy[512], *token;
    struct nsp_error err = NSP_ERROR_INIT;
    snprintf(copy, sizeof copy, "%.*s", (int)(length < 511 ? length : 511), text);
    token = strstr(copy, "\"token\":\"");
    if (token) {
        token += strlen("\"token\":\"");
        token[strcspn(token, "\"")] = '\0';
    }
    if (stream_greet(call->stream, token, "test", &err) < 0)
        answer_error(call, &err);
    else
        answer(call, "{\"protocol\":\"1.0\"}", false);
}

static void notify(struct peer_call *call)
{
    static const char head[] = "{\"process\":\"p\",\"text\":\"";
    size_t length = sizeof head - 1;
    char *text = malloc(length + call->bytes + 2);
    ck_assert_ptr_nonnull(text);
    memcpy(text, head, length);
    memset(text + length, 'n', call->bytes);
    length += call->bytes;
    memcpy(text + length, "\"}", 2);
    stream_notify(call->stream, "test.note", text, length + 2);
    free(text);
    answer(call, "{}", false);
}

static void answer_long(struct peer_call *call)
{
    char *text = malloc(call->bytes + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '1', call->bytes);
    text[call->bytes] = '\0';
    answer(call, text, false);
    free(text);
}

static void start(struct peer_call *call, const char *text, size_t length)
{
    if (strcmp(call->method, "hello") == 0) {
        say_hello(call, text, length);
    } else if (strcmp(call->method, "echo") == 0) {
        struct stream *stream = call->stream;
        call->stream = NULL;
        call->responded++;
        stream_respond(stream, text, length, false);
    } else if (strcmp(call->method, "long") == 0) {
        answer_long(call);
    } else if (strcmp(call->method, "notify") == 0) {
        notify(call);
    } else if (strcmp(call->method, "sink") == 0) {
        stream_open_input(call->stream, NSP_CHANNEL_STDIN, 0, call->bytes);
    } else if (strcmp(call->method, "hold") != 0) {
        stream_open_output(call->stream, NSP_CHANNEL_STDOUT, 0);
        stream_ready(call->stream);
        stream_ready(call->stream);
    }
}

static void on_request(void *arg, struct stream *stream, const char *text, size_t length)
{
    struct peer *peer = arg;
    struct nsp_error err = NSP_ERROR_INIT;
    char label[32];
    ck_assert_uint_lt(peer->call_count, PEER_CALLS);
    struct peer_call *call = &peer->calls[peer->call_count++];
    *call = (struct peer_call){.peer = peer, .stream = stream, .auto_consume = peer->consume};
    const char *method = memmem(text, length, "\"method\":\"", 10);
    if (method)
        sscanf(method + 10, "%15[a-z]", call->method);
    call->bytes = number_after(text, length, "\"bytes\":", 0);
    stream_set_handler(stream, &handler, call);
    uint64_t deadline = number_after(text, length, "\"deadline_ms\":", 0);
    uint64_t id = number_after(text, length, "\"id\":", 0);
    snprintf(label, sizeof label, "%llu", (unsigned long long)id);
    if ((id > 0 && stream_set_label(stream, label, strlen(label), &err) < 0) ||
        stream_set_deadline(stream, deadline, &err) < 0)
        answer_error(call, &err);
    else
        start(call, text, length);
}

static const struct session_callbacks callbacks = {.request = on_request};

/* The client */

void peer_set_up(struct peer *peer, const struct session_limits *limits)
{
    log_init("test", LOG_ERROR);
    *peer = (struct peer){.fd = -1, .read_limit = SIZE_MAX, .consume = true};
    peer->calls = calloc(PEER_CALLS, sizeof *peer->calls);
    ck_assert_ptr_nonnull(peer->calls);
    nsp_buf_init(&peer->in, SIZE_MAX / 2);
    ck_assert_int_eq(loop_new(&peer->loop, NULL), 0);
    ck_assert_int_eq(session_server_new(peer->loop, &callbacks, peer, &peer->server, NULL), 0);
    if (limits)
        session_server_set_limits(peer->server, limits);
}

void peer_tear_down(struct peer *peer)
{
    peer_disconnect(peer);
    session_server_free(peer->server);
    loop_free(peer->loop);
    nsp_buf_done(&peer->in);
    free(peer->calls);
}

void peer_connect(struct peer *peer)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peer_disconnect(peer);
    peer->fd = fds[0];
    ck_assert_int_eq(session_server_adopt(peer->server, fds[1], NULL), 0);
}

void peer_connect_tcp(struct peer *peer, const char *text)
{
    struct address address;
    struct token token = {.length = strlen(text)};
    const struct listener_options options = {.token = &token};
    struct listener *listener;
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    memcpy(token.text, text, token.length);
    ck_assert_int_eq(address_parse("tcp:127.0.0.1:0", &address, NULL), 0);
    ck_assert_int_eq(listener_open(&address, &options, -1, &listener, NULL), 0);
    ck_assert_int_eq(session_server_add(peer->server, listener, NULL), 0);
    ck_assert_int_eq(getsockname(listener_fd(listener), (struct sockaddr *)&name, &length), 0);
    peer_disconnect(peer);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(peer->fd, (struct sockaddr *)&name, length), 0);
    ck_assert_int_eq(fcntl(peer->fd, F_SETFL, O_NONBLOCK), 0);
    /* A frame goes out as header and payload; the second must not wait for an acknowledgement. */
    ck_assert_int_eq(setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    peer_settle(peer);
}

void peer_disconnect(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    peer->closed_by_agent = false;
    nsp_buf_consume(&peer->in, nsp_buf_length(&peer->in));
}

static bool read_some(struct peer *peer)
{
    uint8_t *room;
    size_t want = peer->read_limit < SOURCE_SIZE ? peer->read_limit : SOURCE_SIZE;
    if (peer->fd < 0 || peer->paused || want == 0)
        return false;
    ck_assert_int_eq(nsp_buf_reserve(&peer->in, want, &room, NULL), 0);
    ssize_t got = read(peer->fd, room, want);
    if (got <= 0) {
        peer->closed_by_agent |= got == 0 || errno == ECONNRESET;
        return false;
    }
    nsp_buf_commit(&peer->in, (size_t)got);
    peer->read_limit -= (size_t)got;
    return true;
}

struct turns {
    struct loop *loop;
    struct loop_deferred deferred;
    int left;
};

static void on_turn(void *arg)
{
    struct turns *turns = arg;
    if (turns->left-- > 0)
        loop_defer(turns->loop, &turns->deferred);
    else
        loop_stop(turns->loop);
}

static void run_turns(struct peer *peer, int count)
{
    struct turns turns = {.loop = peer->loop, .left = count};
    turns.deferred = (struct loop_deferred){.callback = on_turn, .arg = &turns};
    loop_defer(peer->loop, &turns.deferred);
    ck_assert_int_eq(loop_run(peer->loop, NULL), 0);
}

void peer_settle(struct peer *peer)
{
    for (int round = 0; round < ROUNDS; round++) {
        run_turns(peer, TURNS);
        bool any = false;
        while (read_some(peer))
            any = true;
        if (!any)
            return;
    }
    ck_abort_msg("the session never comes to rest");
}

static void on_time(void *arg)
{
    loop_stop(arg);
}

void peer_wait(struct peer *peer, unsigned ms)
{
    struct timer *timer;
    ck_assert_int_eq(timer_new(peer->loop, on_time, peer->loop, &timer, NULL), 0);
    ck_assert_int_eq(timer_set(timer, ms * CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(peer->loop, NULL), 0);
    timer_free(timer);
    peer_settle(peer);
}

void peer_send(struct peer *peer, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    for (int round = 0; length > 0 && round < ROUNDS; round++) {
        ssize_t sent = send(peer->fd, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* the agent has closed; the test looks at what it said */
        if (sent < 0)
            run_turns(peer, TURNS);
        if (sent < 0)
            read_some(peer);
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
            round = 0;
        }
    }
}

void peer_send_text(struct peer *peer, const char *text)
{
    peer_send(peer, text, strlen(text));
}

void peer_send_frame(struct peer *peer, const struct nsp_frame *frame, const void *payload)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    nsp_frame_encode(frame, header);
    peer_send(peer, header, sizeof header);
    if (payload)
        peer_send(peer, payload, frame->length);
}

void peer_request(struct peer *peer, uint32_t stream, const char *text)
{
    struct nsp_frame frame = {
        .length = (uint32_t)strlen(text), .stream = stream, .type = NSP_FRAME_REQUEST};
    peer_send_frame(peer, &frame, text);
}

void peer_expect_preface(struct peer *peer)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    nsp_preface_encode(preface);
    ck_assert_uint_ge(nsp_buf_length(&peer->in), sizeof preface);
    ck_assert_mem_eq(nsp_buf_bytes(&peer->in), preface, sizeof preface);
    nsp_buf_consume(&peer->in, sizeof preface);
}

void peer_greet(struct peer *peer)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    nsp_preface_encode(preface);
    peer_send(peer, preface, sizeof preface);
    peer_request(peer, 1, "{\"method\":\"hello\"}");
    peer_settle(peer);
    peer_expect_preface(peer);
    struct nsp_frame frame = peer_expect(peer, NSP_FRAME_RESPONSE, NULL);
    ck_assert_uint_eq(frame.stream, 1);
}

bool peer_next(struct peer *peer, struct nsp_frame *ret_frame, const char **ret_payload)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (nsp_buf_length(&peer->in) < NSP_FRAME_HEADER_SIZE)
        return false;
    const uint8_t *bytes = nsp_buf_bytes(&peer->in);
    ck_assert_msg(nsp_frame_decode(bytes, ret_frame, &err) == 0, "%s", err.msg);
    size_t size = NSP_FRAME_HEADER_SIZE + ret_frame->length;
    if (nsp_buf_length(&peer->in) < size)
        return false;
    if (ret_payload)
        *ret_payload = (const char *)bytes + NSP_FRAME_HEADER_SIZE;
    nsp_buf_consume(&peer->in, size);
    return true;
}

struct nsp_frame peer_expect(struct peer *peer, uint8_t type, const char **ret_payload)
{
    struct nsp_frame frame = {0};
    const char *payload = NULL;
    ck_assert_msg(peer_next(peer, &frame, &payload), "no frame, wanted %s",
                  nsp_frame_type_name(type));
    ck_assert_msg(frame.type == type, "%s, wanted %s: %.*s", nsp_frame_type_name(frame.type),
                  nsp_frame_type_name(type), (int)(frame.length < 200 ? frame.length : 200),
                  payload);
    if (ret_payload)
        *ret_payload = payload;
    return frame;
}

void peer_expect_goaway(struct peer *peer, const char *name)
{
    struct nsp_frame frame = {0};
    const char *payload = NULL;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"name\":\"%s\"", name);
    peer_settle(peer);
    while (frame.type != NSP_FRAME_GOAWAY)
        ck_assert_msg(peer_next(peer, &frame, &payload), "no GOAWAY");
    ck_assert_msg(memmem(payload, frame.length, wanted, strlen(wanted)) != NULL, "%.*s",
                  (int)frame.length, payload);
    ck_assert_uint_eq(nsp_buf_length(&peer->in), 0);
    ck_assert(peer->closed_by_agent);
}

bool peer_next_line(struct peer *peer, char *target, size_t capacity)
{
    const char *bytes = (const char *)nsp_buf_bytes(&peer->in);
    size_t length = nsp_buf_length(&peer->in);
    const char *newline = length > 0 ? memchr(bytes, '\n', length) : NULL;
    if (!newline)
        return false;
    size_t line = (size_t)(newline - bytes);
    ck_assert_uint_lt(line, capacity);
    memcpy(target, bytes, line);
    target[line] = '\0';
    nsp_buf_consume(&peer->in, line + 1);
    return true;
}

void peer_request_part(struct peer *peer, uint32_t stream, const char *text, size_t length,
                       bool more)
{
    struct nsp_frame frame = {.length = (uint32_t)length,
                              .stream = stream,
                              .type = NSP_FRAME_REQUEST,
                              .flags = more ? NSP_FLAG_MORE : 0};
    peer_send_frame(peer, &frame, text);
}

void peer_send_number(struct peer *peer, uint8_t type, uint32_t stream, uint8_t channel,
                      uint64_t offset, uint64_t number)
{
    uint8_t payload[8];
    struct nsp_frame frame = {
        .length = 8, .stream = stream, .type = type, .channel = channel, .offset = offset};
    nsp_frame_put_u64(payload, number);
    peer_send_frame(peer, &frame, payload);
}

void peer_send_plain(struct peer *peer, uint8_t type, uint32_t stream, uint8_t channel,
                     uint64_t offset)
{
    struct nsp_frame frame = {.stream = stream, .type = type, .channel = channel, .offset = offset};
    peer_send_frame(peer, &frame, NULL);
}

void peer_send_data(struct peer *peer, uint32_t stream, uint64_t offset, size_t length)
{
    struct nsp_frame frame = {.length = (uint32_t)length,
                              .stream = stream,
                              .type = NSP_FRAME_DATA,
                              .channel = NSP_CHANNEL_STDIN,
                              .offset = offset};
    uint8_t *bytes = malloc(length);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = peer_byte(offset + i);
    peer_send_frame(peer, &frame, bytes);
    free(bytes);
}

uint64_t peer_take_data(struct peer *peer, uint32_t stream, uint64_t offset)
{
    struct nsp_frame frame;
    const char *payload;
    while (nsp_buf_length(&peer->in) > 8 && nsp_buf_bytes(&peer->in)[8] == NSP_FRAME_DATA &&
           peer_next(peer, &frame, &payload)) {
        size_t wrong = 0;
        ck_assert_uint_eq(frame.stream, stream);
        ck_assert_uint_eq(frame.channel, NSP_CHANNEL_STDOUT);
        ck_assert_uint_eq(frame.offset, offset);
        for (size_t i = 0; i < frame.length; i++)
            wrong += (uint8_t)payload[i] != peer_byte(offset + i);
        ck_assert_uint_eq(wrong, 0);
        offset += frame.length;
    }
    return offset;
}

void peer_assert_error(const struct nsp_frame *frame, const char *payload, const char *name)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"name\":\"%s\"", name);
    ck_assert_msg(memmem(payload, frame->length, wanted, strlen(wanted)) != NULL, "%.*s",
                  (int)frame->length, payload);
}

struct session_stats peer_stats(const struct peer *peer)
{
    struct session_stats stats;
    session_server_stats(peer->server, &stats);
    return stats;
}

struct peer_call *peer_last_call(struct peer *peer)
{
    ck_assert_uint_gt(peer->call_count, 0);
    return &peer->calls[peer->call_count - 1];
}
