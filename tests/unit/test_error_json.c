#include <errno.h>
#include <string.h>

#include "protocol/error_json.h"
#include "protocol/json_check.h"
#include "tests/support/unit.h"

static char text[NSP_ERROR_JSON_SIZE];

START_TEST(an_error_reads_as_the_protocol_has_it)
{
    struct nsp_error err;
    nsp_fail_errno(&err, NSP_E_SPAWN, ENOENT, "execve", "/bin/nope");
    size_t length = nsp_error_json(&err, text, sizeof text);
    ck_assert_str_eq(text, "{\"code\":-32011,"
                           "\"message\":\"execve: /bin/nope: No such file or directory\","
                           "\"data\":{\"name\":\"SPAWN\",\"errno\":\"ENOENT\",\"op\":\"execve\","
                           "\"object\":\"/bin/nope\",\"retryable\":false}}");
    ck_assert_uint_eq(length, strlen(text));
}
END_TEST

START_TEST(what_is_unknown_is_left_out)
{
    struct nsp_error err = {.code = NSP_E_EXHAUSTED};
    nsp_error_json(&err, text, sizeof text);
    ck_assert_str_eq(text, "{\"code\":-32006,\"message\":\"a limit was reached\","
                           "\"data\":{\"name\":\"EXHAUSTED\",\"retryable\":true}}");
}
END_TEST

START_TEST(control_characters_and_quotes_are_escaped)
{
    struct nsp_error err;
    nsp_fail_on(&err, NSP_E_NOT_FOUND, "\"\\\b\f\n\r\t\x01\x1F", "x");
    nsp_error_json(&err, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "\"object\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\""));
    ck_assert_int_eq(nsp_json_check(text, strlen(text), NULL), 0);
}
END_TEST

START_TEST(bytes_that_are_no_utf8_become_u_fffd)
{
    struct nsp_error err;
    nsp_fail_on(&err, NSP_E_NOT_FOUND, "a\xFF\xC3\xA9\xC3", "x");
    nsp_error_json(&err, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "\"object\":\"a\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\""));
    ck_assert_int_eq(nsp_json_check(text, strlen(text), NULL), 0);
}
END_TEST

START_TEST(the_largest_error_fits)
{
    char worst[400];
    memset(worst, 1, sizeof worst - 1);
    worst[sizeof worst - 1] = '\0';
    struct nsp_error err;
    nsp_fail_errno(&err, NSP_E_UNAUTHENTICATED, ENOTRECOVERABLE, worst, worst);
    memset(err.msg, 1, sizeof err.msg - 1);
    err.msg[sizeof err.msg - 1] = '\0';
    size_t length = nsp_error_json(&err, text, sizeof text);
    ck_assert_uint_gt(length, 2000);
    ck_assert_int_eq(nsp_json_check(text, length, NULL), 0);
}
END_TEST

START_TEST(too_little_room_gives_an_empty_text)
{
    struct nsp_error err;
    nsp_fail_errno(&err, NSP_E_SPAWN, ENOENT, "execve", "/bin/nope");
    size_t needed = nsp_error_json(&err, text, sizeof text) + 1;
    for (size_t capacity = 1; capacity < needed; capacity++) {
        memset(text, 'x', sizeof text);
        ck_assert_uint_eq(nsp_error_json(&err, text, capacity), 0);
        ck_assert_str_eq(text, "");
        ck_assert_int_eq(text[capacity], 'x');
    }
    ck_assert_uint_eq(nsp_error_json(&err, text, needed), needed - 1);
    ck_assert_uint_eq(nsp_error_json(&err, text, 0), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("error_json");
    TCase *tests = tcase_create("error_json");
    tcase_add_test(tests, an_error_reads_as_the_protocol_has_it);
    tcase_add_test(tests, what_is_unknown_is_left_out);
    tcase_add_test(tests, control_characters_and_quotes_are_escaped);
    tcase_add_test(tests, bytes_that_are_no_utf8_become_u_fffd);
    tcase_add_test(tests, the_largest_error_fits);
    tcase_add_test(tests, too_little_room_gives_an_empty_text);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
