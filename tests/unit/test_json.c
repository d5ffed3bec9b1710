#include <stdio.h>
#include <string.h>

#include "agent/rpc/json.h"
#include "tests/support/unit.h"

static struct json_document *document;

static const struct json *parse(const char *text)
{
    struct nsp_error err = NSP_ERROR_INIT;
    json_free(document);
    document = NULL;
    ck_assert_msg(json_parse(text, strlen(text), &document, &err) == 0, "%s", err.msg);
    return json_root(document);
}

static void teardown(void)
{
    json_free(document);
    document = NULL;
}

START_TEST(types_and_values_are_told)
{
    const struct json *root =
        parse("{\"n\":null,\"b\":true,\"i\":-7,\"s\":\"x\\u00e9\",\"a\":[1,2],"
              "\"o\":{\"k\":false}}");
    ck_assert_int_eq(json_type(root), JSON_OBJECT);
    ck_assert_uint_eq(json_count(root), 6);
    ck_assert_int_eq(json_type(json_member(root, "n")), JSON_NULL);
    ck_assert_int_eq(json_type(json_member(root, "b")), JSON_BOOL);
    ck_assert(json_bool(json_member(root, "b")));
    ck_assert(!json_bool(json_member(json_member(root, "o"), "k")));
    ck_assert_int_eq(json_type(json_member(root, "i")), JSON_NUMBER);
    ck_assert_int_eq(json_type(json_member(root, "s")), JSON_STRING);
    ck_assert_str_eq(json_string(json_member(root, "s")), "x\xC3\xA9");
    ck_assert_int_eq(json_type(json_member(root, "a")), JSON_ARRAY);
    ck_assert_str_eq(json_type_name(JSON_ARRAY), "an array");
}
END_TEST

START_TEST(members_come_in_order_and_are_case_sensitive)
{
    const struct json *root = parse("{\"b\":1,\"a\":2,\"A\":3}");
    const struct json *at = json_first(root);
    ck_assert_str_eq(json_name(at), "b");
    ck_assert_str_eq(json_name(at = json_next(at)), "a");
    ck_assert_str_eq(json_name(at = json_next(at)), "A");
    ck_assert_ptr_null(json_next(at));
    int64_t number;
    ck_assert(json_int(json_member(root, "A"), &number));
    ck_assert_int_eq(number, 3);
    ck_assert_ptr_null(json_member(root, "B"));
    ck_assert_ptr_null(json_first(at));
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    int64_t number;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"1e3", true, 1000},
    {"10.0", true, 10},
    {"9007199254740992", true, INT64_C(9007199254740992)},
    {"-9007199254740992", true, -INT64_C(9007199254740992)},
    {"9007199254740994", false, 0},
    {"1.5", false, 0},
    {"1e300", false, 0},
    {"\"9223372036854775807\"", true, INT64_MAX},
    {"\"-9223372036854775808\"", true, INT64_MIN},
    {"\"9223372036854775808\"", false, 0},
    {"\"007\"", true, 7},
    {"\"\"", false, 0},
    {"\"-\"", false, 0},
    {"\"+1\"", false, 0},
    {"\" 1\"", false, 0},
    {"\"1 \"", false, 0},
    {"\"0x1\"", false, 0},
    {"\"1.0\"", false, 0},
    {"\"10000000000000000000000000\"", false, 0},
    {"true", false, 0},
    {"null", false, 0},
    {"[1]", false, 0},
};
enum { INTEGERS = sizeof integers / sizeof *integers };

START_TEST(integers_are_exact_or_refused)
{
    char text[64];
    int64_t number = 99;
    snprintf(text, sizeof text, "{\"v\":%s}", integers[_i].text);
    const struct json *value = json_first(parse(text));
    ck_assert_msg(json_int(value, &number) == integers[_i].ok, "%s", text);
    ck_assert_int_eq(number, integers[_i].ok ? integers[_i].number : 99);
}
END_TEST

static void assert_raw(const struct json *value, const char *expected)
{
    const char *text;
    size_t length;
    json_raw(document, value, &text, &length);
    ck_assert_uint_eq(length, strlen(expected));
    ck_assert_mem_eq(text, expected, length);
}

START_TEST(raw_text_is_found_wherever_the_value_stands)
{
    const struct json *root =
        parse(" { \"a\\\"]\" : [ 1.50 , \"x}\\\\\" , { } ] , \"b\" : { \"c\" : -2E5 }\n, \"d\":[]"
              ",\"e\":\"\\\"\" }");
    const struct json *list = json_first(root), *b = json_next(list);
    assert_raw(list, "[ 1.50 , \"x}\\\\\" , { } ]");
    assert_raw(json_first(list), "1.50");
    assert_raw(json_next(json_first(list)), "\"x}\\\\\"");
    assert_raw(json_next(json_next(json_first(list))), "{ }");
    assert_raw(b, "{ \"c\" : -2E5 }");
    assert_raw(json_first(b), "-2E5");
    assert_raw(json_next(b), "[]");
    assert_raw(json_next(json_next(b)), "\"\\\"\"");
}
END_TEST

START_TEST(what_the_check_refuses_is_not_parsed)
{
    struct json_document *none = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(json_parse("{\"a\":1,\"a\":2}", 13, &none, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PARSE);
    ck_assert_int_eq(json_parse("", 0, &none, &err), -1);
    ck_assert_ptr_null(none);
    json_free(NULL);
}
END_TEST

START_TEST(the_text_needs_no_nul)
{
    char text[] = "{\"a\":1}garbage";
    ck_assert_int_eq(json_parse(text, 7, &document, NULL), 0);
    assert_raw(json_first(json_root(document)), "1");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("json");
    TCase *tests = tcase_create("json");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, types_and_values_are_told);
    tcase_add_test(tests, members_come_in_order_and_are_case_sensitive);
    tcase_add_loop_test(tests, integers_are_exact_or_refused, 0, INTEGERS);
    tcase_add_test(tests, raw_text_is_found_wherever_the_value_stands);
    tcase_add_test(tests, what_the_check_refuses_is_not_parsed);
    tcase_add_test(tests, the_text_needs_no_nul);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
