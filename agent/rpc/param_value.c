#include "agent/rpc/param_value.h"

#include <stdio.h>
#include <string.h>

#include "agent/os/signame.h"
#include "protocol/base64.h"
#include "protocol/limits.h"

static size_t extend_path(struct param_decoder *decoder, int added)
{
    size_t outer = decoder->path_length, longest = sizeof decoder->path - 1;
    size_t length = outer + (size_t)added;
    decoder->path_length = length < longest ? length : longest;
    return outer;
}

size_t param_value_enter_member(struct param_decoder *decoder, const char *name)
{
    size_t used = decoder->path_length;
    return extend_path(decoder, snprintf(decoder->path + used, sizeof decoder->path - used, "%s%s",
                                         used > 0 ? "." : "", name));
}

size_t param_value_enter_element(struct param_decoder *decoder, size_t index)
{
    size_t used = decoder->path_length;
    return extend_path(decoder,
                       snprintf(decoder->path + used, sizeof decoder->path - used, "[%zu]", index));
}

void param_value_leave(struct param_decoder *decoder, size_t outer_length)
{
    decoder->path_length = outer_length;
    decoder->path[outer_length] = '\0';
}

void *param_value_room(struct param_decoder *decoder, size_t size, size_t alignment)
{
    size_t padding = -(uintptr_t)decoder->room & (alignment - 1);
    if ((size_t)(decoder->room_end - decoder->room) < padding + size) {
        nsp_fail_on(decoder->err, NSP_E_INTERNAL, decoder->path,
                    "parameters need more memory than they were measured to");
        return NULL;
    }
    char *taken = decoder->room + padding;
    decoder->room = taken + size;
    return taken;
}

int param_value_refuse_type(struct param_decoder *decoder, const struct json *value,
                            const char *expected)
{
    return nsp_fail_on(decoder->err, NSP_E_INVALID_PARAMS, decoder->path, "%s must be %s, not %s",
                       decoder->path, expected, json_type_name(json_type(value)));
}

int param_value_refuse(struct param_decoder *decoder, const char *reason)
{
    return nsp_fail_on(decoder->err, NSP_E_INVALID_PARAMS, decoder->path, "%s %s", decoder->path,
                       reason);
}

int param_value_check_range(struct param_decoder *decoder, int64_t number, const char *what)
{
    int64_t min, max;
    params_bounds(decoder->field, &min, &max);
    if (number >= min && number <= max)
        return 0;
    return nsp_fail_on(decoder->err, NSP_E_INVALID_PARAMS, decoder->path,
                       "%s has %lld %s, but must have %lld to %lld", decoder->path,
                       (long long)number, what, (long long)min, (long long)max);
}

int param_value_bool(struct param_decoder *decoder, const struct json *value, void *target)
{
    if (json_type(value) != JSON_BOOL)
        return param_value_refuse_type(decoder, value, "a boolean");
    *(bool *)target = json_bool(value);
    return 0;
}

int param_value_int(struct param_decoder *decoder, const struct json *value, void *target)
{
    int64_t number, min, max;
    if (!json_int(value, &number)) {
        if (json_type(value) == JSON_NUMBER || json_type(value) == JSON_STRING)
            return param_value_refuse(decoder, "must be an integer");
        return param_value_refuse_type(decoder, value, "an integer");
    }
    params_bounds(decoder->field, &min, &max);
    if (number < min || number > max)
        return nsp_fail_on(decoder->err, NSP_E_INVALID_PARAMS, decoder->path,
                           "%s is %lld, but must be %lld to %lld", decoder->path, (long long)number,
                           (long long)min, (long long)max);
    *(int64_t *)target = number;
    return 0;
}

