#include "tests/support/fake_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/error_json.h"
#include "protocol/json_check.h"

static void die(const char *what)
{
    fprintf(stderr, "fake stream: %s\n", what);
    abort();
}

static char *copy(const char *text, size_t length)
{
    char *copied = strndup(text, length);
    if (!copied)
        die("no memory");
    return copied;
}

/* What goes to a peer must pass the peer's own check. */
static void check_json(const char *text, size_t length)
{
    struct nsp_error err;
    if (nsp_json_check(text, length, &err) < 0)
        die(err.msg);
}

struct stream *fake_stream_new(bool is_text)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        die("no memory");
    stream->is_text = is_text;
    stream->greeted = !is_text;
    return stream;
}

void fake_stream_free(struct stream *stream)
{
    for (unsigned i = 0; i < stream->notes; i++) {
        free(stream->note[i].method);
        free(stream->note[i].params);
    }
    free(stream->response);
    free(stream->label);
    free(stream->client);
    free(stream);
}

void fake_stream_end(struct stream *stream, enum stream_gone why)
{
    unsigned expected = stream->responses + (why != STREAM_LOST);
    if (!stream->handler || !stream->handler->gone)
        die("nobody is told of the end");
    stream->handler->gone(stream->arg, why);
    if (stream->responses != expected)
        die("wrong number of responses at the end");
}

bool fake_stream_failed_as(const struct stream *stream, const char *name)
{
    char data[64];
    snprintf(data, sizeof data, "\"data\":{\"name\":\"%s\"", name);
    return stream->responses == 1 && stream->is_error && strstr(stream->response, data);
}

bool fake_stream_said(const struct stream *stream, const char *text)
{
    return stream->response && strstr(stream->response, text);
}

/* In place of the session's */

void stream_set_handler(struct stream *stream, const struct stream_handler *handler, void *arg)
{
    stream->handler = handler;
    stream->arg = arg;
}

void stream_open_output(struct stream *stream, uint8_t channel, uint64_t from)
{
    stream->output_from[channel] = from;
}

void stream_open_input(struct stream *stream, uint8_t channel, uint64_t from, uint64_t window)
{
    (void)channel;
    stream->input_from = from;
    stream->input_window = window;
}

void stream_ready(struct stream *stream)
{
    stream->ready++;
}

void stream_consumed(struct stream *stream, uint8_t channel, uint64_t length)
{
    (void)channel;
    stream->consumed += length;
}

void stream_notify(struct stream *stream, const char *method, const char *params, size_t length)
{
    if (stream->responses > 0)
        die("notification after the response");
    if (stream->notes == FAKE_STREAM_NOTES)
        die("too many notifications");
    check_json(params, length);
    stream->note[stream->notes].method = copy(method, strlen(method));
    stream->note[stream->notes].params = copy(params, length);
    stream->notes++;
}

void stream_respond(struct stream *stream, const char *text, size_t length, bool is_error)
{
    check_json(text, length);
    free(stream->response);
    stream->response = copy(text, length);
    stream->is_error = is_error;
    stream->responses++;
}

void stream_refuse(struct stream *stream, const struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    stream_respond(stream, text, nsp_error_json(err, text, sizeof text), true);
}

int stream_set_label(struct stream *stream, const char *label, size_t length, struct nsp_error *err)
{
    if (stream->refuse_label)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a label");
    free(stream->label);
    stream->label = copy(label, length);
    return 0;
}

int stream_set_deadline(struct stream *stream, uint64_t deadline_ms, struct nsp_error *err)
{
    if (stream->refuse_deadline)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a deadline");
    stream->deadline_ms = deadline_ms;
    return 0;
}

bool stream_greeted(const struct stream *stream)
{
    return stream->greeted;
}

bool stream_is_text(const struct stream *stream)
{
    return stream->is_text;
}

bool stream_needs_token(const struct stream *stream)
{
    return stream->needs_token;
}

int stream_greet(struct stream *stream, const char *token, const char *client,
                 struct nsp_error *err)
{
    if (stream->needs_token && (!token || strcmp(token, stream->token) != 0))
        return nsp_fail(err, NSP_E_UNAUTHENTICATED, "wrong token");
    stream->greeted = true;
    if (client)
        stream->client = copy(client, strlen(client));
    return 0;
}

int stream_cancel_labelled(struct stream *stream, const char *label, size_t length,
                           struct nsp_error *err)
{
    struct stream *candidates[] = {stream, stream->other};
    for (int i = 0; i < 2; i++) {
        struct stream *candidate = candidates[i];
        if (!candidate || !candidate->label || strlen(candidate->label) != length ||
            memcmp(candidate->label, label, length) != 0)
            continue;
        fake_stream_end(candidate, STREAM_CANCELLED);
        return 0;
    }
    return nsp_fail_on(err, NSP_E_NOT_FOUND, label, "no call has that id");
}

uint64_t stream_connection_id(const struct stream *stream)
{
    (void)stream;
    return 7;
}

void session_server_stats(const struct session_server *server, struct session_stats *ret_stats)
{
    (void)server;
    *ret_stats = (struct session_stats){.connections = 3, .bytes_out = 42};
}
