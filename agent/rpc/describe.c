#include "agent/rpc/describe.h"

#include <stdio.h>

#define OPENRPC_VERSION "1.2.6"
#define BYTES_SCHEMA "#/components/schemas/Bytes"
#define RLIMIT_SCHEMA "#/components/schemas/ResourceLimit"
#define INTEGER_PATTERN "^-?[0-9]{1,19}$"

/* What any method can be answered with, and what follows from its flags. */
static uint64_t errors_of(const struct method *method)
{
    uint64_t errors = method->errors | METHOD_ERROR(INVALID_REQUEST) |
                      METHOD_ERROR(INVALID_PARAMS) | METHOD_ERROR(INTERNAL) |
                      METHOD_ERROR(CANCELLED) | METHOD_ERROR(DEADLINE) | METHOD_ERROR(EXHAUSTED);
    if (!(method->flags & METHOD_BEFORE_HELLO))
        errors |= METHOD_ERROR(HELLO_REQUIRED);
    if (method->flags & METHOD_CHANGES)
        errors |= METHOD_ERROR(FENCED) | METHOD_ERROR(SHUTTING_DOWN);
    if (method->flags & METHOD_TEXT_ONLY)
        errors |= METHOD_ERROR(UNSUPPORTED);
    return errors;
}

/* Schemas */

static void write_types(struct reply *reply, const char *first, const char *second)
{
    reply_open_array(reply, "type");
    reply_text(reply, NULL, first);
    reply_text(reply, NULL, second);
    reply_close(reply);
}

static void write_ref(struct reply *reply, const char *name, const char *target)
{
    reply_open_object(reply, name);
    reply_text(reply, "$ref", target);
    reply_close(reply);
}

/* The table's bounds under the keywords that the type has for them. */
static void write_bounds(struct reply *reply, const struct param_field *field, const char *minimum,
                         const char *maximum)
{
    int64_t min, max;
    params_bounds(field, &min, &max);
    if (field->type == PARAM_INT || min > 0)
        reply_int(reply, minimum, min);
    if (max != INT64_MAX)
        reply_int(reply, maximum, max);
}

static void write_integer(struct reply *reply, const struct param_field *field)
{
    int64_t min, max;
    params_bounds(field, &min, &max);
    write_types(reply, "integer", "string");
    reply_text(reply, "pattern", INTEGER_PATTERN);
    write_bounds(reply, field, "minimum", "maximum");
    /* A fallback outside the bounds stands for "not given". */
    if (!(field->flags & PARAM_REQUIRED) && field->fallback >= min && field->fallback <= max)
        reply_int(reply, "default", field->fallback);
}

static void write_choices(struct reply *reply, const struct param_field *field)
{
    reply_text(reply, "type", "string");
    reply_open_array(reply, "enum");
    int count = 0;
    while (field->choices[count])
        reply_text(reply, NULL, field->choices[count++]);
    reply_close(reply);
    if (!(field->flags & PARAM_REQUIRED) && field->fallback >= 0 && field->fallback < count)
        reply_text(reply, "default", field->choices[field->fallback]);
}

static void write_signal(struct reply *reply, const struct param_field *field)
{
    write_types(reply, "string", "integer");
    write_bounds(reply, field, "minimum", "maximum");
    if (!(field->flags & PARAM_REQUIRED) && field->fallback > 0)
        reply_int(reply, "default", field->fallback);
}

static void write_boolean(struct reply *reply, const struct param_field *field)
{
    reply_text(reply, "type", "boolean");
    if (!(field->flags & PARAM_REQUIRED))
        reply_bool(reply, "default", field->fallback != 0);
}

static void write_text(struct reply *reply, const struct param_field *field)
{
    reply_text(reply, "type", "string");
    write_bounds(reply, field, "minLength", "maxLength");
}

static void write_bytes(struct reply *reply, const struct param_field *field)
{
    (void)field;
    reply_text(reply, "$ref", BYTES_SCHEMA);
}

