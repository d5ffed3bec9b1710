#include "agent/rpc/param_list.h"

#include <string.h>

/* Checks the type and count, and makes room for count + 1 elements. NULL on error. */
static void *take_list(struct param_decoder *decoder, const struct json *value, enum json_type type,
                       size_t element, size_t *ret_count)
{
    if (json_type(value) != type) {
        param_value_refuse_type(decoder, value, json_type_name(type));
        return NULL;
    }
    size_t count = json_count(value);
    if (param_value_check_range(decoder, (int64_t)count, "elements") < 0)
        return NULL;
    *ret_count = count;
    return param_value_room(decoder, (count + 1) * element, sizeof(void *));
}

int param_list_arguments(struct param_decoder *decoder, const struct json *value, void *target)
{
    size_t count;
    char **items = take_list(decoder, value, JSON_ARRAY, sizeof *items, &count);
    if (!items)
        return -1;
    size_t index = 0;
    for (const struct json *at = json_first(value); at; at = json_next(at)) {
        struct param_bytes bytes;
        size_t outer = param_value_enter_element(decoder, index);
        if (param_value_take_bytes(decoder, at, false, &bytes) < 0)
            return -1;
        param_value_leave(decoder, outer);
        items[index++] = (char *)bytes.data;
    }
    items[index] = NULL;
    *(struct param_strings *)target = (struct param_strings){.items = items, .count = count};
    return 0;
}

/* "name=value" */
static char *take_variable(struct param_decoder *decoder, const struct json *member)
{
    const char *name = json_name(member);
    size_t length = strlen(name);
    if (length == 0 || strchr(name, '=')) {
        param_value_refuse(decoder, "has a name that is empty or contains =");
        return NULL;
    }
    char *variable = param_value_room(decoder, length + 1, 1);
    if (!variable)
        return NULL;
    memcpy(variable, name, length);
    variable[length] = '=';
    /* The value's room begins right behind. */
    struct param_bytes bytes;
    size_t outer = param_value_enter_member(decoder, name);
    if (param_value_take_bytes(decoder, member, false, &bytes) < 0)
        return NULL;
    param_value_leave(decoder, outer);
    return variable;
}

int param_list_variables(struct param_decoder *decoder, const struct json *value, void *target)
{
    size_t count;
    char **items = take_list(decoder, value, JSON_OBJECT, sizeof *items, &count);
    if (!items)
        return -1;
    char **item = items;
    for (const struct json *at = json_first(value); at; at = json_next(at)) {
        *item = take_variable(decoder, at);
        if (!*item++)
            return -1;
    }
    *item = NULL;
    *(struct param_strings *)target = (struct param_strings){.items = items, .count = count};
    return 0;
}

static bool limit_number(const struct json *value, uint64_t *ret_number)
{
    int64_t number;
    if (json_type(value) == JSON_STRING && strcmp(json_string(value), "unlimited") == 0) {
        *ret_number = UINT64_MAX;
        return true;
    }
    if (!json_int(value, &number) || number < 0)
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

static bool limit_pair(const struct json *value, struct param_limit *ret_limit)
{
    if (json_type(value) != JSON_OBJECT || json_count(value) != 2)
        return false;
    const struct json *soft = json_member(value, "soft"), *hard = json_member(value, "hard");
    return soft && hard && limit_number(soft, &ret_limit->soft) &&
           limit_number(hard, &ret_limit->hard) && ret_limit->soft <= ret_limit->hard;
}

int param_list_limits(struct param_decoder *decoder, const struct json *value, void *target)
{
    size_t count;
    struct param_limit *items = take_list(decoder, value, JSON_OBJECT, sizeof *items, &count);
    if (!items)
        return -1;
    struct param_limit *item = items;
    for (const struct json *at = json_first(value); at; at = json_next(at), item++) {
        size_t size = strlen(json_name(at)) + 1;
        if (size == 1)
            return param_value_refuse(decoder, "has a name that is empty");
        char *name = param_value_room(decoder, size, 1);
        if (!name)
            return -1;
        memcpy(name, json_name(at), size);
        item->name = name;
        size_t outer = param_value_enter_member(decoder, name);
        if (!limit_pair(at, item))
            return param_value_refuse(decoder, "must be {soft, hard}, soft not above hard: "
                                               "integers or \"unlimited\"");
        param_value_leave(decoder, outer);
    }
    *(struct param_limits *)target = (struct param_limits){.items = items, .count = count};
    return 0;
}
