/* A request goes through in one pass: text -> check and parse -> envelope -> gates -> parameters ->
 * call. Until the call exists an error is answered here; from then on the call answers, once. The
 * parsed text and the parameters live until the handler returns.
 */
#include "agent/rpc/dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/rpc/json.h"
#include "protocol/cleanup.h"
#include "protocol/error_json.h"
#include "protocol/limits.h"

/* About 34 years: as nanoseconds it still fits 64 bits. */
#define DEADLINE_MAX_MS (INT64_C(1) << 40)

struct entry {
    const struct method *method;
    void *service;
};

struct dispatch {
    struct entry *entries; /* sorted by name */
    size_t count;
    enum dispatch_gate gate;
};

struct request {
    const char *method;
    const struct json *params; /* an object; NULL when there are none */
    int64_t deadline_ms;       /* 0: none */
};

/* The methods */

int dispatch_new(struct dispatch **ret_dispatch, struct nsp_error *err)
{
    struct dispatch *dispatch = calloc(1, sizeof *dispatch);
    if (!dispatch)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the dispatcher");
    *ret_dispatch = dispatch;
    return 0;
}

void dispatch_free(struct dispatch *dispatch)
{
    if (!dispatch)
        return;
    free(dispatch->entries);
    free(dispatch);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return strcmp(left->method->name, right->method->name);
}

static const struct entry *find(const struct dispatch *dispatch, const char *name)
{
    struct method wanted = {.name = name};
    struct entry key = {.method = &wanted};
    if (dispatch->count == 0)
        return NULL;
    return bsearch(&key, dispatch->entries, dispatch->count, sizeof key, compare_entries);
}

/* The tables of inner objects as well. */
static bool is_small_enough(const struct param_field *fields, size_t count)
{
    if (count > PARAM_FIELDS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct param_table *table = fields[i].table;
        if (table && !is_small_enough(table->fields, table->count))
            return false;
    }
    return true;
}

int dispatch_add(struct dispatch *dispatch, const struct method *methods, size_t count,
                 void *service, struct nsp_error *err)
{
    size_t total = dispatch->count + count;
    AUTO_FREE struct entry *entries = calloc(total, sizeof *entries);
    if (!entries)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for %zu methods", total);
    for (size_t i = 0; i < dispatch->count; i++)
        entries[i] = dispatch->entries[i];
    for (size_t i = 0; i < count; i++) {
        if (!is_small_enough(methods[i].fields, methods[i].field_count))
            return nsp_fail_on(err, NSP_E_INTERNAL, methods[i].name, "%s has too many fields",
                               methods[i].name);
        entries[dispatch->count + i] = (struct entry){.method = &methods[i], .service = service};
    }
    qsort(entries, total, sizeof *entries, compare_entries);
    for (size_t i = 1; i < total; i++)
        if (compare_entries(&entries[i - 1], &entries[i]) == 0)
            return nsp_fail_on(err, NSP_E_ALREADY_EXISTS, entries[i].method->name,
                               "two methods are called %s", entries[i].method->name);
    free(dispatch->entries);
    dispatch->entries = STEAL(entries);
    dispatch->count = total;
    return 0;
}

void dispatch_set_gate(struct dispatch *dispatch, enum dispatch_gate gate)
{
    dispatch->gate = gate;
}

const struct method *dispatch_method(const struct dispatch *dispatch, size_t index)
{
    return index < dispatch->count ? dispatch->entries[index].method : NULL;
}

/* The envelope */

static int take_id(struct stream *stream, const struct json_document *document,
                   struct nsp_error *err)
{
    bool needed = stream_is_text(stream);
    const struct json *id = json_member(json_root(document), "id");
    char label[NSP_LIMIT_REQUEST_ID];
    size_t length;
    if (!id && !needed)
        return 0;
    if (!id)
        return nsp_fail_on(err, NSP_E_INVALID_REQUEST, "id", "id is missing");
    if (!params_label(document, id, label, sizeof label, &length))
        return nsp_fail_on(err, NSP_E_INVALID_REQUEST, "id",
                           "id must be a string or number of at most %zu bytes", sizeof label);
    return needed ? stream_set_label(stream, label, length, err) : 0;
}

