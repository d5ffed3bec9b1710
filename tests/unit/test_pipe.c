/* Pipes of processes: their ends, and their capacity. */
#include "agent/process/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/unit.h"

static int ends[2];

static void setup(void)
{
    ck_assert_int_eq(pipe_new(ends, NULL), 0);
}

static void teardown(void)
{
    close(ends[0]);
    close(ends[1]);
}

START_TEST(what_is_written_can_be_read)
{
    char text[4] = "";
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    ck_assert_int_eq(read(ends[0], text, 3), 3);
    ck_assert_str_eq(text, "abc");
}
END_TEST

START_TEST(both_ends_block_and_stay_out_of_other_programs)
{
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(fcntl(ends[i], F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(fcntl(ends[i], F_GETFL) & O_NONBLOCK, 0);
    }
}
END_TEST

START_TEST(a_pipe_is_made_larger_from_either_end)
{
    ck_assert_uint_lt(pipe_capacity(ends[0]), PIPE_BUSY_BYTES);
    pipe_enlarge(ends[1]);
    ck_assert_uint_eq(pipe_capacity(ends[0]), PIPE_BUSY_BYTES);
    ck_assert_int_eq(fcntl(ends[0], F_SETPIPE_SZ, PIPE_PAGE), PIPE_PAGE);
    pipe_enlarge(ends[0]);
    ck_assert_uint_eq(pipe_capacity(ends[1]), PIPE_BUSY_BYTES);
}
END_TEST

START_TEST(what_is_no_pipe_counts_as_a_page)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    pipe_enlarge(fd);
    ck_assert_uint_eq(pipe_capacity(fd), PIPE_PAGE);
    close(fd);
}
END_TEST

START_TEST(without_descriptors_nothing_is_given_out)
{
    int none[2] = {-7, -7};
    struct nsp_error err = NSP_ERROR_INIT;
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit few = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    int result = pipe_new(none, &err);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_int_eq(err.sys_errno, EMFILE);
    ck_assert_int_eq(none[0], -7);
    ck_assert_int_eq(none[1], -7);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("pipe");
    TCase *tests = tcase_create("pipe");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_is_written_can_be_read);
    tcase_add_test(tests, both_ends_block_and_stay_out_of_other_programs);
    tcase_add_test(tests, a_pipe_is_made_larger_from_either_end);
    tcase_add_test(tests, what_is_no_pipe_counts_as_a_page);
    tcase_add_test(tests, without_descriptors_nothing_is_given_out);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
