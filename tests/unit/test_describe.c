#include <stdlib.h>
#include <string.h>

#include "agent/rpc/describe.h"
#include "agent/rpc/json.h"
#include "tests/support/fake_stream.c"
#include "tests/support/unit.h"

static const char *const choices[] = {"null", "pipe", NULL};

static const struct param_field inner_fields[] = {
    {.name = "to", .type = PARAM_STRING, .flags = PARAM_REQUIRED, .max = 9, .doc = "Where."},
    {.name = "up", .type = PARAM_BOOL},
};
static const struct param_table inner = PARAM_TABLE(char, inner_fields);

static const struct param_field fields[] = {
    {.name = "bool", .type = PARAM_BOOL, .fallback = 1, .doc = "A flag."},
    {.name = "int", .type = PARAM_INT, .min = 1, .max = 5, .fallback = -1},
    {.name = "size", .type = PARAM_INT, .fallback = 3},
    {.name = "string", .type = PARAM_STRING, .flags = PARAM_REQUIRED, .min = 1, .max = 64},
    {.name = "bytes", .type = PARAM_BYTES},
    {.name = "path", .type = PARAM_PATH},
    {.name = "enum", .type = PARAM_ENUM, .choices = choices, .fallback = 1},
    {.name = "arguments", .type = PARAM_ARGUMENTS, .min = 1},
    {.name = "variables", .type = PARAM_VARIABLES},
    {.name = "limits", .type = PARAM_LIMITS},
    {.name = "signal", .type = PARAM_SIGNAL, .min = 1, .fallback = 15},
    {.name = "label", .type = PARAM_LABEL},
    {.name = "object", .type = PARAM_OBJECT, .table = &inner},
    {.name = "objects", .type = PARAM_OBJECTS, .max = 7, .table = &inner},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const struct method methods[] = {
    {.name = "b",
     .fields = fields,
     .field_count = FIELDS,
     .flags = METHOD_CHANGES | METHOD_STREAMS,
     .doc = "Does b.",
     .returns = "What b is.",
     .errors = METHOD_ERROR(SPAWN)},
    {.name = "a", .flags = METHOD_BEFORE_HELLO | METHOD_TEXT_ONLY, .doc = "A.", .returns = "No."},
};

static struct dispatch *dispatch;
static struct reply *reply;
static struct json_document *document;
static const struct json *root;

static void setup(void)
{
    const char *text;
    size_t length;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(dispatch_new(&dispatch, NULL), 0);
    ck_assert_int_eq(dispatch_add(dispatch, methods, 2, NULL, NULL), 0);
    reply = reply_new();
    describe_document(dispatch, "1.2.3", reply);
    ck_assert_int_eq(reply_finish(reply, &text, &length, NULL), 0);
    ck_assert_msg(json_parse(text, length, &document, &err) == 0, "%s", err.msg);
    root = json_root(document);
}

static void teardown(void)
{
    json_free(document);
    reply_free(reply);
    dispatch_free(dispatch);
}

static const struct json *at(const struct json *value, const char *name)
{
    const struct json *member = json_member(value, name);
    ck_assert_msg(member, "%s is missing", name);
    return member;
}

static const struct json *nth(const struct json *value, unsigned index)
{
    const struct json *item = json_first(value);
    while (index-- > 0)
        item = json_next(item);
    ck_assert_ptr_nonnull(item);
    return item;
}

static void assert_text(const struct json *value, const char *name, const char *text)
{
    ck_assert_str_eq(json_string(at(value, name)), text);
}

static void assert_raw(const struct json *value, const char *expected)
{
    const char *text;
    size_t length;
    json_raw(document, value, &text, &length);
    ck_assert_msg(length == strlen(expected) && memcmp(text, expected, length) == 0,
                  "got %.*s, expected %s", (int)length, text, expected);
}

START_TEST(the_document_says_what_it_is)
{
    assert_text(root, "openrpc", "1.2.6");
    assert_text(at(root, "info"), "title", "nullspace-agent");
    assert_text(at(root, "info"), "version", "1.2.3");
}
END_TEST

START_TEST(methods_are_listed_by_name_with_their_texts)
{
    const struct json *list = at(root, "methods");
    ck_assert_uint_eq(json_count(list), 2);
    assert_text(nth(list, 0), "name", "a");
    ck_assert_uint_eq(json_count(at(nth(list, 0), "params")), 0);
    const struct json *b = nth(list, 1);
    assert_text(b, "name", "b");
    assert_text(b, "summary", "Does b.");
    assert_text(b, "paramStructure", "by-name");
    assert_text(at(at(b, "result"), "schema"), "description", "What b is.");
    ck_assert(json_bool(at(b, "x-changes-state")));
    ck_assert(json_bool(at(b, "x-streams")));
    ck_assert(!json_bool(at(b, "x-text-mode-only")));
    ck_assert(json_bool(at(nth(list, 0), "x-text-mode-only")));
}
END_TEST

#define BYTES "{\"$ref\":\"#/components/schemas/Bytes\"}"
#define INNER                                                                                      \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"to\"],\"properties\":{"   \
    "\"to\":{\"description\":\"Where.\",\"type\":\"string\",\"maxLength\":9},"                     \
    "\"up\":{\"type\":\"boolean\",\"default\":false}}}"
static const char *const schemas[] = {
    "{\"type\":\"boolean\",\"default\":true}",
    "{\"type\":[\"integer\",\"string\"],\"pattern\":\"^-?[0-9]{1,19}$\",\"minimum\":1,"
    "\"maximum\":5}",
    "{\"type\":[\"integer\",\"string\"],\"pattern\":\"^-?[0-9]{1,19}$\",\"minimum\":0,"
    "\"default\":3}",
    "{\"type\":\"string\",\"minLength\":1,\"maxLength\":64}",
    BYTES,
    BYTES,
    "{\"type\":\"string\",\"enum\":[\"null\",\"pipe\"],\"default\":\"pipe\"}",
    "{\"type\":\"array\",\"items\":" BYTES ",\"minItems\":1,\"maxItems\":4096}",
    "{\"type\":\"object\",\"additionalProperties\":" BYTES ",\"maxProperties\":4096}",
    "{\"type\":\"object\",\"additionalProperties\":"
    "{\"$ref\":\"#/components/schemas/ResourceLimit\"},\"maxProperties\":16}",
    "{\"type\":[\"string\",\"integer\"],\"minimum\":1,\"maximum\":64,\"default\":15}",
    "{\"type\":[\"string\",\"number\"]}",
    INNER,
    "{\"type\":\"array\",\"items\":" INNER ",\"maxItems\":7}",
};
_Static_assert(sizeof schemas / sizeof *schemas == FIELDS, "one schema a field");

START_TEST(a_parameter_has_the_schema_of_its_field)
{
    const struct json *param = nth(at(nth(at(root, "methods"), 1), "params"), (unsigned)_i);
    assert_text(param, "name", fields[_i].name);
    ck_assert_int_eq(json_bool(at(param, "required")), (fields[_i].flags & PARAM_REQUIRED) != 0);
    if (fields[_i].doc)
        assert_text(param, "description", fields[_i].doc);
    assert_raw(at(param, "schema"), schemas[_i]);
}
END_TEST

static bool lists_error(unsigned method, const char *name)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "#/components/errors/%s", name);
    const struct json *list = at(nth(at(root, "methods"), method), "errors");
    for (const struct json *item = json_first(list); item; item = json_next(item))
        if (strcmp(json_string(at(item, "$ref")), wanted) == 0)
            return true;
    return false;
}

