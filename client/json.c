#include "client/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base64.h"
#include "protocol/cleanup.h"
#include "protocol/json_check.h"

enum { ERRNO_MAX = 133 };

/* 2^53: the largest range of integers that a double holds without rounding. */
#define EXACT 9007199254740992.0

/* struct nsp_json is cJSON under another name. */
static const cJSON *inside(const struct nsp_json *json)
{
    return (const cJSON *)json;
}

static const struct nsp_json *outside(const cJSON *item)
{
    return (const struct nsp_json *)item;
}

int nsp_json_parse(const char *text, size_t length, struct nsp_json **ret_json,
                   struct nsp_error *err)
{
    if (nsp_json_check(text, length, err) < 0)
        return -1;
    cJSON *json = cJSON_ParseWithLength(text, length);
    if (!json)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a JSON message of %zu bytes", length);
    *ret_json = (struct nsp_json *)json;
    return 0;
}

void nsp_json_free(struct nsp_json *json)
{
    cJSON_Delete((cJSON *)json);
}

const struct nsp_json *nsp_json_get(const struct nsp_json *object, const char *name)
{
    return outside(cJSON_GetObjectItemCaseSensitive(inside(object), name));
}

const struct nsp_json *nsp_json_first(const struct nsp_json *container)
{
    return nsp_json_is_container(container) ? outside(inside(container)->child) : NULL;
}

const struct nsp_json *nsp_json_next(const struct nsp_json *item)
{
    return item ? outside(inside(item)->next) : NULL;
}

const char *nsp_json_name(const struct nsp_json *item)
{
    return item ? inside(item)->string : NULL;
}

bool nsp_json_is_object(const struct nsp_json *json)
{
    return cJSON_IsObject(inside(json));
}

bool nsp_json_is_container(const struct nsp_json *json)
{
    return cJSON_IsObject(inside(json)) || cJSON_IsArray(inside(json));
}

const char *nsp_json_string(const struct nsp_json *json)
{
    return cJSON_GetStringValue(inside(json));
}

const char *nsp_json_text(const struct nsp_json *object, const char *name, const char *fallback)
{
    const char *text = nsp_json_string(nsp_json_get(object, name));
    return text ? text : fallback;
}

bool nsp_json_bool(const struct nsp_json *object, const char *name, bool fallback)
{
    const cJSON *item = inside(nsp_json_get(object, name));
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
}

static bool parse_u64(const char *text, uint64_t *ret_value)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end)
        return false;
    *ret_value = value;
    return true;
}

uint64_t nsp_json_u64(const struct nsp_json *object, const char *name, uint64_t fallback)
{
    const cJSON *item = inside(nsp_json_get(object, name));
    uint64_t value = fallback;
    if (cJSON_IsNumber(item)) {
        double number = item->valuedouble;
        if (number >= 0 && number <= EXACT && (double)(uint64_t)number >= number)
            value = (uint64_t)number;
    } else if (cJSON_IsString(item)) {
        parse_u64(item->valuestring, &value);
    }
    return value;
}

int64_t nsp_json_int(const struct nsp_json *object, const char *name, int64_t fallback)
{
    const cJSON *item = inside(nsp_json_get(object, name));
    if (cJSON_IsNumber(item)) {
        double number = item->valuedouble;
        return number >= -EXACT && number <= EXACT ? (int64_t)number : fallback;
    }
    uint64_t magnitude = 0;
    if (!cJSON_IsString(item))
        return fallback;
    bool negative = item->valuestring[0] == '-';
    if (!parse_u64(item->valuestring + negative, &magnitude) || magnitude > INT64_MAX)
        return fallback;
    return negative ? -(int64_t)magnitude : (int64_t)magnitude;
}

int nsp_json_bytes(const struct nsp_json *json, struct nsp_buf *target, struct nsp_error *err)
{
    const char *text = nsp_json_string(json);
    if (text)
        return nsp_buf_append(target, text, strlen(text), err);
    text = nsp_json_text(json, "b64", NULL);
    if (!text)
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "a value is neither text nor {\"b64\"}");
    size_t length = strlen(text), decoded = 0;
    uint8_t *room = NULL;
    if (length == 0)
        return 0;
    if (nsp_buf_reserve(target, nsp_base64_decoded_room(length), &room, err) < 0 ||
        nsp_base64_decode(room, text, length, &decoded, err) < 0)
        return -1;
    nsp_buf_commit(target, decoded);
    return 0;
}

char *nsp_json_print(const struct nsp_json *json, bool pretty)
{
    return pretty ? cJSON_Print(inside(json)) : cJSON_PrintUnformatted(inside(json));
}

static int errno_by_name(const char *name)
{
    for (int number = 1; number <= ERRNO_MAX; number++)
        if (strcmp(nsp_errno_name(number), name) == 0)
            return number;
    return 0;
}

void nsp_json_error(const struct nsp_json *json, struct nsp_error *ret_error)
{
    const struct nsp_json *data = nsp_json_get(json, "data");
    struct nsp_error error = NSP_ERROR_INIT;
    error.code = nsp_error_by_name(nsp_json_text(data, "name", ""));
    /* A newer agent may know errors that we do not. */
    if (error.code == NSP_E_NONE)
        error.code = NSP_E_INTERNAL;
    error.sys_errno = errno_by_name(nsp_json_text(data, "errno", ""));
    snprintf(error.op, sizeof error.op, "%s", nsp_json_text(data, "op", ""));
    snprintf(error.object, sizeof error.object, "%s", nsp_json_text(data, "object", ""));
    snprintf(error.msg, sizeof error.msg, "%s",
             nsp_json_text(json, "message", nsp_error_text(error.code)));
    *ret_error = error;
}
