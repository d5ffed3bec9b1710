#include "client/exit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/unit.h"

static struct nsp_exit read_exit(const char *text)
{
    struct nsp_json *json = NULL;
    struct nsp_exit ended;
    ck_assert_int_eq(nsp_json_parse(text, strlen(text), &json, NULL), 0);
    nsp_exit_read(nsp_json_get(json, "exit"), &ended);
    nsp_json_free(json);
    return ended;
}

START_TEST(null_means_that_it_runs)
{
    struct nsp_exit ended = read_exit("{\"exit\":null}");
    ck_assert(!ended.exited);
    ck_assert_int_eq(nsp_exit_status(&ended), 125);
}
END_TEST

START_TEST(all_members_are_read)
{
    struct nsp_exit ended =
        read_exit("{\"exit\":{\"signal\":11,\"signal_name\":\"SIGSEGV\",\"core\":true,"
                  "\"timed_out\":false,\"wall_ms\":1,\"user_ms\":2,\"system_ms\":3,"
                  "\"max_rss_kib\":4,\"exited_at_ms\":1700000000123}}");
    ck_assert(ended.exited);
    ck_assert_int_eq(ended.code, -1);
    ck_assert_int_eq(ended.signal, 11);
    ck_assert_str_eq(ended.name, "SIGSEGV");
    ck_assert(ended.core);
    ck_assert_uint_eq(ended.wall_ms, 1);
    ck_assert_uint_eq(ended.user_ms, 2);
    ck_assert_uint_eq(ended.system_ms, 3);
    ck_assert_uint_eq(ended.max_rss_kib, 4);
    ck_assert_int_eq(ended.exited_at_ms, 1700000000123);
}
END_TEST

static const struct {
    const char *exit;
    int status;
} statuses[] = {
    {"{\"exit\":{\"code\":0}}", 0},
    {"{\"exit\":{\"code\":3}}", 3},
    {"{\"exit\":{\"code\":255}}", 255},
    {"{\"exit\":{\"signal\":9,\"signal_name\":\"SIGKILL\"}}", 137},
    {"{\"exit\":{\"signal\":15}}", 143},
    {"{\"exit\":{\"signal\":64}}", 192},
    {"{\"exit\":{\"signal\":9,\"timed_out\":true}}", 124},
    {"{\"exit\":{\"code\":0,\"timed_out\":true}}", 124},
    {"{\"exit\":{}}", 125},
};

START_TEST(an_exit_has_a_status_as_in_a_shell)
{
    struct nsp_exit ended = read_exit(statuses[_i].exit);
    ck_assert_int_eq(nsp_exit_status(&ended), statuses[_i].status);
}
END_TEST

static const struct {
    enum nsp_error_code code;
    int sys_errno;
    const char *op;
    int status;
} errors[] = {
    {NSP_E_SPAWN, ENOENT, "execve", 127},
    {NSP_E_SPAWN, ENOTDIR, "execve", 127},
    {NSP_E_SPAWN, EACCES, "execve", 126},
    {NSP_E_SPAWN, ENOEXEC, "execve", 126},
    {NSP_E_SPAWN, EISDIR, "execve", 126},
    {NSP_E_SPAWN, ENOENT, "interpreter", 126},
    {NSP_E_SPAWN, EACCES, "interpreter", 126},
    {NSP_E_SPAWN, E2BIG, "execve", 125},
    {NSP_E_SPAWN, ENOMEM, "execve", 125},
    {NSP_E_SPAWN, ENOENT, "chdir", 125},
    {NSP_E_SPAWN, EACCES, "chdir", 125},
    {NSP_E_SPAWN, EAGAIN, "clone", 125},
    {NSP_E_NOT_FOUND, ENOENT, "execve", 125},
    {NSP_E_CONNECTION, 0, "", 125},
    {NSP_E_EXHAUSTED, 0, "", 125},
};

START_TEST(a_failed_start_has_a_status_as_in_a_shell)
{
    struct nsp_error err = {.code = errors[_i].code, .sys_errno = errors[_i].sys_errno};
    snprintf(err.op, sizeof err.op, "%s", errors[_i].op);
    ck_assert_int_eq(nsp_exit_status_of_error(&err), errors[_i].status);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/exit");
    TCase *reading = tcase_create("read");
    tcase_add_test(reading, null_means_that_it_runs);
    tcase_add_test(reading, all_members_are_read);
    suite_add_tcase(suite, reading);
    TCase *mapping = tcase_create("status");
    tcase_add_loop_test(mapping, an_exit_has_a_status_as_in_a_shell, 0,
                        sizeof statuses / sizeof *statuses);
    tcase_add_loop_test(mapping, a_failed_start_has_a_status_as_in_a_shell, 0,
                        sizeof errors / sizeof *errors);
    suite_add_tcase(suite, mapping);
    return suite;
}

UNIT_MAIN(suite)
