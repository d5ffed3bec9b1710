#include "client/call.h"

#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/writer.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum state { QUEUED, SENT, DONE };

struct nsp_call {
    enum state state;
    struct nsp_client *client;
    const struct nsp_call_handler *handler; /* NULL for a plain call */
    void *arg;

    char *method, *params; /* of a plain call */
    unsigned flags;
    uint64_t deadline;    /* ms; 0: none */
    uint64_t deadline_at; /* 0: not counting yet */

    uint32_t stream;
    struct nsp_buf response, notify; /* parts of messages that are not whole yet */
    bool data_ready;

    char *result; /* of a plain call */
    struct nsp_error error;
};

int nsp_call_assemble(struct nsp_buf *parts, const struct nsp_frame *frame, const uint8_t *payload,
                      const char **ret_text, size_t *ret_length, struct nsp_error *err)
{
    bool more = (frame->flags & NSP_FLAG_MORE) != 0;
    if (!more && nsp_buf_length(parts) == 0) {
        *ret_text = (const char *)payload;
        *ret_length = frame->length;
        return 1;
    }
    if (frame->length > parts->ceiling - nsp_buf_length(parts))
        return nsp_fail(err, NSP_E_PROTOCOL, "a JSON message passes %zu bytes", parts->ceiling);
    if (nsp_buf_append(parts, payload, frame->length, err) < 0)
        return -1;
    if (more)
        return 0;
    *ret_text = (const char *)nsp_buf_bytes(parts);
    *ret_length = nsp_buf_length(parts);
    return 1;
}

int nsp_call_request_text(const char *method, const char *params, uint64_t deadline,
                          char **ret_text, struct nsp_error *err)
{
    struct nsp_writer writer;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE + 1);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "method", method);
    nsp_writer_raw(&writer, "params", params ? params : "{}", params ? strlen(params) : 2);
    if (deadline > 0)
        nsp_writer_u64(&writer, "deadline_ms", deadline);
    nsp_writer_close(&writer, '}');
    return nsp_writer_take(&writer, ret_text, err);
}

static int call_create(struct nsp_client *client, const struct nsp_call_handler *handler, void *arg,
                       struct nsp_call **ret_call, struct nsp_error *err)
{
    struct nsp_call *call = calloc(1, sizeof *call);
    if (!call)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a call");
    call->state = QUEUED;
    call->client = client;
    call->handler = handler;
    call->arg = arg;
    nsp_buf_init(&call->response, NSP_LIMIT_JSON_MESSAGE);
    nsp_buf_init(&call->notify, NSP_LIMIT_JSON_MESSAGE);
    *ret_call = call;
    return 0;
}

static void call_destroy(struct nsp_call *call)
{
    nsp_buf_done(&call->response);
    nsp_buf_done(&call->notify);
    free(call->method);
    free(call->params);
    free(call->result);
    free(call);
}

int nsp_call_open(struct nsp_client *client, const struct nsp_call_handler *handler, void *arg,
                  struct nsp_call **ret_call, struct nsp_error *err)
{
    struct nsp_call *call = NULL;
    if (call_create(client, handler, arg, &call, err) < 0)
        return -1;
    if (nsp_client_add_call(client, call, err) < 0) {
        call_destroy(call);
        return -1;
    }
    *ret_call = call;
    return 0;
}

int nsp_call_new(struct nsp_client *client, const char *method, const char *params,
                 uint64_t deadline, unsigned flags, struct nsp_call **ret_call,
                 struct nsp_error *err)
{
    struct nsp_call *call = NULL;
    if (call_create(client, NULL, NULL, &call, err) < 0)
        return -1;
    call->flags = flags;
    call->deadline = deadline;
    call->method = strdup(method);
    call->params = strdup(params ? params : "{}");
    if (!call->method || !call->params) {
        call_destroy(call);
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a call of %s", method);
    }
    if (nsp_client_add_call(client, call, err) < 0) {
        call_destroy(call);
        return -1;
    }
    *ret_call = call;
    return 0;
}

