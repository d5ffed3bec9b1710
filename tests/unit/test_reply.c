#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rpc/reply.h"
#include "protocol/json_check.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

static struct reply *reply;
static struct nsp_error err;

static void setup(void)
{
    reply = reply_new();
    err = NSP_ERROR_INIT;
}

static void teardown(void)
{
    reply_free(reply);
}

static void assert_text(const char *expected)
{
    const char *text;
    size_t length;
    ck_assert_int_eq(reply_finish(reply, &text, &length, NULL), 0);
    ck_assert_msg(length == strlen(expected) && memcmp(text, expected, length) == 0,
                  "got %.*s, expected %s", (int)length, text, expected);
    ck_assert_int_eq(nsp_json_check(text, length, NULL), 0);
}

static void assert_exhausted(const char *limit)
{
    const char *text = "before";
    size_t length;
    ck_assert_int_eq(reply_finish(reply, &text, &length, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, limit);
    ck_assert_str_eq(text, "before");
}

START_TEST(an_empty_reply_is_an_empty_object)
{
    assert_text("{}");
    assert_text("{}");
}
END_TEST

START_TEST(members_of_every_type)
{
    reply_bool(reply, "t", true);
    reply_bool(reply, "f", false);
    reply_int(reply, "i", -5);
    reply_u64(reply, "u", 5);
    reply_text(reply, "s", "a\"b");
    reply_null(reply, "n");
    reply_text(reply, "none", NULL);
    reply_bytes(reply, "b", "h\xC3\xA9", 3);
    assert_text("{\"t\":true,\"f\":false,\"i\":-5,\"u\":5,\"s\":\"a\\\"b\",\"n\":null,"
                "\"none\":null,\"b\":\"h\xC3\xA9\"}");
}
END_TEST

START_TEST(large_numbers_are_strings)
{
    reply_int(reply, "a", INT64_C(9007199254740992));
    reply_int(reply, "b", INT64_C(9007199254740993));
    reply_int(reply, "c", INT64_MIN);
    reply_u64(reply, "d", UINT64_C(9007199254740992));
    reply_u64(reply, "e", UINT64_MAX);
    assert_text("{\"a\":9007199254740992,\"b\":\"9007199254740993\","
                "\"c\":\"-9223372036854775808\",\"d\":9007199254740992,"
                "\"e\":\"18446744073709551615\"}");
}
END_TEST

START_TEST(bytes_that_are_no_text_are_base64)
{
    reply_bytes(reply, "a", "\xFF", 1);
    reply_bytes(reply, "b", "x\0y", 3);
    reply_bytes(reply, "c", NULL, 0);
    assert_text("{\"a\":{\"b64\":\"/w==\"},\"b\":{\"b64\":\"eAB5\"},\"c\":\"\"}");
}
END_TEST

START_TEST(nesting_puts_commas_where_they_belong)
{
    reply_open_array(reply, "a");
    reply_int(reply, NULL, 1);
    reply_open_object(reply, NULL);
    reply_int(reply, "x", 2);
    reply_int(reply, "y", 3);
    reply_close(reply);
    reply_open_array(reply, NULL);
    reply_close(reply);
    reply_close(reply);
    reply_open_object(reply, "o");
    reply_close(reply);
    reply_int(reply, "z", 4);
    assert_text("{\"a\":[1,{\"x\":2,\"y\":3},[]],\"o\":{},\"z\":4}");
}
END_TEST

START_TEST(finish_closes_what_is_open)
{
    reply_open_array(reply, "a");
    reply_open_object(reply, NULL);
    assert_text("{\"a\":[{}]}");
}
END_TEST

START_TEST(closing_too_often_does_nothing)
{
    reply_close(reply);
    reply_int(reply, "a", 1);
    assert_text("{\"a\":1}");
}
END_TEST

START_TEST(an_error_is_a_member)
{
    struct nsp_error inner;
    nsp_fail_errno(&inner, NSP_E_SYSTEM, EIO, "read", NULL);
    reply_error(reply, "error", &inner);
    assert_text("{\"error\":{\"code\":-32016,\"message\":\"read: Input/output error\","
                "\"data\":{\"name\":\"SYSTEM\",\"errno\":\"EIO\",\"op\":\"read\","
                "\"retryable\":false}}}");
}
END_TEST

START_TEST(too_many_bytes_are_exhausted)
{
    char *bytes = calloc(1, NSP_LIMIT_JSON_MESSAGE);
    memset(bytes, 'x', NSP_LIMIT_JSON_MESSAGE - 1);
    reply_text(reply, "a", bytes);
    reply_int(reply, "b", 1);
    free(bytes);
    assert_exhausted("json_message");
}
END_TEST

START_TEST(base64_counts_as_it_is_written)
{
    char *bytes = calloc(1, NSP_LIMIT_JSON_MESSAGE * 3 / 4);
    reply_bytes(reply, "a", bytes, NSP_LIMIT_JSON_MESSAGE * 3 / 4);
    free(bytes);
    assert_exhausted("json_message");
}
END_TEST

START_TEST(too_many_values_are_exhausted)
{
    reply_open_array(reply, "a");
    for (int i = 0; i < NSP_LIMIT_JSON_NODES; i++)
        reply_int(reply, NULL, 1);
    assert_exhausted("json_nodes");
}
END_TEST

/* The envelope is one level more. */
START_TEST(the_deepest_reply_still_passes_the_check)
{
    static const char envelope[] = "{\"result\":";
    char message[512];
    const char *text;
    size_t length;
    for (int i = 2; i < NSP_LIMIT_JSON_DEPTH; i++)
        reply_open_array(reply, "a");
    ck_assert_int_eq(reply_finish(reply, &text, &length, NULL), 0);
    int total = snprintf(message, sizeof message, "%s%.*s}", envelope, (int)length, text);
    ck_assert_int_eq(nsp_json_check(message, (size_t)total, NULL), 0);
}
END_TEST

START_TEST(too_many_levels_are_exhausted)
{
    for (int i = 2; i <= NSP_LIMIT_JSON_DEPTH; i++)
        reply_open_object(reply, "a");
    assert_exhausted("json_depth");
}
END_TEST

START_TEST(base64_and_errors_need_levels_too)
{
    for (int i = 2; i < NSP_LIMIT_JSON_DEPTH; i++)
        reply_open_array(reply, "a");
    reply_bytes(reply, NULL, "\xFF", 1);
    assert_exhausted("json_depth");
    reply_free(reply);
    reply = reply_new();
    for (int i = 3; i < NSP_LIMIT_JSON_DEPTH; i++)
        reply_open_array(reply, "a");
    reply_error(reply, NULL, &err);
    assert_exhausted("json_depth");
}
END_TEST

START_TEST(no_reply_is_a_reply_without_memory)
{
    struct reply *none = NULL;
    const char *text;
    size_t length;
    reply_bool(none, "a", true);
    reply_int(none, "a", 1);
    reply_u64(none, "a", 1);
    reply_text(none, "a", "x");
    reply_bytes(none, "a", "x", 1);
    reply_null(none, "a");
    reply_error(none, "a", &err);
    reply_open_object(none, "a");
    reply_open_array(none, "a");
    reply_close(none);
    ck_assert_int_eq(reply_finish(none, &text, &length, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    reply_free(none);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("reply");
    TCase *tests = tcase_create("reply");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_empty_reply_is_an_empty_object);
    tcase_add_test(tests, members_of_every_type);
    tcase_add_test(tests, large_numbers_are_strings);
    tcase_add_test(tests, bytes_that_are_no_text_are_base64);
    tcase_add_test(tests, nesting_puts_commas_where_they_belong);
    tcase_add_test(tests, finish_closes_what_is_open);
    tcase_add_test(tests, closing_too_often_does_nothing);
    tcase_add_test(tests, an_error_is_a_member);
    tcase_add_test(tests, too_many_bytes_are_exhausted);
    tcase_add_test(tests, base64_counts_as_it_is_written);
    tcase_add_test(tests, too_many_values_are_exhausted);
    tcase_add_test(tests, the_deepest_reply_still_passes_the_check);
    tcase_add_test(tests, too_many_levels_are_exhausted);
    tcase_add_test(tests, base64_and_errors_need_levels_too);
    tcase_add_test(tests, no_reply_is_a_reply_without_memory);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
