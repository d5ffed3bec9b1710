/* Decoding in two steps: a walk over the object finds how much memory its decoded form can need at
 * most, so that one block is enough; then each member is looked up in the table and decoded into
 * the struct at the block's start, and what the struct points to is laid out behind it.
 */
#include "agent/rpc/params.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rpc/json.h"
#include "agent/rpc/param_list.h"
#include "agent/rpc/param_value.h"
#include "protocol/cleanup.h"
#include "protocol/json_text.h"
#include "protocol/limits.h"

enum {
    NODE_ROOM = 48,  /* the most that one JSON value becomes beside its characters */
    RLIMITS_MAX = 16 /* RLIM_NLIMITS */
};

struct params {
    size_t size; /* of the decoded struct */
    _Alignas(max_align_t) char bytes[];
};

static const struct {
    param_decode decode;
    int64_t ceiling;
} types[] = {
    [PARAM_BOOL] = {param_value_bool, 1},
    [PARAM_INT] = {param_value_int, INT64_MAX},
    [PARAM_STRING] = {param_value_string, NSP_LIMIT_JSON_MESSAGE},
    [PARAM_BYTES] = {param_value_bytes, NSP_LIMIT_JSON_MESSAGE},
    [PARAM_PATH] = {param_value_path, NSP_LIMIT_PATH},
    [PARAM_ENUM] = {param_value_enum, INT32_MAX},
    [PARAM_ARGUMENTS] = {param_list_arguments, NSP_LIMIT_ARGUMENTS},
    [PARAM_VARIABLES] = {param_list_variables, NSP_LIMIT_ENVIRONMENT},
    [PARAM_LIMITS] = {param_list_limits, RLIMITS_MAX},
    [PARAM_SIGNAL] = {param_value_signal, NSIG - 1},
    [PARAM_LABEL] = {param_value_label, NSP_LIMIT_REQUEST_ID},
};
_Static_assert(sizeof types / sizeof *types == PARAM_TYPE_COUNT, "one row a type");

void params_bounds(const struct param_field *field, int64_t *ret_min, int64_t *ret_max)
{
    *ret_min = field->min;
    *ret_max = field->max != 0 ? field->max : types[field->type].ceiling;
}

bool params_label(const struct json_document *document, const struct json *value, char *target,
                  size_t capacity, size_t *ret_length)
{
    if (json_type(value) == JSON_STRING) {
        const char *text = json_string(value);
        size_t length = strlen(text);
        if (nsp_json_text_length(text, length) > capacity)
            return false;
        *ret_length = nsp_json_text_write(target, text, length);
        return true;
    }
    if (json_type(value) != JSON_NUMBER)
        return false;
    const char *text;
    size_t length;
    json_raw(document, value, &text, &length);
    if (length > capacity)
        return false;
    memcpy(target, text, length);
    *ret_length = length;
    return true;
}

static size_t room_for(const struct json *value)
{
    size_t room = NODE_ROOM;
    const char *name = json_name(value);
    if (name)
        room += strlen(name) + 1;
    enum json_type type = json_type(value);
    if (type == JSON_STRING)
        return room + strlen(json_string(value)) + 1;
    if (type == JSON_ARRAY || type == JSON_OBJECT)
        for (const struct json *at = json_first(value); at; at = json_next(at))
            room += room_for(at);
    return room;
}

static void set_fallback(const struct param_field *field, char *base)
{
    void *target = base + field->offset;
    if (field->type == PARAM_INT)
        *(int64_t *)target = field->fallback;
    else if (field->type == PARAM_ENUM || field->type == PARAM_SIGNAL)
        *(int *)target = (int)field->fallback;
    else if (field->type == PARAM_BOOL)
        *(bool *)target = field->fallback != 0;
}

static size_t find_field(const struct param_field *fields, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(fields[i].name, name) != 0)
        i++;
    return i;
}

/* Decodes the members; *ret_seen has a bit for each field that was there. */
static int decode_members(struct param_decoder *decoder, const struct param_field *fields,
                          size_t count, const struct json *object, char *base, uint64_t *ret_seen)
{
    uint64_t seen = 0;
    for (const struct json *at = json_first(object); at; at = json_next(at)) {
        size_t i = find_field(fields, count, json_name(at));
        if (i == count)
            return nsp_fail_on(decoder->err, NSP_E_INVALID_PARAMS, json_name(at),
                               "unknown parameter %.100s", json_name(at));
        decoder->field = &fields[i];
        if (types[fields[i].type].decode(decoder, at, base + fields[i].offset) < 0)
            return -1;
        seen |= UINT64_C(1) << i;
    }
    *ret_seen = seen;
    return 0;
}

static int complete(const struct param_field *fields, size_t count, uint64_t seen, char *base,
                    struct nsp_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (seen & UINT64_C(1) << i)
            continue;
        if (fields[i].flags & PARAM_REQUIRED)
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, fields[i].name, "parameter %s is missing",
                               fields[i].name);
        set_fallback(&fields[i], base);
    }
    return 0;
}

int params_decode(const struct param_field *fields, size_t field_count, size_t params_size,
                  const struct json_document *document, const struct json *object,
                  struct params **ret_params, struct nsp_error *err)
{
    size_t room = object ? room_for(object) : 0;
    for (size_t i = 0; i < field_count; i++)
        if (fields[i].type == PARAM_LABEL)
            room += NSP_LIMIT_REQUEST_ID + 1;
    AUTO_FREE struct params *params = malloc(sizeof *params + params_size + room);
    if (!params)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the parameters");
    params->size = params_size;
    memset(params->bytes, 0, params_size);
    uint64_t seen = 0;
    if (object) {
        struct param_decoder decoder = {.document = document,
                                        .room = params->bytes + params_size,
                                        .room_end = params->bytes + params_size + room,
                                        .err = err};
        if (decode_members(&decoder, fields, field_count, object, params->bytes, &seen) < 0)
            return -1;
    }
    if (complete(fields, field_count, seen, params->bytes, err) < 0)
        return -1;
    *ret_params = STEAL(params);
    return 0;
}

void params_free(struct params *params)
{
    free(params);
}

const void *params_struct(const struct params *params)
{
    return params->bytes;
}
