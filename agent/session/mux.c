/* See mux.h. What may come from a client, and where, is a table (rules); the functions only act. */
#include "agent/session/mux_send.h"
#include "agent/session/session_impl.h"
#include "protocol/frame.h"
#include "protocol/limits.h"

/* Requests under way in parts, of one connection. */
#define PARTIAL_BYTES (2 * NSP_LIMIT_JSON_MESSAGE)

/* Requests */

static int discard_rest(struct session *session, uint32_t id, struct nsp_error *err)
{
    return idmap_put(&session->mux.discarding, id, session, err);
}

/* Ends a request that is not a stream yet, or not a whole one. */
static int refuse_request(struct session *session, const struct nsp_frame *frame,
                          const struct nsp_error *why, struct nsp_error *err)
{
    if (frame->flags & NSP_FLAG_MORE && discard_rest(session, frame->stream, err) < 0)
        return -1;
    return mux_send_error(session, frame->stream, why, err);
}

static void drop_partial(struct session *session, struct stream *stream)
{
    session->mux.partial_bytes -= nsp_buf_length(&stream->partial);
    nsp_buf_done(&stream->partial);
}

static int gather_request(struct session *session, struct stream *stream,
                          const struct nsp_frame *frame, const uint8_t *payload,
                          struct nsp_error *err)
{
    struct nsp_error why = NSP_ERROR_INIT;
    struct mux *mux = &session->mux;
    if (mux->partial_bytes + frame->length > PARTIAL_BYTES ||
        nsp_buf_append(&stream->partial, payload, frame->length, NULL) < 0) {
        drop_partial(session, stream);
        if (frame->flags & NSP_FLAG_MORE && discard_rest(session, frame->stream, err) < 0)
            return -1;
        (void)nsp_fail_on(&why, NSP_E_EXHAUSTED, "json_message", "the request is too long");
        stream_respond_error(stream, &why);
        return 0;
    }
    mux->partial_bytes += frame->length;
    if (frame->flags & NSP_FLAG_MORE)
        return 0;
    /* The text outlives the stream: the request may be answered before its handler returns. */
    struct nsp_buf whole = stream->partial;
    nsp_buf_init(&stream->partial, 0);
    mux->partial_bytes -= nsp_buf_length(&whole);
    stream_deliver(stream, (const char *)nsp_buf_bytes(&whole), nsp_buf_length(&whole));
    nsp_buf_done(&whole);
    return 0;
}

static int on_request(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                      const uint8_t *payload, struct nsp_error *err)
{
    struct nsp_error why = NSP_ERROR_INIT;
    struct mux *mux = &session->mux;
    if (stream && stream->state == RECEIVING)
        return gather_request(session, stream, frame, payload, err);
    if (idmap_get(&mux->discarding, frame->stream)) {
        if (!(frame->flags & NSP_FLAG_MORE))
            idmap_remove(&mux->discarding, frame->stream);
        return 0;
    }
    if (frame->stream % 2 == 0 || frame->stream <= mux->last_id)
        return nsp_fail(err, NSP_E_PROTOCOL, "stream id %u is even, or not above %u", frame->stream,
                        mux->last_id);
    mux->last_id = frame->stream;
    if (idmap_count(&session->streams) >= session->server->limits.streams) {
        (void)nsp_fail_on(&why, NSP_E_EXHAUSTED, "streams", "too many calls in progress");
        return refuse_request(session, frame, &why, err);
    }
    if (stream_new(session, frame->stream, &stream, &why) < 0)
        return refuse_request(session, frame, &why, err);
    if (frame->flags & NSP_FLAG_MORE)
        return gather_request(session, stream, frame, payload, err);
    stream_deliver(stream, (const char *)payload, frame->length);
    return 0;
}

/* Frames of a stream */

static int begin_data(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                      struct nsp_error *err)
{
    struct mux *mux = &session->mux;
    uint64_t skip = frame->length;
    if (stream) {
        if (!stream_has_input(stream, frame->channel) || !stream->handler->data)
            return nsp_fail(err, NSP_E_PROTOCOL, "stream %u takes no data on channel %u",
                            frame->stream, frame->channel);
        if (nsp_recv_half_data(&stream->input[frame->channel - 1], frame->offset, frame->length,
                               &skip, err) < 0)
            return -1;
    }
    mux->data_stream = frame->stream;
    mux->data_channel = frame->channel;
    mux->data_left = frame->length;
    mux->data_skip = (uint32_t)skip;
    return 0;
}