static void leave_stream(struct nsp_call *call)
{
    if (call->state == SENT)
        nsp_client_close_stream(call->client, call->stream);
    call->stream = 0;
    call->data_ready = false;
    nsp_buf_done(&call->response);
    nsp_buf_done(&call->notify);
}

void nsp_call_free(struct nsp_call *call)
{
    if (!call)
        return;
    struct nsp_frame cancel = {.type = NSP_FRAME_CANCEL};
    nsp_call_send_frame(call, &cancel, NULL);
    if (call->state != DONE) {
        leave_stream(call);
        nsp_client_remove_call(call->client, call);
    }
    call_destroy(call);
}

/* The one way into DONE. */
static void finish(struct nsp_call *call, const struct nsp_json *result,
                   const struct nsp_error *error)
{
    if (call->state == DONE)
        return;
    leave_stream(call);
    call->state = DONE;
    nsp_client_remove_call(call->client, call);
    if (call->handler) {
        call->handler->done(call->arg, result, error);
        return;
    }
    if (!result) {
        call->error = *error;
        return;
    }
    call->result = nsp_json_print(result, false);
    if (!call->result)
        nsp_fail(&call->error, NSP_E_EXHAUSTED, "no memory for the result of %s", call->method);
}

bool nsp_call_queued(const struct nsp_call *call)
{
    return call->state == QUEUED;
}

void nsp_call_data_ready(struct nsp_call *call)
{
    if (call->state != SENT)
        return;
    call->data_ready = true;
    nsp_client_data_ready(call->client);
}

bool nsp_call_send_frame(struct nsp_call *call, struct nsp_frame *frame, const void *payload)
{
    if (call->state != SENT)
        return false;
    frame->stream = call->stream;
    nsp_client_send_frame(call->client, frame, payload);
    return true;
}

/* ---- driven by the client ----------------------------------------------------------------- */

uint64_t nsp_call_due(struct nsp_call *call, uint64_t now)
{
    if (call->deadline == 0)
        return UINT64_MAX;
    if (call->deadline_at == 0)
        call->deadline_at = now + call->deadline;
    return call->deadline_at;
}

static int make_request(struct nsp_call *call, uint64_t now, char **ret_text, struct nsp_error *err)
{
    const char *method = call->method;
    AUTO_FREE char *made = NULL;
    if (call->handler) {
        int result = call->handler->request(call->arg, &method, &made, err);
        if (result <= 0)
            return result;
    }
    uint64_t left = 0;
    if (call->deadline > 0) {
        uint64_t due = nsp_call_due(call, now);
        left = due > now ? due - now : 1;
    }
    const char *params = call->handler ? made : call->params;
    return nsp_call_request_text(method, params, left, ret_text, err) < 0 ? -1 : 1;
}

int nsp_call_send(struct nsp_call *call, uint32_t stream, uint64_t now)
{
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *text = NULL;
    int result = make_request(call, now, &text, &error);
    if (result > 0)
        result = nsp_client_open_stream(call->client, stream, call, text, &error);
    if (result < 0) {
        finish(call, NULL, &error);
        return -1;
    }
    if (result == 0)
        return 0;
    call->stream = stream;
    call->state = SENT;
    return 1;
}

static int on_message(struct nsp_call *call, const struct nsp_frame *frame, const char *text,
                      size_t length, struct nsp_error *err)
{
    struct nsp_json *json = NULL;
    if (nsp_json_parse(text, length, &json, err) < 0)
        return nsp_fail(err, NSP_E_PROTOCOL, "the agent's %s is not acceptable JSON",
                        nsp_frame_type_name(frame->type));
    int result = 0;
    if (frame->type == NSP_FRAME_RESPONSE) {
        struct nsp_error error = NSP_ERROR_INIT;
        const struct nsp_json *value = nsp_json_get(json, "result");
        if (!nsp_json_is_object(value)) {
            value = NULL;
            nsp_json_error(nsp_json_get(json, "error"), &error);
        }
        finish(call, value, &error);
    } else if (call->handler) {
        result = call->handler->notify(call->arg, nsp_json_text(json, "method", ""),
                                       nsp_json_get(json, "params"), err);
    }
    nsp_json_free(json);
    return result;
}

