/* Decoding in two steps: a walk over the object and its table finds how much memory its decoded
 * form can need at most, so that one block is enough; then each member is looked up in the table
 * and decoded into the struct at the block's start, and what the struct points to - other structs
 * too - is laid out behind it.
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
    NODE_ROOM = 48,   /* the most that one JSON value becomes beside its characters */
    RLIMITS_MAX = 16, /* RLIM_NLIMITS */
    OBJECTS_MAX = 1024,
};

struct params {
    size_t size; /* of the decoded struct */
    _Alignas(max_align_t) char bytes[];
};

static int decode_nested(struct param_decoder *decoder, const struct json *value, void *target);
static int decode_list(struct param_decoder *decoder, const struct json *value, void *target);

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
    [PARAM_OBJECT] = {decode_nested, 1},
    [PARAM_OBJECTS] = {decode_list, OBJECTS_MAX},
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

static const struct param_field *find_field(const struct param_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->fields[i].name, name) == 0)
            return &table->fields[i];
    return NULL;
}

/* Measuring */

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

static size_t room_for_members(const struct param_table *table, const struct json *object);

static size_t room_for_struct(const struct param_table *table, const struct json *value)
{
    size_t room = NODE_ROOM + table->size;
    return json_type(value) == JSON_OBJECT ? room + room_for_members(table, value) : room;
}

/* A list that will be refused as a whole needs none. */
static size_t room_for_field(const struct param_field *field, const struct json *value)
{
    if (field->type == PARAM_LABEL)
        return NSP_LIMIT_REQUEST_ID + 1;
    if (field->type == PARAM_OBJECT)
        return room_for_struct(field->table, value);
    if (field->type != PARAM_OBJECTS)
        return room_for(value);
    int64_t min, max;
    params_bounds(field, &min, &max);
    if (json_type(value) != JSON_ARRAY || json_count(value) > (size_t)max)
        return 0;
    size_t room = NODE_ROOM;
    for (const struct json *at = json_first(value); at; at = json_next(at))
        room += room_for_struct(field->table, at);
    return room;
}

static size_t room_for_members(const struct param_table *table, const struct json *object)
{
    size_t room = 0;
    for (const struct json *at = json_first(object); at; at = json_next(at)) {
        const struct param_field *field = find_field(table, json_name(at));
        if (field)
            room += room_for_field(field, at);
    }
    return room;
}

/* Decoding */

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

/* seen has a bit for each field that was there. */
static int complete(struct param_decoder *decoder, const struct param_table *table, uint64_t seen,
                    char *base)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct param_field *field = &table->fields[i];
        if (seen & UINT64_C(1) << i)
            continue;
        if (field->flags & PARAM_REQUIRED) {
            param_value_enter_member(decoder, field->name);
            return nsp_fail_on(decoder->err, NSP_E_INVALID_PARAMS, decoder->path,
                               "parameter %s is missing", decoder->path);
        }
        set_fallback(field, base);
    }
    return 0;
}

/* object NULL: one without members. */
static int decode_struct(struct param_decoder *decoder, const struct param_table *table,
                         const struct json *object, char *base)
{
    uint64_t seen = 0;
    memset(base, 0, table->size);
    for (const struct json *at = object ? json_first(object) : NULL; at; at = json_next(at)) {
        size_t outer = param_value_enter_member(decoder, json_name(at));
        const struct param_field *field = find_field(table, json_name(at));
        if (!field)
            return nsp_fail_on(decoder->err, NSP_E_INVALID_PARAMS, decoder->path,
                               "unknown parameter %.100s", decoder->path);
        decoder->field = field;
        if (types[field->type].decode(decoder, at, base + field->offset) < 0)
            return -1;
        param_value_leave(decoder, outer);
        seen |= UINT64_C(1) << (field - table->fields);
    }
    return complete(decoder, table, seen, base);
}

static int decode_nested(struct param_decoder *decoder, const struct json *value, void *target)
{
    const struct param_table *table = decoder->field->table;
    if (json_type(value) != JSON_OBJECT)
        return param_value_refuse_type(decoder, value, "an object");
    void *base = param_value_room(decoder, table->size, _Alignof(max_align_t));
    if (!base || decode_struct(decoder, table, value, base) < 0)
        return -1;
    memcpy(target, &base, sizeof base);
    return 0;
}

static int decode_list(struct param_decoder *decoder, const struct json *value, void *target)
{
    const struct param_table *table = decoder->field->table;
    if (json_type(value) != JSON_ARRAY)
        return param_value_refuse_type(decoder, value, "an array");
    size_t count = json_count(value), index = 0;
    if (param_value_check_range(decoder, (int64_t)count, "elements") < 0)
        return -1;
    char *items = param_value_room(decoder, count * table->size, _Alignof(max_align_t));
    if (!items)
        return -1;
    for (const struct json *at = json_first(value); at; at = json_next(at), index++) {
        size_t outer = param_value_enter_element(decoder, index);
        if (json_type(at) != JSON_OBJECT)
            return param_value_refuse_type(decoder, at, "an object");
        if (decode_struct(decoder, table, at, items + index * table->size) < 0)
            return -1;
        param_value_leave(decoder, outer);
    }
    *(struct param_objects *)target = (struct param_objects){.items = items, .count = count};
    return 0;
}

int params_decode(const struct param_field *fields, size_t field_count, size_t params_size,
                  const struct json_document *document, const struct json *object,
                  struct params **ret_params, struct nsp_error *err)
{
    struct param_table table = {.fields = fields, .count = field_count, .size = params_size};
    size_t room = object ? room_for_members(&table, object) : 0;
    AUTO_FREE struct params *params = malloc(sizeof *params + params_size + room);
    if (!params)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the parameters");
    params->size = params_size;
    struct param_decoder decoder = {.document = document,
                                    .room = params->bytes + params_size,
                                    .room_end = params->bytes + params_size + room,
                                    .err = err};
    if (decode_struct(&decoder, &table, object, params->bytes) < 0)
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
