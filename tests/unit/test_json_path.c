#include <string.h>

#include "agent/rpc/json_path.h"
#include "tests/support/unit.h"

static const char text[] = "\n{\"a\": 1,\n"
                           " \"list\": [\n"
                           "  10,\n"
                           "  {\"x\": {\n"
                           "    \"y\": [5,\n"
                           "     6]}}\n"
                           " ],\n"
                           " \"net.ipv4\": 1,\n"
                           " \"net\": {\"ipv4\": 2,\n"
                           "  \"ipv4.ip\": 3},\n"
                           " \".d\":\n"
                           "  4, \"e[0]\": [\n"
                           " 7]}\n";

static struct json_document *document;

static void setup(void)
{
    ck_assert_int_eq(json_parse(text, strlen(text), &document, NULL), 0);
}

static void teardown(void)
{
    json_free(document);
}

static const struct {
    const char *path;
    size_t line;
} lines[] = {
    {"", 2},
    {"a", 2},
    {"list", 3},
    {"list[0]", 4},
    {"list[1]", 5},
    {"list[1].x", 5},
    {"list[1].x.y", 6},
    {"list[1].x.y[1]", 7},
    {"net.ipv4", 9},    /* the longest name wins */
    {"net.ipv4.ip", 9}, /* as far as it goes */
    {".d", 13},
    {"e[0]", 13},
    {"e[0][0]", 14},
    /* What is not there: the last on the way. */
    {"nothing", 2},
    {"a.b", 2},
    {"a[0]", 2},
    {"list[2]", 3},
    {"list[99999999999999999999]", 3},
    {"list[x]", 3},
    {"list[1", 3},
    {"list[-1]", 3},
    {"list[1].x.z", 5},
    {"list[1].xx", 5},
    {"list[1].x.y[1].deeper", 7},
};
enum { LINES = sizeof lines / sizeof *lines };

START_TEST(a_path_has_a_line)
{
    ck_assert_msg(json_path_line(document, text, lines[_i].path) == lines[_i].line,
                  "%s: %zu, expected %zu", lines[_i].path,
                  json_path_line(document, text, lines[_i].path), lines[_i].line);
}
END_TEST

START_TEST(a_path_leads_to_a_value)
{
    int64_t number;
    ck_assert(json_int(json_path_find(document, "list[1].x.y[0]"), &number));
    ck_assert_int_eq(number, 5);
    ck_assert_ptr_eq(json_path_find(document, "nothing"), json_root(document));
}
END_TEST

START_TEST(a_position_counts_lines_and_characters)
{
    size_t line, column;
    json_path_position("ab", 0, &line, &column);
    ck_assert_uint_eq(line, 1);
    ck_assert_uint_eq(column, 1);
    json_path_position("ab\n\xC3\xA9x", 6, &line, &column);
    ck_assert_uint_eq(line, 2);
    ck_assert_uint_eq(column, 3);
    json_path_position("\n\n", 2, &line, &column);
    ck_assert_uint_eq(line, 3);
    ck_assert_uint_eq(column, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("json_path");
    TCase *tests = tcase_create("json_path");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_path_has_a_line, 0, LINES);
    tcase_add_test(tests, a_path_leads_to_a_value);
    tcase_add_test(tests, a_position_counts_lines_and_characters);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