/* Passes on what is there of a DATA payload. Returns how much was used. */
static size_t pass_data(struct session *session, const uint8_t *bytes, size_t length)
{
    struct mux *mux = &session->mux;
    if (length > mux->data_left)
        length = mux->data_left;
    size_t skip = length < mux->data_skip ? length : mux->data_skip;
    mux->data_left -= (uint32_t)length;
    mux->data_skip -= (uint32_t)skip;
    struct stream *stream = idmap_get(&session->streams, mux->data_stream);
    if (stream && stream->handler->data && length > skip)
        stream->handler->data(stream->arg, mux->data_channel, bytes + skip, length - skip);
    return length;
}

static int on_end(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                  const uint8_t *payload, struct nsp_error *err)
{
    (void)session;
    (void)payload;
    if (!stream_has_input(stream, frame->channel))
        return nsp_fail(err, NSP_E_PROTOCOL, "stream %u takes no end on channel %u", frame->stream,
                        frame->channel);
    struct nsp_recv_half *half = &stream->input[frame->channel - 1];
    bool repeated = half->state == NSP_HALF_ENDED;
    if (nsp_recv_half_end(half, frame->offset, err) < 0)
        return -1;
    if (!repeated && stream->handler->end)
        stream->handler->end(stream->arg, frame->channel);
    stream_consumed(stream, frame->channel, 0);
    return 0;
}

static int on_credit(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                     const uint8_t *payload, struct nsp_error *err)
{
    (void)session;
    if (!stream_has_output(stream, frame->channel))
        return nsp_fail(err, NSP_E_PROTOCOL, "stream %u takes no credit for channel %u",
                        frame->stream, frame->channel);
    struct nsp_send_half *half = &stream->output[frame->channel - 1];
    uint64_t consumed = half->consumed, limit = half->limit;
    if (nsp_send_half_credit(half, frame->offset, nsp_frame_get_u64(payload), err) < 0)
        return -1;
    if (half->limit > limit)
        stream_ready(stream);
    if (half->consumed > consumed)
        stream_output_consumed(stream, frame->channel);
    return 0;
}

static int on_cancel(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                     const uint8_t *payload, struct nsp_error *err)
{
    (void)payload;
    if (stream->state == RECEIVING) {
        drop_partial(session, stream);
        if (discard_rest(session, frame->stream, err) < 0)
            return -1;
    }
    stream_cancel(stream, STREAM_CANCELLED);
    return 0;
}

/* Frames of the connection */

static int on_ping(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                   const uint8_t *payload, struct nsp_error *err)
{
    (void)stream;
    (void)frame;
    return mux_send_pong(session, nsp_frame_get_u64(payload), err);
}

static int on_pong(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                   const uint8_t *payload, struct nsp_error *err)
{
    (void)session; /* that it came is what counts */
    (void)stream;
    (void)frame;
    (void)payload;
    (void)err;
    return 0;
}

static int on_goaway(struct session *session, struct stream *stream, const struct nsp_frame *frame,
                     const uint8_t *payload, struct nsp_error *err)
{
    (void)stream;
    (void)frame;
    (void)payload;
    (void)err;
    struct nsp_error why = NSP_ERROR_INIT;
    (void)nsp_fail(&why, NSP_E_CONNECTION, "the peer goes away");
    session_drop(session, &why);
    return 0;
}

/* The rules */

enum place { FORBIDDEN, ON_CONNECTION, OPENS_STREAM, ON_STREAM };

static const struct rule {
    enum place place;
    int (*act)(struct session *session, struct stream *stream, const struct nsp_frame *frame,
               const uint8_t *payload, struct nsp_error *err);
} rules[] = {
    [NSP_FRAME_REQUEST] = {OPENS_STREAM, on_request},
    [NSP_FRAME_RESPONSE] = {FORBIDDEN, NULL},
    [NSP_FRAME_NOTIFY] = {FORBIDDEN, NULL},
    [NSP_FRAME_DATA] = {ON_STREAM, NULL},
    [NSP_FRAME_END] = {ON_STREAM, on_end},
    [NSP_FRAME_GAP] = {FORBIDDEN, NULL},
    [NSP_FRAME_CREDIT] = {ON_STREAM, on_credit},
    [NSP_FRAME_CANCEL] = {ON_STREAM, on_cancel},
    [NSP_FRAME_PING] = {ON_CONNECTION, on_ping},
    [NSP_FRAME_PONG] = {ON_CONNECTION, on_pong},
    [NSP_FRAME_GOAWAY] = {ON_CONNECTION, on_goaway},
    [NSP_FRAME_BLOCKED] = {FORBIDDEN, NULL},
};