static void write_arguments(struct reply *reply, const struct param_field *field)
{
    reply_text(reply, "type", "array");
    write_ref(reply, "items", BYTES_SCHEMA);
    write_bounds(reply, field, "minItems", "maxItems");
}

static void write_variables(struct reply *reply, const struct param_field *field)
{
    reply_text(reply, "type", "object");
    write_ref(reply, "additionalProperties", BYTES_SCHEMA);
    write_bounds(reply, field, "minProperties", "maxProperties");
}

static void write_limits(struct reply *reply, const struct param_field *field)
{
    reply_text(reply, "type", "object");
    write_ref(reply, "additionalProperties", RLIMIT_SCHEMA);
    write_bounds(reply, field, "minProperties", "maxProperties");
}

static void write_label(struct reply *reply, const struct param_field *field)
{
    (void)field;
    write_types(reply, "string", "number");
}

static void write_nested(struct reply *reply, const struct param_field *field);

static void write_list(struct reply *reply, const struct param_field *field)
{
    reply_text(reply, "type", "array");
    reply_open_object(reply, "items");
    write_nested(reply, field);
    reply_close(reply);
    write_bounds(reply, field, "minItems", "maxItems");
}

static void (*const schema_writers[])(struct reply *reply, const struct param_field *field) = {
    [PARAM_BOOL] = write_boolean,        [PARAM_INT] = write_integer,
    [PARAM_STRING] = write_text,         [PARAM_BYTES] = write_bytes,
    [PARAM_PATH] = write_bytes,          [PARAM_ENUM] = write_choices,
    [PARAM_ARGUMENTS] = write_arguments, [PARAM_VARIABLES] = write_variables,
    [PARAM_LIMITS] = write_limits,       [PARAM_SIGNAL] = write_signal,
    [PARAM_LABEL] = write_label,         [PARAM_OBJECT] = write_nested,
    [PARAM_OBJECTS] = write_list,
};
_Static_assert(sizeof schema_writers / sizeof *schema_writers == PARAM_TYPE_COUNT,
               "one writer a type");

/* The schema of an object that the field's table decodes. */
static void write_nested(struct reply *reply, const struct param_field *field)
{
    const struct param_table *table = field->table;
    reply_text(reply, "type", "object");
    reply_bool(reply, "additionalProperties", false);
    reply_open_array(reply, "required");
    for (size_t i = 0; i < table->count; i++)
        if (table->fields[i].flags & PARAM_REQUIRED)
            reply_text(reply, NULL, table->fields[i].name);
    reply_close(reply);
    reply_open_object(reply, "properties");
    for (const struct param_field *at = table->fields; at < table->fields + table->count; at++) {
        reply_open_object(reply, at->name);
        if (at->doc)
            reply_text(reply, "description", at->doc);
        schema_writers[at->type](reply, at);
        reply_close(reply);
    }
    reply_close(reply);
}

/* The document */

static void write_param(struct reply *reply, const struct param_field *field)
{
    reply_open_object(reply, NULL);
    reply_text(reply, "name", field->name);
    if (field->doc)
        reply_text(reply, "description", field->doc);
    reply_bool(reply, "required", (field->flags & PARAM_REQUIRED) != 0);
    reply_open_object(reply, "schema");
    schema_writers[field->type](reply, field);
    reply_close(reply);
    reply_close(reply);
}

static void write_errors(struct reply *reply, uint64_t errors)
{
    reply_open_array(reply, "errors");
    for (int code = NSP_E_NONE + 1; code < NSP_E_COUNT; code++) {
        char target[64];
        if (!(errors & UINT64_C(1) << code))
            continue;
        snprintf(target, sizeof target, "#/components/errors/%s",
                 nsp_error_name((enum nsp_error_code)code));
        write_ref(reply, NULL, target);
    }
    reply_close(reply);
}

