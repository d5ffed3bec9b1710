/* A stream: one call in progress on a connection, as the layers above see it. The same for binary
 * and text mode.
 *
 * Output is pulled: when the connection can take bytes and the peer has given credit, the mux calls
 * pull, which hands out the next piece and counts it as sent. The bytes must stay valid until
 * pull's caller returns to the loop; the mux writes or copies them at once. After pull said NOTHING
 * it is not called again before stream_ready or new credit.
 *
 * Input is pushed: data and end come in order, without holes or repetitions, within the credit that
 * stream_consumed gives back.
 *
 * The end: stream_respond ends the stream, and the handle is dead after it. gone says that the peer
 * ended it: with STREAM_LOST (the connection is gone) the handle is dead when gone returns; with
 * STREAM_CANCELLED or STREAM_DEADLINE the handler must call stream_respond before it returns.
 * Exactly one of stream_respond and gone(STREAM_LOST) ends a stream.
 */
#ifndef AGENT_STREAM_H
#define AGENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "protocol/error.h"
#include "protocol/frame.h"

struct stream;

/* BLOCKED: everything before the offset was handed out, and nothing more comes before it is
 * consumed. */
enum stream_piece_kind { STREAM_NOTHING, STREAM_DATA, STREAM_GAP, STREAM_END, STREAM_BLOCKED };

struct stream_piece {
    enum stream_piece_kind kind;
    uint8_t channel;
    uint64_t offset; /* first byte; END: length of the channel */
    uint64_t gap_to; /* GAP */
    bool truncated;  /* END */
    size_t length;   /* DATA: sum of iov */
    struct iovec iov[2];
    int iov_count;
};

enum stream_gone { STREAM_LOST, STREAM_CANCELLED, STREAM_DEADLINE };

struct stream_handler {
    /* allowance: bytes that each channel's credit permits now, indexed by channel. At most max
     * bytes in one piece. GAP, END and BLOCKED need no credit. */
    void (*pull)(void *arg, const uint64_t *allowance, size_t max, struct stream_piece *ret_piece);
    /* The peer has consumed everything before the offset. */
    void (*consumed)(void *arg, uint8_t channel, uint64_t offset);
    void (*data)(void *arg, uint8_t channel, const void *bytes, size_t length);
    void (*end)(void *arg, uint8_t channel);
    void (*gone)(void *arg, enum stream_gone why);
};

/* Every function pointer may be NULL: no output, no input (data is then refused with PROTOCOL). */
void stream_set_handler(struct stream *stream, const struct stream_handler *handler, void *arg);

/* Where the channels start (before the first pull or data). stdin: window of credit for the peer;
 * 0 refuses input. */
void stream_open_output(struct stream *stream, uint8_t channel, uint64_t from);
void stream_open_input(struct stream *stream, uint8_t channel, uint64_t from, uint64_t window);

/* There may be something to pull. Cheap; may be called at any time, also from inside pull. */
void stream_ready(struct stream *stream);

/* length bytes of an input channel were taken; credit goes back when it is worth a frame. */
void stream_consumed(struct stream *stream, uint8_t channel, uint64_t length);

/* JSON text of `params`, with the method's name; goes ahead of data. An object. Dropping is
 * impossible: without room for control messages the connection is closed, and gone(STREAM_LOST)
 * comes later from the loop. */
void stream_notify(struct stream *stream, const char *method, const char *params, size_t length);

/* JSON text of the result (error NULL) or of the error object: the only and last response. */
void stream_respond(struct stream *stream, const char *text, size_t length, bool is_error);
/* The response to a request that there was no memory to read. Where that cannot name the request
 * (text mode, no label yet), nobody could tell whose it is: it ends the connection too. */
void stream_refuse(struct stream *stream, const struct nsp_error *err);

/* For the layer that reads requests (rpc), right after the stream was opened. label: the JSON text
 * of the request's id, echoed in text mode; copied. deadline: gone(STREAM_DEADLINE) after so many
 * milliseconds; 0 none. */
int stream_set_label(struct stream *stream, const char *label, size_t length,
                     struct nsp_error *err);
int stream_set_deadline(struct stream *stream, uint64_t deadline_ms, struct nsp_error *err);

/* hello. A wrong token is UNAUTHENTICATED, and the session closes the connection after a delay (the
 * response is still sent). token may be NULL. */
bool stream_greeted(const struct stream *stream);
bool stream_is_text(const struct stream *stream);
bool stream_needs_token(const struct stream *stream);
int stream_greet(struct stream *stream, const char *token, const char *client,
                 struct nsp_error *err);

/* Cancels another stream of the same connection by its label (text mode's cancel). NOT_FOUND. */
int stream_cancel_labelled(struct stream *stream, const char *label, size_t length,
                           struct nsp_error *err);

/* Connection that it belongs to, for logs and for the process service's records. */
uint64_t stream_connection_id(const struct stream *stream);

#endif
