#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/error.h"
#include "tests/support/unit.h"

START_TEST(fail_fills_code_and_message)
{
    struct nsp_error err = {.sys_errno = 5, .op = "old", .object = "old"};
    ck_assert_int_eq(nsp_fail(&err, NSP_E_STATE, "%s is %d", "x", 7), -1);
    ck_assert_int_eq(err.code, NSP_E_STATE);
    ck_assert_str_eq(err.msg, "x is 7");
    ck_assert_int_eq(err.sys_errno, 0);
    ck_assert_str_eq(err.op, "");
    ck_assert_str_eq(err.object, "");
}
END_TEST

START_TEST(fail_on_names_the_object)
{
    struct nsp_error err;
    ck_assert_int_eq(nsp_fail_on(&err, NSP_E_NOT_FOUND, "p1", "no process %s", "p1"), -1);
    ck_assert_str_eq(err.object, "p1");
    ck_assert_str_eq(err.msg, "no process p1");
    ck_assert_int_eq(nsp_fail_on(&err, NSP_E_NOT_FOUND, NULL, "none"), -1);
    ck_assert_str_eq(err.object, "");
}
END_TEST

START_TEST(fail_errno_makes_the_message)
{
    struct nsp_error err;
    ck_assert_int_eq(nsp_fail_errno(&err, NSP_E_SPAWN, ENOENT, "execve", "/bin/nope"), -1);
    ck_assert_int_eq(err.sys_errno, ENOENT);
    ck_assert_str_eq(err.op, "execve");
    ck_assert_str_eq(err.object, "/bin/nope");
    ck_assert_str_eq(err.msg, "execve: /bin/nope: No such file or directory");
    nsp_fail_errno(&err, NSP_E_SYSTEM, EIO, "read", NULL);
    ck_assert_str_eq(err.msg, "read: Input/output error");
    nsp_fail_errno(&err, NSP_E_SYSTEM, 9999, "read", NULL);
    ck_assert_str_eq(err.msg, "read: unknown error");
}
END_TEST

START_TEST(long_strings_are_cut)
{
    char text[1000];
    struct nsp_error err;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    nsp_fail_on(&err, NSP_E_STATE, text, "%s", text);
    ck_assert_uint_eq(strlen(err.object), sizeof err.object - 1);
    ck_assert_uint_eq(strlen(err.msg), sizeof err.msg - 1);
    nsp_fail_errno(&err, NSP_E_SYSTEM, EIO, text, text);
    ck_assert_uint_eq(strlen(err.op), sizeof err.op - 1);
    ck_assert_ptr_nonnull(strstr(err.msg, "Input/output error"));
}
END_TEST

START_TEST(without_an_error_value_only_the_result_is_left)
{
    ck_assert_int_eq(nsp_fail(NULL, NSP_E_STATE, "x"), -1);
    ck_assert_int_eq(nsp_fail_on(NULL, NSP_E_STATE, "x", "x"), -1);
    ck_assert_int_eq(nsp_fail_errno(NULL, NSP_E_STATE, EIO, "x", "x"), -1);
}
END_TEST

START_TEST(names_and_codes_are_unique_and_found_again)
{
    for (int code = NSP_E_NONE + 1; code < NSP_E_COUNT; code++) {
        enum nsp_error_code one = (enum nsp_error_code)code;
        ck_assert_int_eq(nsp_error_by_name(nsp_error_name(one)), one);
        ck_assert_int_lt(nsp_error_rpc_code(one), 0);
        ck_assert_str_ne(nsp_error_text(one), "");
        for (int other = code + 1; other < NSP_E_COUNT; other++)
            ck_assert_int_ne(nsp_error_rpc_code(one),
                             nsp_error_rpc_code((enum nsp_error_code)other));
    }
    ck_assert_int_eq(nsp_error_by_name("NOPE"), NSP_E_NONE);
    ck_assert_int_eq(nsp_error_by_name("NONE"), NSP_E_NONE);
}
END_TEST

START_TEST(an_unknown_code_is_internal)
{
    ck_assert_str_eq(nsp_error_name((enum nsp_error_code)1000), "INTERNAL");
    ck_assert_int_eq(nsp_error_rpc_code((enum nsp_error_code)1000), -32603);
    ck_assert(!nsp_error_retryable((enum nsp_error_code)1000));
}
END_TEST

START_TEST(codes_of_json_rpc_are_as_specified)
{
    ck_assert_int_eq(nsp_error_rpc_code(NSP_E_PARSE), -32700);
    ck_assert_int_eq(nsp_error_rpc_code(NSP_E_INVALID_REQUEST), -32600);
    ck_assert_int_eq(nsp_error_rpc_code(NSP_E_METHOD_NOT_FOUND), -32601);
    ck_assert_int_eq(nsp_error_rpc_code(NSP_E_INVALID_PARAMS), -32602);
    ck_assert_int_eq(nsp_error_rpc_code(NSP_E_INTERNAL), -32603);
    ck_assert(nsp_error_retryable(NSP_E_EXHAUSTED));
}
END_TEST

START_TEST(errno_has_a_name)
{
    ck_assert_str_eq(nsp_errno_name(ENOENT), "ENOENT");
    ck_assert_str_eq(nsp_errno_name(0), "");
    ck_assert_str_eq(nsp_errno_name(9999), "E?");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("error");
    TCase *tests = tcase_create("error");
    tcase_add_test(tests, fail_fills_code_and_message);
    tcase_add_test(tests, fail_on_names_the_object);
    tcase_add_test(tests, fail_errno_makes_the_message);
    tcase_add_test(tests, long_strings_are_cut);
    tcase_add_test(tests, without_an_error_value_only_the_result_is_left);
    tcase_add_test(tests, names_and_codes_are_unique_and_found_again);
    tcase_add_test(tests, an_unknown_code_is_internal);
    tcase_add_test(tests, codes_of_json_rpc_are_as_specified);
    tcase_add_test(tests, errno_has_a_name);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
