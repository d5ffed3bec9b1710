#include "agent/session/mux_send.h"

#include <string.h>

#include "agent/session/session_impl.h"
#include "protocol/error_json.h"
#include "protocol/frame.h"
#include "protocol/limits.h"

/* Header and payload; the payload is written by the caller to the place it gets. */
static uint8_t *queue_frame(struct session *session, const struct nsp_frame *frame,
                            struct nsp_error *err)
{
    uint8_t *room;
    if (conn_reserve(session->conn, NSP_FRAME_HEADER_SIZE + frame->length, &room, err) < 0)
        return NULL;
    nsp_frame_encode(frame, room);
    conn_commit(session->conn, NSP_FRAME_HEADER_SIZE + frame->length);
    return room + NSP_FRAME_HEADER_SIZE;
}

static int queue_number(struct session *session, const struct nsp_frame *frame, uint64_t number,
                        struct nsp_error *err)
{
    uint8_t *payload = queue_frame(session, frame, err);
    if (!payload)
        return -1;
    nsp_frame_put_u64(payload, number);
    return 0;
}

/* Copies length bytes from the parts, which it advances. */
static void gather(uint8_t *target, struct iovec *parts, size_t length)
{
    while (length > 0) {
        size_t step = parts->iov_len < length ? parts->iov_len : length;
        if (step > 0)
            memcpy(target, parts->iov_base, step);
        target += step;
        length -= step;
        parts->iov_base = (uint8_t *)parts->iov_base + step;
        parts->iov_len -= step;
        if (parts->iov_len == 0)
            parts++;
    }
}

/* A JSON text made of count parts, as one frame or several. The parts are used up. */
static int queue_json(struct session *session, uint8_t type, uint32_t stream, struct iovec *parts,
                      int count, struct nsp_error *err)
{
    size_t left = 0;
    for (int i = 0; i < count; i++)
        left += parts[i].iov_len;
    while (left > 0) {
        bool more = left > NSP_LIMIT_FRAME_PAYLOAD;
        struct nsp_frame frame = {
            .length = more ? NSP_LIMIT_FRAME_PAYLOAD : (uint32_t)left,
            .stream = stream,
            .type = type,
            .flags = more ? NSP_FLAG_MORE : 0,
        };
        uint8_t *payload = queue_frame(session, &frame, err);
        if (!payload)
            return -1;
        gather(payload, parts, frame.length);
        while (count > 1 && parts->iov_len == 0) {
            parts++;
            count--;
        }
        left -= frame.length;
    }
    return 0;
}

int mux_send_respond(struct session *session, const struct stream *stream, const char *text,
                     size_t length, bool is_error, struct nsp_error *err)
{
    struct iovec parts[] = {SESSION_LITERAL("{\"result\":"), SESSION_PART(text, length),
                            SESSION_LITERAL("}")};
    if (is_error)
        parts[0] = (struct iovec)SESSION_LITERAL("{\"error\":");
    return queue_json(session, NSP_FRAME_RESPONSE, (uint32_t)stream->id, parts, 3, err);
}

int mux_send_notify(struct session *session, const struct stream *stream, const char *method,
                    const char *params, size_t length, struct nsp_error *err)
{
    struct iovec parts[] = {SESSION_LITERAL("{\"method\":\""), SESSION_PART(method, strlen(method)),
                            SESSION_LITERAL("\",\"params\":"), SESSION_PART(params, length),
                            SESSION_LITERAL("}")};
    return queue_json(session, NSP_FRAME_NOTIFY, (uint32_t)stream->id, parts, 5, err);
}

int mux_send_error(struct session *session, uint32_t id, const struct nsp_error *why,
                   struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    const struct stream refused = {.id = id};
    return mux_send_respond(session, &refused, text, nsp_error_json(why, text, sizeof text), true,
                            err);
}

int mux_send_piece(struct session *session, struct stream *stream, const struct stream_piece *piece,
                   struct nsp_error *err)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    struct nsp_frame frame = {
        .stream = (uint32_t)stream->id, .channel = piece->channel, .offset = piece->offset};
    switch (piece->kind) {
    case STREAM_GAP:
        frame.type = NSP_FRAME_GAP;
        frame.length = sizeof(uint64_t);
        return queue_number(session, &frame, piece->gap_to, err);
    case STREAM_END:
        frame.type = NSP_FRAME_END;
        frame.flags = piece->truncated ? NSP_FLAG_TRUNCATED : 0;
        return queue_frame(session, &frame, err) ? 0 : -1;
    case STREAM_BLOCKED:
        frame.type = NSP_FRAME_BLOCKED;
        return queue_frame(session, &frame, err) ? 0 : -1;
    default:
        frame.type = NSP_FRAME_DATA;
        frame.length = (uint32_t)piece->length;
        nsp_frame_encode(&frame, header);
        struct iovec iov[] = {SESSION_PART(header, sizeof header), piece->iov[0], piece->iov[1]};
        return conn_send_now(session->conn, iov, 1 + piece->iov_count, err);
    }
}

int mux_send_credit(struct session *session, const struct stream *stream, uint8_t channel,
                    struct nsp_error *err)
{
    const struct nsp_recv_half *half = &stream->input[channel - 1];
    const struct nsp_frame frame = {.length = sizeof(uint64_t),
                                    .stream = (uint32_t)stream->id,
                                    .type = NSP_FRAME_CREDIT,
                                    .channel = channel,
                                    .offset = half->consumed};
    return queue_number(session, &frame, half->limit, err);
}

int mux_send_ping(struct session *session, struct nsp_error *err)
{
    const struct nsp_frame frame = {.length = sizeof(uint64_t), .type = NSP_FRAME_PING};
    return queue_number(session, &frame, session->pinged_ns, err);
}

int mux_send_pong(struct session *session, uint64_t number, struct nsp_error *err)
{
    const struct nsp_frame frame = {.length = sizeof(uint64_t), .type = NSP_FRAME_PONG};
    return queue_number(session, &frame, number, err);
}

int mux_send_goodbye(struct session *session, const struct nsp_error *why, struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    size_t length = nsp_error_json(why, text, sizeof text);
    struct iovec parts[] = {SESSION_LITERAL("{\"error\":"), SESSION_PART(text, length),
                            SESSION_LITERAL("}")};
    uint8_t preface[NSP_PREFACE_SIZE];
    if (!session->mux.prefaced) {
        nsp_preface_encode(preface);
        if (conn_send(session->conn, preface, sizeof preface, err) < 0)
            return -1;
    }
    return queue_json(session, NSP_FRAME_GOAWAY, 0, parts, 3, err);
}
