#include <stdio.h>
#include <string.h>

#include "protocol/json_check.h"
#include "protocol/json_text.h"
#include "tests/support/unit.h"

static const struct {
    const char *bytes;
    size_t n;
    const char *text;
} cases[] = {
    {"", 0, "\"\""},
    {"abc", 3, "\"abc\""},
    {"a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\""},
    {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
    {"\x01\x1F\x7F", 3, "\"\\u0001\\u001f\x7F\""},
    {"h\xC3\xA9\xF0\x9F\x98\x80", 7, "\"h\xC3\xA9\xF0\x9F\x98\x80\""},
    {"a\0b", 3,
     "\"a\xEF\xBF\xBD"
     "b\""},
    {"\xFF\xC3", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {"\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(bytes_become_a_string)
{
    char text[64] = "";
    size_t length = nsp_json_text_write(text, cases[_i].bytes, cases[_i].n);
    ck_assert_str_eq(text, cases[_i].text);
    ck_assert_uint_eq(length, strlen(cases[_i].text));
    ck_assert_uint_eq(nsp_json_text_length(cases[_i].bytes, cases[_i].n), length);
}
END_TEST

START_TEST(nothing_may_be_a_null_pointer)
{
    char text[3] = "";
    ck_assert_uint_eq(nsp_json_text_length(NULL, 0), 2);
    ck_assert_uint_eq(nsp_json_text_write(text, NULL, 0), 2);
    ck_assert_str_eq(text, "\"\"");
}
END_TEST

START_TEST(every_byte_gives_acceptable_json_within_the_growth)
{
    for (int byte = 0; byte < 256; byte++) {
        char bytes[3] = {'x', (char)byte, 'y'}, text[64], message[80];
        size_t length = nsp_json_text_write(text, bytes, 3);
        ck_assert_uint_le(length, 2 + 3 * NSP_JSON_TEXT_GROWTH);
        int total = snprintf(message, sizeof message, "{\"a\":%.*s}", (int)length, text);
        ck_assert_int_eq(nsp_json_check(message, (size_t)total, NULL), 0);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("json_text");
    TCase *tests = tcase_create("json_text");
    tcase_add_loop_test(tests, bytes_become_a_string, 0, CASES);
    tcase_add_test(tests, nothing_may_be_a_null_pointer);
    tcase_add_test(tests, every_byte_gives_acceptable_json_within_the_growth);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