/* May this frame come at all? *ret_stream is NULL for a stream that has ended. */
static int find_stream(struct session *session, const struct nsp_frame *frame,
                       struct stream **ret_stream, struct nsp_error *err)
{
    enum place place = rules[frame->type].place;
    const char *name = nsp_frame_type_name(frame->type);
    if (place == FORBIDDEN)
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "%s is not for a client to send", name);
    if (place == ON_STREAM && (frame->stream % 2 == 0 || frame->stream > session->mux.last_id))
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "%s for stream %u, which was never opened",
                           name, frame->stream);
    *ret_stream = place == ON_CONNECTION ? NULL : idmap_get(&session->streams, frame->stream);
    return 0;
}

static int act(struct session *session, struct stream *stream, const struct nsp_frame *frame,
               const uint8_t *payload, struct nsp_error *err)
{
    const struct rule *rule = &rules[frame->type];
    if (rule->place == ON_STREAM && !stream)
        return 0; /* it ended while the frame was on its way */
    return rule->act(session, stream, frame, payload, err);
}

/* Takes one unit from the input. 1: took it; 0: it is not whole; -1: malformed. */
static int take_frame(struct session *session, struct nsp_error *err)
{
    struct nsp_buf *input = conn_input(session->conn);
    const uint8_t *bytes = nsp_buf_bytes(input);
    size_t length = nsp_buf_length(input);
    struct nsp_frame frame;
    struct stream *stream = NULL;

    if (length < NSP_FRAME_HEADER_SIZE)
        return 0;
    if (nsp_frame_decode(bytes, &frame, err) < 0 || find_stream(session, &frame, &stream, err) < 0)
        return -1;
    if (frame.type == NSP_FRAME_DATA) {
        if (begin_data(session, stream, &frame, err) < 0)
            return -1;
        nsp_buf_consume(input, NSP_FRAME_HEADER_SIZE);
        return 1;
    }
    if (length < NSP_FRAME_HEADER_SIZE + frame.length)
        return 0;
    int result = act(session, stream, &frame, bytes + NSP_FRAME_HEADER_SIZE, err);
    nsp_buf_consume(input, NSP_FRAME_HEADER_SIZE + frame.length);
    return result < 0 ? -1 : 1;
}

static int take_preface(struct session *session, struct nsp_error *err)
{
    struct nsp_buf *input = conn_input(session->conn);
    uint8_t preface[NSP_PREFACE_SIZE], minor;
    if (nsp_buf_length(input) < NSP_PREFACE_SIZE)
        return 0;
    if (nsp_preface_decode(nsp_buf_bytes(input), &minor, err) < 0)
        return -1;
    nsp_buf_consume(input, NSP_PREFACE_SIZE);
    nsp_preface_encode(preface);
    if (conn_send(session->conn, preface, sizeof preface, err) < 0)
        return -1;
    session->mux.prefaced = true;
    return 1;
}

static int take_data(struct session *session)
{
    struct nsp_buf *input = conn_input(session->conn);
    size_t length = nsp_buf_length(input);
    if (length == 0)
        return 0;
    nsp_buf_consume(input, pass_data(session, nsp_buf_bytes(input), length));
    return 1;
}

static void mux_input(struct session *session)
{
    struct nsp_error err = NSP_ERROR_INIT;
    int took = 1;
    while (took > 0 && session_takes_input(session)) {
        if (!session->mux.prefaced)
            took = take_preface(session, &err);
        else if (session->mux.data_left > 0)
            took = take_data(session);
        else
            took = take_frame(session, &err);
    }
    if (took < 0)
        session_fail(session, &err);
}

const struct session_mode mux_mode = {
    .name = "binary",
    .input = mux_input,
    .respond = mux_send_respond,
    .notify = mux_send_notify,
    .piece = mux_send_piece,
    .credit = mux_send_credit,
    .goodbye = mux_send_goodbye,
    .ping = mux_send_ping,
    .piece_max = NSP_LIMIT_FRAME_PAYLOAD,
    .initial_credit = NSP_LIMIT_INITIAL_CREDIT,
};