START_TEST(errors_follow_from_flags_and_table)
{
    ck_assert(lists_error(1, "SPAWN"));
    ck_assert(lists_error(1, "FENCED"));
    ck_assert(lists_error(1, "SHUTTING_DOWN"));
    ck_assert(lists_error(1, "HELLO_REQUIRED"));
    ck_assert(lists_error(1, "INVALID_PARAMS"));
    ck_assert(!lists_error(1, "UNSUPPORTED"));
    ck_assert(!lists_error(0, "HELLO_REQUIRED"));
    ck_assert(!lists_error(0, "FENCED"));
    ck_assert(!lists_error(0, "SPAWN"));
    ck_assert(lists_error(0, "UNSUPPORTED"));
}
END_TEST

START_TEST(every_error_is_a_component)
{
    const struct json *errors = at(at(root, "components"), "errors");
    ck_assert_uint_eq(json_count(errors), NSP_E_COUNT - 1);
    int64_t code;
    ck_assert(json_int(at(at(errors, "SPAWN"), "code"), &code));
    ck_assert_int_eq(code, -32011);
    assert_text(at(at(errors, "SPAWN"), "data"), "name", "SPAWN");
}
END_TEST

START_TEST(referenced_schemas_exist)
{
    const struct json *components = at(at(root, "components"), "schemas");
    ck_assert_uint_eq(json_count(at(at(components, "Bytes"), "oneOf")), 2);
    const struct json *limit = at(components, "ResourceLimit");
    assert_raw(at(limit, "required"), "[\"soft\",\"hard\"]");
    ck_assert_uint_eq(json_count(at(limit, "properties")), 2);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("describe");
    TCase *tests = tcase_create("describe");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_document_says_what_it_is);
    tcase_add_test(tests, methods_are_listed_by_name_with_their_texts);
    tcase_add_loop_test(tests, a_parameter_has_the_schema_of_its_field, 0, FIELDS);
    tcase_add_test(tests, errors_follow_from_flags_and_table);
    tcase_add_test(tests, every_error_is_a_component);
    tcase_add_test(tests, referenced_schemas_exist);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
