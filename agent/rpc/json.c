#include "agent/rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "protocol/json_check.h"

/* Integers up to here have a double of their own. */
static const double exact_integers = 9007199254740992.0;

struct json_document {
    cJSON *root;
    const char *text;
};

static const cJSON *node_of(const struct json *value)
{
    return (const cJSON *)value;
}

static const struct json *value_of(const cJSON *node)
{
    return (const struct json *)node;
}

int json_parse(const char *text, size_t length, struct json_document **ret_document,
               struct nsp_error *err)
{
    if (nsp_json_check(text, length, err) < 0)
        return -1;
    struct json_document *document = malloc(sizeof *document);
    cJSON *root = document ? cJSON_ParseWithLength(text, length) : NULL;
    if (!root) {
        /* Well-formed as it is, only memory can be missing. */
        free(document);
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, ENOMEM, "malloc", "memory");
    }
    *document = (struct json_document){.root = root, .text = text};
    *ret_document = document;
    return 0;
}

void json_free(struct json_document *document)
{
    if (!document)
        return;
    cJSON_Delete(document->root);
    free(document);
}

const struct json *json_root(const struct json_document *document)
{
    return value_of(document->root);
}

enum json_type json_type(const struct json *value)
{
    switch (node_of(value)->type & 0xFF) {
    case cJSON_True:
    case cJSON_False:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",       [JSON_BOOL] = "a boolean", [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
    };
    return names[type];
}

bool json_bool(const struct json *value)
{
    return cJSON_IsTrue(node_of(value));
}

const char *json_string(const struct json *value)
{
    return node_of(value)->valuestring;
}

static bool int_of_string(const char *text, int64_t *ret_number)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 19 || digits[count] != '\0')
        return false;
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    if (errno != 0)
        return false;
    *ret_number = number;
    return true;
}

bool json_int(const struct json *value, int64_t *ret_number)
{
    const cJSON *node = node_of(value);
    if (cJSON_IsString(node))
        return int_of_string(node->valuestring, ret_number);
    if (!cJSON_IsNumber(node))
        return false;
    double number = node->valuedouble;
    if (number < -exact_integers || number > exact_integers || number != (double)(int64_t)number)
        return false;
    *ret_number = (int64_t)number;
    return true;
}

const struct json *json_first(const struct json *container)
{
    return value_of(node_of(container)->child);
}

const struct json *json_next(const struct json *value)
{
    return value_of(node_of(value)->next);
}

const char *json_name(const struct json *member)
{
    return node_of(member)->string;
}

size_t json_count(const struct json *container)
{
    size_t count = 0;
    for (const struct json *at = json_first(container); at; at = json_next(at))
        count++;
    return count;
}

const struct json *json_member(const struct json *object, const char *name)
{
    for (const struct json *at = json_first(object); at; at = json_next(at))
        if (strcmp(json_name(at), name) == 0)
            return at;
    return NULL;
}

/* The text of a value: the tree and the text are walked together. Both are well-formed and of the
 * same shape, so that nothing but brackets, commas and colons needs to be looked at. */

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *skip_scalar(const char *at)
{
    if (*at != '"')
        return at + strcspn(at, " \t\r\n,]}");
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

/* Returns the text behind node, which stands at `at`. Meeting wanted on the way fills *ret_from and
 * *ret_to. */
static const char *walk(const cJSON *node, const char *at, const cJSON *wanted,
                        const char **ret_from, const char **ret_to)
{
    const char *from = at;
    if (!cJSON_IsObject(node) && !cJSON_IsArray(node)) {
        at = skip_scalar(at);
    } else {
        at = skip_space(at + 1);
        for (const cJSON *child = node->child; child; child = child->next) {
            if (cJSON_IsObject(node))
                at = skip_space(skip_space(skip_scalar(at)) + 1);
            at = skip_space(walk(child, at, wanted, ret_from, ret_to));
            if (child->next)
                at = skip_space(at + 1);
        }
        at++;
    }
    if (node == wanted) {
        *ret_from = from;
        *ret_to = at;
    }
    return at;
}

void json_raw(const struct json_document *document, const struct json *value, const char **ret_text,
              size_t *ret_length)
{
    const char *from = NULL, *to = NULL;
    walk(document->root, skip_space(document->text), node_of(value), &from, &to);
    *ret_text = from;
    *ret_length = (size_t)(to - from);
}
