#include "protocol/error_json.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocol/json_text.h"

/* Strings have fixed capacities and grow at most six-fold, the frame around them is short. */
_Static_assert(sizeof(struct nsp_error) * NSP_JSON_TEXT_GROWTH + 512 <= NSP_ERROR_JSON_SIZE,
               "the largest error fits");

struct writer {
    char *target;
    size_t length, capacity; /* capacity without the NUL */
    bool full;
};

static void put(struct writer *writer, const char *text, size_t length)
{
    if (writer->full || length > writer->capacity - writer->length) {
        writer->full = true;
        return;
    }
    memcpy(writer->target + writer->length, text, length);
    writer->length += length;
}

static void put_literal(struct writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

static void put_string(struct writer *writer, const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    size_t length = nsp_json_text_length(text, n);
    if (writer->full || length > writer->capacity - writer->length) {
        writer->full = true;
        return;
    }
    writer->length += nsp_json_text_write(writer->target + writer->length, text, n);
}

static void put_member(struct writer *writer, const char *name, const char *text, size_t size)
{
    if (text[0] == '\0')
        return;
    put_literal(writer, ",\"");
    put_literal(writer, name);
    put_literal(writer, "\":");
    put_string(writer, text, size);
}

size_t nsp_error_json(const struct nsp_error *err, char *target, size_t capacity)
{
    if (capacity == 0)
        return 0;
    struct writer writer = {.target = target, .capacity = capacity - 1};
    char head[48];
    snprintf(head, sizeof head, "{\"code\":%d,\"message\":", nsp_error_rpc_code(err->code));
    put_literal(&writer, head);
    if (err->msg[0])
        put_string(&writer, err->msg, sizeof err->msg);
    else
        put_string(&writer, nsp_error_text(err->code), SIZE_MAX);
    put_literal(&writer, ",\"data\":{\"name\":\"");
    put_literal(&writer, nsp_error_name(err->code));
    put_literal(&writer, "\"");
    put_member(&writer, "errno", nsp_errno_name(err->sys_errno), SIZE_MAX);
    put_member(&writer, "op", err->op, sizeof err->op);
    put_member(&writer, "object", err->object, sizeof err->object);
    put_literal(&writer, ",\"retryable\":");
    put_literal(&writer, nsp_error_retryable(err->code) ? "true}}" : "false}}");
    if (writer.full)
        writer.length = 0;
    target[writer.length] = '\0';
    return writer.length;
}