/* A plain call cannot take bytes, and without credit its stream would only stand still. */
static void refuse_channel(struct nsp_call *call)
{
    struct nsp_error error = NSP_ERROR_INIT;
    struct nsp_frame cancel = {.type = NSP_FRAME_CANCEL};
    nsp_fail_on(&error, NSP_E_UNSUPPORTED, call->method,
                "%s streams bytes, which a plain call cannot take", call->method);
    nsp_call_send_frame(call, &cancel, NULL);
    finish(call, NULL, &error);
}

int nsp_call_frame(struct nsp_call *call, const struct nsp_frame *frame, const uint8_t *payload,
                   struct nsp_error *err)
{
    bool response = frame->type == NSP_FRAME_RESPONSE;
    if (!response && frame->type != NSP_FRAME_NOTIFY) {
        if (call->handler)
            return call->handler->channel(call->arg, frame, payload, err);
        refuse_channel(call);
        return 0;
    }
    const char *text = NULL;
    size_t length = 0;
    struct nsp_buf *parts = response ? &call->response : &call->notify;
    int whole = nsp_call_assemble(parts, frame, payload, &text, &length, err);
    if (whole <= 0)
        return whole;
    /* The end of the call frees its parts, so the message leaves them first. */
    struct nsp_buf message = *parts;
    nsp_buf_init(parts, message.ceiling);
    int result = on_message(call, frame, text, length, err);
    nsp_buf_done(&message);
    return result;
}

bool nsp_call_pull(struct nsp_call *call, size_t max, struct nsp_frame *ret_frame,
                   const uint8_t **ret_payload)
{
    if (!call->data_ready || call->state != SENT || !call->handler)
        return false;
    if (!call->handler->pull(call->arg, max, ret_frame, ret_payload)) {
        call->data_ready = false;
        return false;
    }
    ret_frame->stream = call->stream;
    return true;
}

void nsp_call_lost(struct nsp_call *call, const struct nsp_error *error)
{
    if (call->state != SENT)
        return;
    if (!call->handler && !(call->flags & NSP_CALL_REPEAT)) {
        finish(call, NULL, error);
        return;
    }
    leave_stream(call);
    call->state = QUEUED;
    if (call->handler)
        call->handler->lost(call->arg);
}

void nsp_call_fail(struct nsp_call *call, const struct nsp_error *error)
{
    finish(call, NULL, error);
}

/* ---- the user's side ---------------------------------------------------------------------- */

bool nsp_call_done(const struct nsp_call *call)
{
    return call->state == DONE;
}

int nsp_call_result(const struct nsp_call *call, const char **ret_json, struct nsp_error *err)
{
    if (call->state != DONE)
        return nsp_fail(err, NSP_E_STATE, "%s is still in progress", call->method);
    if (call->error.code != NSP_E_NONE) {
        if (err)
            *err = call->error;
        return -1;
    }
    *ret_json = call->result;
    return 0;
}

int nsp_call_wait(struct nsp_call *call, const char **ret_json, struct nsp_error *err)
{
    /* A client that has failed has ended the call, and its error says more. */
    while (call->state != DONE)
        if (nsp_client_step(call->client, -1, err) < 0 && call->state != DONE)
            return -1;
    return nsp_call_result(call, ret_json, err);
}

int nsp_call_run(struct nsp_client *client, const char *method, const char *params, unsigned flags,
                 char **ret_json, struct nsp_error *err)
{
    struct nsp_call *call = NULL;
    const char *json = NULL;
    if (nsp_call_new(client, method, params, 0, flags, &call, err) < 0)
        return -1;
    int result = nsp_call_wait(call, &json, err);
    if (result == 0)
        *ret_json = STEAL(call->result);
    nsp_call_free(call);
    return result;
}
