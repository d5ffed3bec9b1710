/* The inside of a stream, for this folder only. See stream.h for the model.
 *
 *   RECEIVING --whole request--> ACTIVE --response, gone--> ENDED --settle--> freed
 *
 * A stream that has ENDED is in no table and no list but session->gone; every function accepts it
 * and does nothing, so that a handler may end it in any callback.
 */
#ifndef AGENT_STREAM_IMPL_H
#define AGENT_STREAM_IMPL_H

#include "agent/loop/loop.h"
#include "agent/session/stream.h"
#include "protocol/buf.h"
#include "protocol/channel.h"

struct session;

enum stream_state { RECEIVING, ACTIVE, ENDED };

enum { STREAM_CHANNELS = NSP_CHANNEL_COUNT - 1 };

struct stream_list {
    struct stream *first, *last;
};

struct stream {
    struct session *session;
    uint64_t id;
    enum stream_state state;
    bool over_limit; /* text mode: to be refused as soon as its label is known */
    bool is_ready;
    bool is_unconfirmed;
    uint8_t outputs, inputs;              /* bit of each open channel */
    const struct stream_handler *handler; /* never NULL */
    void *arg;
    struct stream *previous, *next;  /* in session->ready or session->gone */
    struct stream *next_unconfirmed; /* text mode: its bytes are in the queue */
    struct nsp_send_half output[STREAM_CHANNELS];
    struct nsp_recv_half input[STREAM_CHANNELS];
    struct nsp_buf partial; /* RECEIVING: the request so far */
    struct timer *deadline;
    char *label;
    size_t label_length;
};

/* Enters the session's table; EXHAUSTED when it is full. */
int stream_new(struct session *session, uint64_t id, struct stream **ret_stream,
               struct nsp_error *err);
void stream_free(struct stream *stream);

/* The whole request is there: hands it to the layer above. */
void stream_deliver(struct stream *stream, const char *text, size_t length);
/* The peer or the clock ends it: gone, and a response if the handler gave none. */
void stream_cancel(struct stream *stream, enum stream_gone why);
/* The connection is gone. */
void stream_lose(struct stream *stream);
/* A response that is an error value. */
void stream_respond_error(struct stream *stream, const struct nsp_error *err);

/* Pulls a piece, sends it, and stays ready if there was one. */
void stream_send_piece(struct stream *stream);
/* The peer consumed output up to the offset: tells the handler. */
void stream_output_consumed(struct stream *stream, uint8_t channel);

static inline bool stream_has_output(const struct stream *stream, uint8_t channel)
{
    return stream->outputs & (1U << channel);
}
static inline bool stream_has_input(const struct stream *stream, uint8_t channel)
{
    return stream->inputs & (1U << channel);
}

void stream_list_append(struct stream_list *list, struct stream *stream);
void stream_list_remove(struct stream_list *list, struct stream *stream);

#endif
