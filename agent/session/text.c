#include "agent/session/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/session/session_impl.h"
#include "protocol/base64.h"
#include "protocol/error_json.h"
#include "protocol/frame.h"
#include "protocol/limits.h"

/* Numbers beyond this are decimal strings: JSON readers have doubles. */
#define EXACT_MAX (UINT64_C(1) << 53)

enum {
    PIECE_BYTES = 49152, /* 64 KiB of base64 */
    NUMBER_SIZE = 24,
};

/* Output */

static int queue_parts(struct session *session, const struct iovec *parts, size_t count,
                       struct nsp_error *err)
{
    size_t total = 0;
    uint8_t *room;
    for (size_t i = 0; i < count; i++)
        total += parts[i].iov_len;
    if (conn_reserve(session->conn, total, &room, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].iov_len > 0)
            memcpy(room, parts[i].iov_base, parts[i].iov_len);
        room += parts[i].iov_len;
    }
    conn_commit(session->conn, total);
    return 0;
}

static struct iovec label_of(const struct stream *stream)
{
    if (!stream || !stream->label)
        return (struct iovec)SESSION_LITERAL("null");
    return (struct iovec)SESSION_PART(stream->label, stream->label_length);
}

static int queue_response(struct session *session, const struct stream *stream, const char *text,
                          size_t length, bool is_error, struct nsp_error *err)
{
    struct iovec parts[] = {SESSION_LITERAL("{\"jsonrpc\":\"2.0\",\"id\":"), label_of(stream),
                            SESSION_LITERAL(",\"result\":"), SESSION_PART(text, length),
                            SESSION_LITERAL("}\n")};
    if (is_error)
        parts[2] = (struct iovec)SESSION_LITERAL(",\"error\":");
    return queue_parts(session, parts, sizeof parts / sizeof *parts, err);
}

static int queue_goodbye(struct session *session, const struct nsp_error *why,
                         struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    return queue_response(session, NULL, text, nsp_error_json(why, text, sizeof text), true, err);
}

/* The request's id is the first member; the others are as in binary mode. */
static int queue_notification(struct session *session, const struct stream *stream,
                              const char *method, const char *params, size_t length,
                              struct nsp_error *err)
{
    bool empty = length <= 2;
    struct iovec parts[] = {
        SESSION_LITERAL("{\"jsonrpc\":\"2.0\",\"method\":\""),
        SESSION_PART(method, strlen(method)),
        SESSION_LITERAL("\",\"params\":{\"id\":"),
        label_of(stream),
        SESSION_PART(",", empty ? 0 : 1),
        SESSION_PART(params + 1, length - 1),
        SESSION_LITERAL("}\n"),
    };
    return queue_parts(session, parts, sizeof parts / sizeof *parts, err);
}

static int format_number(char *target, uint64_t number)
{
    const char *quote = number > EXACT_MAX ? "\"" : "";
    return snprintf(target, NUMBER_SIZE, "%s%" PRIu64 "%s", quote, number, quote);
}

/* What all three kinds of piece begin with, up to the offset. */
static int queue_piece_head(struct session *session, const struct stream *stream,
                            const struct stream_piece *piece, const char *method,
                            struct nsp_error *err)
{
    char channel[32], offset[NUMBER_SIZE];
    int channel_length = snprintf(channel, sizeof channel, ",\"channel\":\"%s\"",
                                  nsp_frame_channel_name(piece->channel));
    int offset_length = format_number(offset, piece->offset);
    const struct iovec parts[] = {
        SESSION_LITERAL("{\"jsonrpc\":\"2.0\",\"method\":\""),
        SESSION_PART(method, strlen(method)),
        SESSION_LITERAL("\",\"params\":{\"id\":"),
        label_of(stream),
        SESSION_PART(channel, (size_t)channel_length),
        SESSION_LITERAL(",\"offset\":"),
        SESSION_PART(offset, (size_t)offset_length),
    };
    return queue_parts(session, parts, sizeof parts / sizeof *parts, err);
}

/* Base64 of parts as if they were one: groups of three bytes may span them. */
static void encode_parts(char *target, const struct iovec *iov, int count)
{
    uint8_t group[3];
    size_t held = 0;
    for (int i = 0; i < count; i++) {
        const uint8_t *bytes = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        for (; held > 0 && held < 3 && left > 0; left--)
            group[held++] = *bytes++;
        if (held == 3) {
            target += nsp_base64_encode(target, group, held);
            held = 0;
        }
        if (held > 0)
            continue;
        size_t whole = left - left % 3;
        target += nsp_base64_encode(target, bytes, whole);
        for (bytes += whole; held < left - whole; held++)
            group[held] = bytes[held];
    }
    nsp_base64_encode(target, group, held);
}

static int queue_data(struct session *session, const struct stream_piece *piece,
                      struct nsp_error *err)
{
    static const char before[] = ",\"data\":\"", after[] = "\"}}\n";
    size_t encoded = nsp_base64_encoded_length(piece->length);
    size_t total = sizeof before - 1 + encoded + sizeof after - 1;
    uint8_t *room;
    if (conn_reserve(session->conn, total, &room, err) < 0)
        return -1;
    memcpy(room, before, sizeof before - 1);
    encode_parts((char *)room + sizeof before - 1, piece->iov, piece->iov_count);
    memcpy(room + sizeof before - 1 + encoded, after, sizeof after - 1);
    conn_commit(session->conn, total);
    return 0;
}

