#include "agent/session/stream_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/session/session_impl.h"
#include "protocol/error_json.h"
#include "protocol/limits.h"

static const struct stream_handler no_handler;

void stream_list_append(struct stream_list *list, struct stream *stream)
{
    stream->next = NULL;
    stream->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = stream;
    list->last = stream;
}

void stream_list_remove(struct stream_list *list, struct stream *stream)
{
    *(stream->previous ? &stream->previous->next : &list->first) = stream->next;
    *(stream->next ? &stream->next->previous : &list->last) = stream->previous;
}

int stream_new(struct session *session, uint64_t id, struct stream **ret_stream,
               struct nsp_error *err)
{
    struct stream *stream = malloc(sizeof *stream);
    if (!stream)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a stream");
    *stream = (struct stream){.session = session, .id = id, .handler = &no_handler};
    nsp_buf_init(&stream->partial, NSP_LIMIT_JSON_MESSAGE);
    if (idmap_put(&session->streams, id, stream, err) < 0) {
        free(stream);
        return -1;
    }
    *ret_stream = stream;
    return 0;
}

void stream_free(struct stream *stream)
{
    timer_free(stream->deadline);
    nsp_buf_done(&stream->partial);
    free(stream->label);
    free(stream);
}

/* Leaves every table and list; the memory stays until settle. */
static void end(struct stream *stream)
{
    struct session *session = stream->session;
    if (stream->is_ready)
        stream_list_remove(&session->ready, stream);
    if (stream->is_unconfirmed)
        text_forget(session, stream);
    stream->is_ready = false;
    stream->state = ENDED;
    idmap_remove(&session->streams, stream->id);
    if (stream->deadline)
        timer_cancel(stream->deadline);
    stream_list_append(&session->gone, stream);
    session_touch(session);
}

void stream_deliver(struct stream *stream, const char *text, size_t length)
{
    stream->state = ACTIVE;
    session_request(stream->session, stream, text, length);
}

static void respond(struct stream *stream, const char *text, size_t length, bool is_error)
{
    struct session *session = stream->session;
    struct nsp_error err = NSP_ERROR_INIT;
    bool sent = !session_is_open(session) ||
                session->mode->respond(session, stream, text, length, is_error, &err) == 0;
    end(stream);
    if (!sent)
        session_drop(session, &err);
}

void stream_respond_error(struct stream *stream, const struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    if (stream->state != ENDED)
        respond(stream, text, nsp_error_json(err, text, sizeof text), true);
}

void stream_refuse(struct stream *stream, const struct nsp_error *err)
{
    if (stream_is_text(stream) && !stream->label)
        session_fail(stream->session, err);
    else
        stream_respond_error(stream, err);
}

/* With what either mode puts around it. */
static bool fits_message(const struct stream *stream, size_t length, struct nsp_error *err)
{
    enum { AROUND = 256 };
    if (length + stream->label_length + AROUND <= NSP_LIMIT_JSON_MESSAGE)
        return true;
    (void)nsp_fail_on(err, NSP_E_EXHAUSTED, "json_message", "%zu bytes are too long for a message",
                      length);
    return false;
}

void stream_respond(struct stream *stream, const char *text, size_t length, bool is_error)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (stream->state == ENDED)
        return;
    if (fits_message(stream, length, &err))
        respond(stream, text, length, is_error);
    else
        stream_respond_error(stream, &err);
}

void stream_notify(struct stream *stream, const char *method, const char *params, size_t length)
{
    struct session *session = stream->session;
    struct nsp_error err = NSP_ERROR_INIT;
    if (stream->state == ENDED || !session_is_open(session))
        return;
    if (!fits_message(stream, length, &err) ||
        session->mode->notify(session, stream, method, params, length, &err) < 0)
        session_drop(session, &err);
    else
        session_touch(session);
}

void stream_cancel(struct stream *stream, enum stream_gone why)
{
    if (stream->handler->gone)
        stream->handler->gone(stream->arg, why);
    if (stream->state == ENDED)
        return;
    enum nsp_error_code code = why == STREAM_DEADLINE ? NSP_E_DEADLINE : NSP_E_CANCELLED;
    struct nsp_error err = NSP_ERROR_INIT;
    (void)nsp_fail(&err, code, "%s", nsp_error_text(code));
    stream_respond_error(stream, &err);
}

void stream_lose(struct stream *stream)
{
    end(stream);
    if (stream->handler->gone)
        stream->handler->gone(stream->arg, STREAM_LOST);
}

void stream_set_handler(struct stream *stream, const struct stream_handler *handler, void *arg)
{
    stream->handler = handler;
    stream->arg = arg;
}

void stream_open_output(struct stream *stream, uint8_t channel, uint64_t from)
{
    nsp_send_half_init(&stream->output[channel - 1], from, stream->session->mode->initial_credit);
    stream->outputs |= (uint8_t)(1U << channel);
}

void stream_open_input(struct stream *stream, uint8_t channel, uint64_t from, uint64_t window)
{
    if (window == 0)
        return;
    nsp_recv_half_init(&stream->input[channel - 1], from, window);
    stream->inputs |= (uint8_t)(1U << channel);
}

void stream_ready(struct stream *stream)
{
    if (stream->is_ready || stream->state == ENDED)
        return;
    stream->is_ready = true;
    stream_list_append(&stream->session->ready, stream);
    session_touch(stream->session);
}

void stream_consumed(struct stream *stream, uint8_t channel, uint64_t length)
{
    struct session *session = stream->session;
    struct nsp_error err = NSP_ERROR_INIT;
    if (stream->state == ENDED || !stream_has_input(stream, channel))
        return;
    struct nsp_recv_half *half = &stream->input[channel - 1];
    bool is_due = nsp_recv_half_consume(half, length);
    if ((!is_due && !nsp_recv_half_is_final(half)) || !session_is_open(session))
        return;
    if (session->mode->credit(session, stream, channel, &err) < 0)
        session_drop(session, &err);
    else
        session_touch(session);
}