static int take_member(struct request *request, const struct json *member, struct nsp_error *err)
{
    const char *name = json_name(member);
    bool is_string = json_type(member) == JSON_STRING;
    if (strcmp(name, "id") == 0)
        return 0;
    if (strcmp(name, "jsonrpc") == 0) {
        if (is_string && strcmp(json_string(member), "2.0") == 0)
            return 0;
        return nsp_fail_on(err, NSP_E_INVALID_REQUEST, name, "jsonrpc must be \"2.0\"");
    }
    if (strcmp(name, "method") == 0) {
        if (!is_string)
            return nsp_fail_on(err, NSP_E_INVALID_REQUEST, name, "method must be a string");
        request->method = json_string(member);
        return 0;
    }
    if (strcmp(name, "params") == 0) {
        if (json_type(member) != JSON_OBJECT)
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, name, "params must be an object");
        request->params = member;
        return 0;
    }
    if (strcmp(name, "deadline_ms") == 0) {
        if (json_int(member, &request->deadline_ms) && request->deadline_ms > 0 &&
            request->deadline_ms <= DEADLINE_MAX_MS)
            return 0;
        return nsp_fail_on(err, NSP_E_INVALID_REQUEST, name,
                           "deadline_ms must be an integer from 1 to %lld",
                           (long long)DEADLINE_MAX_MS);
    }
    return nsp_fail_on(err, NSP_E_INVALID_REQUEST, name, "unknown member %.100s", name);
}

static int read_request(struct stream *stream, const struct json_document *document,
                        struct request *request, struct nsp_error *err)
{
    /* First, so that every error after it carries the id. */
    if (take_id(stream, document, err) < 0)
        return -1;
    for (const struct json *at = json_first(json_root(document)); at; at = json_next(at))
        if (take_member(request, at, err) < 0)
            return -1;
    if (!request->method)
        return nsp_fail_on(err, NSP_E_INVALID_REQUEST, "method", "method is missing");
    return 0;
}

/* The gates */

static bool awaits_hello(const struct stream *stream)
{
    return !stream_greeted(stream) && (!stream_is_text(stream) || stream_needs_token(stream));
}

static int check_gates(const struct dispatch *dispatch, const struct stream *stream,
                       const struct entry *entry, const char *name, struct nsp_error *err)
{
    unsigned flags = entry ? entry->method->flags : 0;
    if (!(flags & METHOD_BEFORE_HELLO) && awaits_hello(stream))
        return nsp_fail_on(err, NSP_E_HELLO_REQUIRED, name, "hello must come before %.100s", name);
    if (!entry)
        return nsp_fail_on(err, NSP_E_METHOD_NOT_FOUND, name, "there is no method %.100s", name);
    if ((flags & METHOD_TEXT_ONLY) && !stream_is_text(stream))
        return nsp_fail_on(err, NSP_E_UNSUPPORTED, name, "%s is for text mode", name);
    if (!(flags & METHOD_CHANGES) || dispatch->gate == DISPATCH_OPEN)
        return 0;
    enum nsp_error_code code =
        dispatch->gate == DISPATCH_FENCED ? NSP_E_FENCED : NSP_E_SHUTTING_DOWN;
    return nsp_fail_on(err, code, name, "%s", nsp_error_text(code));
}

/* Everything up to the handler; once this has succeeded the call answers. */
static int start(const struct dispatch *dispatch, struct stream *stream,
                 const struct json_document *document, struct nsp_error *err)
{
    struct request request = {.method = NULL};
    if (read_request(stream, document, &request, err) < 0)
        return -1;
    const struct entry *entry = find(dispatch, request.method);
    if (check_gates(dispatch, stream, entry, request.method, err) < 0)
        return -1;
    const struct method *method = entry->method;
    struct params *params;
    if (params_decode(method->fields, method->field_count, method->params_size, document,
                      request.params, &params, err) < 0)
        return -1;
    struct call *call;
    if ((request.deadline_ms > 0 &&
         stream_set_deadline(stream, (uint64_t)request.deadline_ms, err) < 0) ||
        call_new(stream, method->name, &call, err) < 0) {
        params_free(params);
        return -1;
    }
    call_run(call, method->handler, entry->service, params_struct(params));
    params_free(params);
    return 0;
}

void dispatch_request(void *dispatch, struct stream *stream, const char *text, size_t length)
{
    struct json_document *document;
    struct nsp_error err = NSP_ERROR_INIT;
    int result = json_parse(text, length, &document, &err);
    if (result == 0) {
        result = start(dispatch, stream, document, &err);
        json_free(document);
    }
    if (result < 0 && err.sys_errno == ENOMEM) {
        stream_refuse(stream, &err);
    } else if (result < 0) {
        char answer[NSP_ERROR_JSON_SIZE];
        log_debug("request refused", "conn=%llu error=%s",
                  (unsigned long long)stream_connection_id(stream), nsp_error_name(err.code));
        stream_respond(stream, answer, nsp_error_json(&err, answer, sizeof answer), true);
    }
}