static void write_method(struct reply *reply, const struct method *method)
{
    reply_open_object(reply, NULL);
    reply_text(reply, "name", method->name);
    reply_text(reply, "summary", method->doc);
    reply_text(reply, "paramStructure", "by-name");
    reply_open_array(reply, "params");
    for (size_t i = 0; i < method->field_count; i++)
        write_param(reply, &method->fields[i]);
    reply_close(reply);
    reply_open_object(reply, "result");
    reply_text(reply, "name", "result");
    reply_open_object(reply, "schema");
    reply_text(reply, "type", "object");
    reply_text(reply, "description", method->returns);
    reply_close(reply);
    reply_close(reply);
    write_errors(reply, errors_of(method));
    reply_bool(reply, "x-changes-state", (method->flags & METHOD_CHANGES) != 0);
    reply_bool(reply, "x-streams", (method->flags & METHOD_STREAMS) != 0);
    reply_bool(reply, "x-text-mode-only", (method->flags & METHOD_TEXT_ONLY) != 0);
    reply_close(reply);
}

static void write_error_component(struct reply *reply, enum nsp_error_code code)
{
    reply_open_object(reply, nsp_error_name(code));
    reply_int(reply, "code", nsp_error_rpc_code(code));
    reply_text(reply, "message", nsp_error_text(code));
    reply_open_object(reply, "data");
    reply_text(reply, "name", nsp_error_name(code));
    reply_bool(reply, "retryable", nsp_error_retryable(code));
    reply_close(reply);
    reply_close(reply);
}

/* An object schema whose members are all required; leaves its "properties" open. */
static void open_strict_object(struct reply *reply, const char *const *members)
{
    reply_text(reply, "type", "object");
    reply_bool(reply, "additionalProperties", false);
    reply_open_array(reply, "required");
    while (*members)
        reply_text(reply, NULL, *members++);
    reply_close(reply);
    reply_open_object(reply, "properties");
}

static void write_bytes_component(struct reply *reply)
{
    reply_open_object(reply, "Bytes");
    reply_text(reply, "description", "a string when it is UTF-8 without NUL, base64 otherwise");
    reply_open_array(reply, "oneOf");
    reply_open_object(reply, NULL);
    reply_text(reply, "type", "string");
    reply_close(reply);
    reply_open_object(reply, NULL);
    open_strict_object(reply, (const char *const[]){"b64", NULL});
    reply_open_object(reply, "b64");
    reply_text(reply, "type", "string");
    reply_text(reply, "contentEncoding", "base64");
    reply_close(reply);
    reply_close(reply);
    reply_close(reply);
    reply_close(reply);
    reply_close(reply);
}

static void write_rlimit_component(struct reply *reply)
{
    static const char *const members[] = {"soft", "hard", NULL};
    reply_open_object(reply, "ResourceLimit");
    reply_text(reply, "description", "numbers, decimal strings, or \"unlimited\"");
    open_strict_object(reply, members);
    for (const char *const *member = members; *member; member++) {
        reply_open_object(reply, *member);
        write_types(reply, "integer", "string");
        reply_int(reply, "minimum", 0);
        reply_text(reply, "pattern", "^([0-9]{1,19}|unlimited)$");
        reply_close(reply);
    }
    reply_close(reply);
    reply_close(reply);
}

void describe_document(const struct dispatch *dispatch, const char *version, struct reply *reply)
{
    reply_text(reply, "openrpc", OPENRPC_VERSION);
    reply_open_object(reply, "info");
    reply_text(reply, "title", "nullspace-agent");
    reply_text(reply, "description", "Processes of a guest, over the nullspace wire protocol.");
    reply_text(reply, "version", version);
    reply_close(reply);
    reply_open_array(reply, "methods");
    const struct method *method;
    for (size_t i = 0; (method = dispatch_method(dispatch, i)); i++)
        write_method(reply, method);
    reply_close(reply);
    reply_open_object(reply, "components");
    reply_open_object(reply, "schemas");
    write_bytes_component(reply);
    write_rlimit_component(reply);
    reply_close(reply);
    reply_open_object(reply, "errors");
    for (int code = NSP_E_NONE + 1; code < NSP_E_COUNT; code++)
        write_error_component(reply, (enum nsp_error_code)code);
    reply_close(reply);
    reply_close(reply);
}