void stream_output_consumed(struct stream *stream, uint8_t channel)
{
    if (stream->state != ENDED && stream->handler->consumed)
        stream->handler->consumed(stream->arg, channel, stream->output[channel - 1].consumed);
}

static bool piece_is_right(const struct stream *stream, const struct stream_piece *piece,
                           const uint64_t *allowance, size_t max)
{
    if (piece->channel == 0 || piece->channel >= NSP_CHANNEL_COUNT ||
        !stream_has_output(stream, piece->channel))
        return false;
    const struct nsp_send_half *half = &stream->output[piece->channel - 1];
    if (half->state != NSP_HALF_OPEN || piece->offset != half->next)
        return false;
    if (piece->kind == STREAM_DATA)
        return piece->length > 0 && piece->length <= max &&
               piece->length <= allowance[piece->channel];
    return piece->kind != STREAM_GAP || piece->gap_to > piece->offset;
}

static void count_piece(struct stream *stream, const struct stream_piece *piece)
{
    struct nsp_send_half *half = &stream->output[piece->channel - 1];
    if (piece->kind == STREAM_DATA)
        nsp_send_half_data(half, piece->length);
    else if (piece->kind == STREAM_GAP)
        nsp_send_half_gap(half, piece->gap_to - piece->offset);
    else if (piece->kind == STREAM_END)
        nsp_send_half_end(half);
}

void stream_send_piece(struct stream *stream)
{
    struct session *session = stream->session;
    struct stream_piece piece = {.kind = STREAM_NOTHING};
    uint64_t allowance[NSP_CHANNEL_COUNT] = {0};
    size_t max = conn_piece(session->conn);
    if (max > session->mode->piece_max)
        max = session->mode->piece_max;
    for (uint8_t channel = 1; channel < NSP_CHANNEL_COUNT; channel++)
        if (stream_has_output(stream, channel))
            allowance[channel] = nsp_send_half_allowance(&stream->output[channel - 1]);

    stream_list_remove(&session->ready, stream);
    stream->is_ready = false;
    if (stream->handler->pull)
        stream->handler->pull(stream->arg, allowance, max, &piece);
    if (stream->state == ENDED || piece.kind == STREAM_NOTHING)
        return;
    struct nsp_error err = NSP_ERROR_INIT;
    if (!piece_is_right(stream, &piece, allowance, max)) {
        (void)nsp_fail(&err, NSP_E_INTERNAL, "wrong piece: kind %d, channel %u, offset %llu",
                       piece.kind, piece.channel, (unsigned long long)piece.offset);
        session_fail(session, &err);
        return;
    }
    count_piece(stream, &piece);
    if (session->mode->piece(session, stream, &piece, &err) < 0)
        session_drop(session, &err);
    else
        stream_ready(stream);
}

int stream_set_label(struct stream *stream, const char *label, size_t length, struct nsp_error *err)
{
    char *copy = malloc(length + 1);
    if (!copy)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, ENOMEM, "malloc", "memory");
    memcpy(copy, label, length);
    copy[length] = '\0';
    free(stream->label);
    stream->label = copy;
    stream->label_length = length;
    if (stream->over_limit)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "streams", "too many calls in progress");
    return 0;
}

static void on_deadline(void *arg)
{
    stream_cancel(arg, STREAM_DEADLINE);
}

int stream_set_deadline(struct stream *stream, uint64_t deadline_ms, struct nsp_error *err)
{
    if (deadline_ms == 0)
        return 0;
    uint64_t delay =
        deadline_ms > UINT64_MAX / CLOCK_NS_PER_MS ? UINT64_MAX : deadline_ms * CLOCK_NS_PER_MS;
    if (!stream->deadline &&
        timer_new(session_loop(stream->session), on_deadline, stream, &stream->deadline, err) < 0)
        return -1;
    return timer_set(stream->deadline, delay, err);
}

bool stream_greeted(const struct stream *stream)
{
    return stream->session->greeted;
}

bool stream_is_text(const struct stream *stream)
{
    return stream->session->mode == &text_mode;
}

bool stream_needs_token(const struct stream *stream)
{
    return stream->session->needs_token;
}

int stream_greet(struct stream *stream, const char *token, const char *client,
                 struct nsp_error *err)
{
    struct session *session = stream->session;
    char quoted[128];
    const char *name = client ? client : "";
    if (session->needs_token && !token_equal(&session->token, token)) {
        session_refuse(session);
        return nsp_fail(err, NSP_E_UNAUTHENTICATED, "%s", nsp_error_text(NSP_E_UNAUTHENTICATED));
    }
    log_info("hello", "conn=%llu mode=%s client=%s", (unsigned long long)session->id,
             session->mode->name, log_quote(quoted, sizeof quoted, name, strlen(name)));
    session_greet(session);
    return 0;
}

int stream_cancel_labelled(struct stream *stream, const char *label, size_t length,
                           struct nsp_error *err)
{
    struct idmap *streams = &stream->session->streams;
    size_t cursor = 0;
    struct stream *other;
    while ((other = idmap_next(streams, &cursor))) {
        if (other == stream || other->label_length != length || length == 0 ||
            memcmp(other->label, label, length) != 0)
            continue;
        stream_cancel(other, STREAM_CANCELLED);
        return 0;
    }
    char object[128];
    return nsp_fail_on(err, NSP_E_NOT_FOUND, log_quote(object, sizeof object, label, length),
                       "no call with this id is in progress");
}

uint64_t stream_connection_id(const struct stream *stream)
{
    return stream->session->id;
}