int param_value_enum(struct param_decoder *decoder, const struct json *value, void *target)
{
    if (json_type(value) != JSON_STRING)
        return param_value_refuse_type(decoder, value, "a string");
    const char *const *choices = decoder->field->choices;
    for (int i = 0; choices[i]; i++) {
        if (strcmp(choices[i], json_string(value)) == 0) {
            *(int *)target = i;
            return 0;
        }
    }
    char list[128] = "must be one of";
    for (int i = 0; choices[i]; i++) {
        size_t used = strlen(list);
        if (used + strlen(choices[i]) + 2 < sizeof list) {
            list[used] = ' ';
            memcpy(list + used + 1, choices[i], strlen(choices[i]) + 1);
        }
    }
    return param_value_refuse(decoder, list);
}

int param_value_signal(struct param_decoder *decoder, const struct json *value, void *target)
{
    int64_t number = -1;
    if (json_type(value) == JSON_STRING)
        number = signame_number(json_string(value));
    else if (json_type(value) != JSON_NUMBER)
        return param_value_refuse_type(decoder, value, "a signal's name or number");
    else if (!json_int(value, &number))
        number = -1;
    int64_t min, max;
    params_bounds(decoder->field, &min, &max);
    if (number < min || number > max)
        return param_value_refuse(decoder, "is no signal that can be sent");
    *(int *)target = (int)number;
    return 0;
}

int param_value_label(struct param_decoder *decoder, const struct json *value, void *target)
{
    char *label = param_value_room(decoder, NSP_LIMIT_REQUEST_ID + 1, 1);
    size_t length;
    if (!label)
        return -1;
    if (!params_label(decoder->document, value, label, NSP_LIMIT_REQUEST_ID, &length))
        return param_value_refuse(decoder, "must be the id of a request");
    label[length] = '\0';
    *(const char **)target = label;
    return 0;
}

/* Strings and bytes */

int param_value_take_bytes(struct param_decoder *decoder, const struct json *value,
                           bool nul_accepted, struct param_bytes *ret_bytes)
{
    const struct json *encoded = NULL;
    if (json_type(value) == JSON_OBJECT) {
        encoded = json_first(value);
        if (!encoded || json_next(encoded) || strcmp(json_name(encoded), "b64") != 0 ||
            json_type(encoded) != JSON_STRING)
            return param_value_refuse(decoder, "is an object other than {\"b64\": string}");
    } else if (json_type(value) != JSON_STRING) {
        return param_value_refuse_type(decoder, value, "a string or {\"b64\"}");
    }
    const char *text = json_string(encoded ? encoded : value);
    size_t length = strlen(text);
    char *data = param_value_room(decoder, length + 1, 1);
    if (!data)
        return -1;
    if (!encoded)
        memcpy(data, text, length);
    else if (nsp_base64_decode(data, text, length, &length, NULL) < 0)
        return param_value_refuse(decoder, "is not base64 with padding");
    data[length] = '\0';
    if (!nul_accepted && memchr(data, 0, length))
        return param_value_refuse(decoder, "must not contain NUL");
    *ret_bytes = (struct param_bytes){.data = data, .length = length};
    return 0;
}

int param_value_string(struct param_decoder *decoder, const struct json *value, void *target)
{
    struct param_bytes bytes;
    if (json_type(value) != JSON_STRING)
        return param_value_refuse_type(decoder, value, "a string");
    if (param_value_take_bytes(decoder, value, false, &bytes) < 0 ||
        param_value_check_range(decoder, (int64_t)bytes.length, "bytes") < 0)
        return -1;
    *(const char **)target = bytes.data;
    return 0;
}

int param_value_bytes(struct param_decoder *decoder, const struct json *value, void *target)
{
    struct param_bytes bytes;
    if (param_value_take_bytes(decoder, value, true, &bytes) < 0 ||
        param_value_check_range(decoder, (int64_t)bytes.length, "bytes") < 0)
        return -1;
    *(struct param_bytes *)target = bytes;
    return 0;
}

int param_value_path(struct param_decoder *decoder, const struct json *value, void *target)
{
    struct param_bytes bytes;
    if (param_value_take_bytes(decoder, value, false, &bytes) < 0 ||
        param_value_check_range(decoder, (int64_t)bytes.length, "bytes") < 0)
        return -1;
    *(const char **)target = bytes.data;
    return 0;
}