static void await_flush(struct session *session, struct stream *stream)
{
    if (stream->is_unconfirmed)
        return;
    stream->is_unconfirmed = true;
    stream->next_unconfirmed = session->text.unconfirmed;
    session->text.unconfirmed = stream;
}

static int queue_piece(struct session *session, struct stream *stream,
                       const struct stream_piece *piece, struct nsp_error *err)
{
    static const char *const methods[] = {[STREAM_DATA] = "process.output",
                                          [STREAM_GAP] = "process.gap",
                                          [STREAM_END] = "process.end"};
    char tail[64];
    if (piece->kind == STREAM_BLOCKED)
        return 0; /* consumption is what the socket takes: nobody has to be asked */
    if (queue_piece_head(session, stream, piece, methods[piece->kind], err) < 0)
        return -1;
    await_flush(session, stream);
    if (piece->kind == STREAM_DATA)
        return queue_data(session, piece, err);
    if (piece->kind == STREAM_END) {
        snprintf(tail, sizeof tail, ",\"truncated\":%s}}\n", piece->truncated ? "true" : "false");
    } else {
        char to[NUMBER_SIZE];
        format_number(to, piece->gap_to);
        snprintf(tail, sizeof tail, ",\"to\":%s}}\n", to);
    }
    return conn_send(session->conn, tail, strlen(tail), err);
}

static int queue_credit(struct session *session, const struct stream *stream, uint8_t channel,
                        struct nsp_error *err)
{
    (void)session; /* there is no data from the peer in text mode */
    (void)stream;
    (void)channel;
    (void)err;
    return 0;
}

static void confirm(struct session *session)
{
    struct stream *stream;
    while ((stream = session->text.unconfirmed)) {
        session->text.unconfirmed = stream->next_unconfirmed;
        stream->is_unconfirmed = false;
        for (uint8_t channel = 1; channel < NSP_CHANNEL_COUNT; channel++) {
            struct nsp_send_half *half = &stream->output[channel - 1];
            if (!stream_has_output(stream, channel) || half->consumed == half->next)
                continue;
            half->consumed = half->next;
            stream_output_consumed(stream, channel);
        }
    }
}

void text_forget(struct session *session, struct stream *stream)
{
    struct stream **slot = &session->text.unconfirmed;
    while (*slot != stream)
        slot = &(*slot)->next_unconfirmed;
    *slot = stream->next_unconfirmed;
    stream->is_unconfirmed = false;
}

/* Input */

static void refuse_line(struct session *session, enum nsp_error_code code, const char *object,
                        const char *text)
{
    struct nsp_error why = NSP_ERROR_INIT, err = NSP_ERROR_INIT;
    (void)nsp_fail_on(&why, code, object, "%s", text);
    if (queue_goodbye(session, &why, &err) < 0)
        session_drop(session, &err);
}

static void take_request(struct session *session, const char *line, size_t length)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct stream *stream;
    unsigned limit = session->server->limits.streams;
    if (stream_new(session, ++session->text.last_id, &stream, &err) < 0) {
        session_fail(session, &err); /* whose request it was cannot be told */
        return;
    }
    stream->over_limit = idmap_count(&session->streams) > limit;
    stream_deliver(stream, line, length);
    /* Normally it was refused when it got its label. */
    if (stream->over_limit && stream->state != ENDED)
        stream_cancel(stream, STREAM_CANCELLED);
}

static void handle_line(struct session *session, const char *line, size_t length)
{
    size_t blank = 0;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    while (blank < length && (line[blank] == ' ' || line[blank] == '\t'))
        blank++;
    if (blank == length)
        return;
    if (!session->needs_token)
        session_greet(session);
    if (length > NSP_LIMIT_JSON_MESSAGE)
        refuse_line(session, NSP_E_EXHAUSTED, "json_message", "the line is too long");
    else if (line[blank] == '[')
        refuse_line(session, NSP_E_INVALID_REQUEST, NULL, "batches are not supported");
    else
        take_request(session, line, length);
}

/* False when no whole line is there. */
static bool take_line(struct session *session)
{
    struct text *text = &session->text;
    struct nsp_buf *input = conn_input(session->conn);
    const char *bytes = (const char *)nsp_buf_bytes(input);
    size_t length = nsp_buf_length(input);
    const char *newline =
        length > text->scanned ? memchr(bytes + text->scanned, '\n', length - text->scanned) : NULL;

    if (newline) {
        size_t line = (size_t)(newline - bytes);
        text->scanned = 0;
        if (!text->skipping)
            handle_line(session, bytes, line);
        text->skipping = false;
        nsp_buf_consume(input, line + 1);
        return true;
    }
    text->scanned = length;
    if (length > NSP_LIMIT_JSON_MESSAGE + 1 || text->skipping) {
        if (!text->skipping)
            refuse_line(session, NSP_E_EXHAUSTED, "json_message", "the line is too long");
        text->skipping = true;
        text->scanned = 0;
        nsp_buf_consume(input, length);
    }
    return false;
}

static void take_lines(struct session *session)
{
    while (session_takes_input(session) && take_line(session))
        continue;
}

const struct session_mode text_mode = {
    .name = "text",
    .input = take_lines,
    .respond = queue_response,
    .notify = queue_notification,
    .piece = queue_piece,
    .credit = queue_credit,
    .goodbye = queue_goodbye,
    .flushed = confirm,
    .piece_max = PIECE_BYTES,
    .initial_credit = UINT64_MAX,
};
