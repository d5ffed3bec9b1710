/* A call sits between a stream and the service that works for it.
 *
 * It ends once: by call_reply, by call_fail, or by gone from below. `ended` is set first, so
 * whatever the service still says after that is logged and dropped. The memory goes when the call
 * has ended and none of its frames is on the stack (`busy`).
 */
#include "agent/rpc/call.h"

#include <stdlib.h>

#include "agent/base/log.h"
#include "protocol/error_json.h"

struct call {
    struct stream *stream;
    const char *method;
    const struct stream_handler *handler; /* the service's; NULL until it is set */
    void *arg;
    unsigned busy;
    bool ended;
    struct nsp_error failure; /* what got lost on the way; NONE mostly */
};

static void release(struct call *call)
{
    if (call->ended && call->busy == 0)
        free(call);
}

static void respond_error(struct call *call, const struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    size_t length = nsp_error_json(err, text, sizeof text);
    stream_respond(call->stream, text, length, true);
}

/* True for the first end only. */
static bool end(struct call *call, const char *how)
{
    if (call->ended) {
        log_write(LOG_ERROR, "call answered after its end", "method=%s answer=%s", call->method,
                  how);
        return false;
    }
    call->ended = true;
    log_debug("call ended", "conn=%llu method=%s answer=%s",
              (unsigned long long)stream_connection_id(call->stream), call->method, how);
    return true;
}

/* What the stream calls */

static void on_pull(void *arg, const uint64_t *allowance, size_t max,
                    struct stream_piece *ret_piece)
{
    struct call *call = arg;
    call->handler->pull(call->arg, allowance, max, ret_piece);
}

static void on_consumed(void *arg, uint8_t channel, uint64_t offset)
{
    struct call *call = arg;
    call->handler->consumed(call->arg, channel, offset);
}

static void on_data(void *arg, uint8_t channel, const void *bytes, size_t length)
{
    struct call *call = arg;
    call->handler->data(call->arg, channel, bytes, length);
}

static void on_end(void *arg, uint8_t channel)
{
    struct call *call = arg;
    call->handler->end(call->arg, channel);
}

static void on_gone(void *arg, enum stream_gone why)
{
    struct call *call = arg;
    enum nsp_error_code code = why == STREAM_CANCELLED ? NSP_E_CANCELLED : NSP_E_DEADLINE;
    if (!end(call, why == STREAM_LOST ? "LOST" : nsp_error_name(code)))
        return;
    call->busy++;
    if (call->handler && call->handler->gone)
        call->handler->gone(call->arg, why);
    if (why != STREAM_LOST) {
        struct nsp_error err;
        nsp_fail_on(&err, code, call->method, "%s", nsp_error_text(code));
        respond_error(call, &err);
    }
    call->busy--;
    release(call);
}

/* A pointer that the service leaves out must be left out below as well, hence one row a choice. */
enum { PULL = 1, CONSUMED = 2, DATA = 4, END = 8 };
#define ROW(set)                                                                                   \
    {                                                                                              \
        .pull = (set)&PULL ? on_pull : NULL, .consumed = (set)&CONSUMED ? on_consumed : NULL,      \
        .data = (set)&DATA ? on_data : NULL, .end = (set)&END ? on_end : NULL, .gone = on_gone     \
    }
static const struct stream_handler rows[] = {
    ROW(0), ROW(1), ROW(2),  ROW(3),  ROW(4),  ROW(5),  ROW(6),  ROW(7),
    ROW(8), ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15),
};
#undef ROW

/* What the service calls */

void call_set_handler(struct call *call, const struct stream_handler *handler, void *arg)
{
    if (call->ended)
        return;
    call->handler = handler;
    call->arg = arg;
    unsigned set = (handler->pull ? PULL : 0) | (handler->consumed ? CONSUMED : 0) |
                   (handler->data ? DATA : 0) | (handler->end ? END : 0);
    stream_set_handler(call->stream, &rows[set], call);
}

struct stream *call_stream(struct call *call)
{
    return call->stream;
}

void call_fail(struct call *call, const struct nsp_error *err)
{
    if (!end(call, nsp_error_name(err->code)))
        return;
    respond_error(call, err);
    release(call);
}

void call_reply(struct call *call, struct reply *reply)
{
    const char *text;
    size_t length;
    struct nsp_error err = call->failure;
    if (err.code != NSP_E_NONE || reply_finish(reply, &text, &length, &err) < 0) {
        call_fail(call, &err);
    } else if (end(call, "result")) {
        stream_respond(call->stream, text, length, false);
        release(call);
    }
    reply_free(reply);
}

void call_notify(struct call *call, const char *method, struct reply *reply)
{
    const char *text;
    size_t length;
    if (call->ended)
        log_write(LOG_ERROR, "call notifies after its end", "method=%s notification=%s",
                  call->method, method);
    else if (reply_finish(reply, &text, &length, &call->failure) == 0)
        stream_notify(call->stream, method, text, length);
    reply_free(reply);
}

bool call_is_broken(const struct call *call)
{
    return call->failure.code != NSP_E_NONE;
}

/* What dispatch calls */

int call_new(struct stream *stream, const char *method, struct call **ret_call,
             struct nsp_error *err)
{
    struct call *call = malloc(sizeof *call);
    if (!call)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a call");
    *call = (struct call){.stream = stream, .method = method};
    stream_set_handler(stream, &rows[0], call);
    *ret_call = call;
    return 0;
}

void call_run(struct call *call,
              void (*handler)(void *service, struct call *call, const void *params), void *service,
              const void *params)
{
    call->busy++;
    handler(service, call, params);
    if (!call->ended && !call->handler) {
        struct nsp_error err;
        nsp_fail_on(&err, NSP_E_INTERNAL, call->method, "%s gave no answer", call->method);
        log_error(LOG_ERROR, "call without an answer", &err);
        call_fail(call, &err);
    }
    call->busy--;
    release(call);
}
