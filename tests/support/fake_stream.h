/* A stream without a session: records what the layers above do with it, and plays the peer.
 *
 * A test program includes fake_stream.c, so that these functions take the place of the session's.
 */
#ifndef TESTS_SUPPORT_FAKE_STREAM_H
#define TESTS_SUPPORT_FAKE_STREAM_H

#include "agent/session/session.h"
#include "agent/session/stream.h"

enum { FAKE_STREAM_NOTES = 64 };

struct stream {
    /* What the stream is; set by the test. */
    bool is_text, needs_token, greeted;
    const char *token; /* the right one */
    bool refuse_label, refuse_deadline;
    struct stream *other; /* what stream_cancel_labelled looks at besides itself */

    /* What happened. */
    const struct stream_handler *handler;
    void *arg;
    char *label, *client;
    uint64_t deadline_ms;
    unsigned responses;
    bool is_error;
    char *response; /* the last one */
    unsigned notes;
    struct {
        char *method, *params;
    } note[FAKE_STREAM_NOTES];
    unsigned ready;
    uint64_t output_from[NSP_CHANNEL_COUNT], input_from, input_window, consumed;
};

/* A greeted binary stream, and a text one. */
struct stream *fake_stream_new(bool is_text);
void fake_stream_free(struct stream *stream);

/* The peer ends it. A stream that is told of a cancel or deadline must have been answered then. */
void fake_stream_end(struct stream *stream, enum stream_gone why);

/* True when the response is an error of that name. */
bool fake_stream_failed_as(const struct stream *stream, const char *name);
/* True when the response contains the text. */
bool fake_stream_said(const struct stream *stream, const char *text);

#endif
