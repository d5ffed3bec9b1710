/* The agent's ends of a process's pipes: which there are, and their copies in the fd store. */
#include "agent/process/ends.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/support/process_set.h"
#include "tests/support/unit.h"

enum { SLOT = 7 };

static struct puppet puppet_with(bool input, bool merge)
{
    struct launch_options options = process_set_options(NULL);
    options.input = input;
    options.merge = merge;
    return process_set_puppet_of(options);
}

static unsigned stored_ends(void)
{
    return process_set_stored() - STOREWIRE_LISTENER;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(a_running_process_has_no_status_pipe)
{
    struct puppet puppet = puppet_with(true, false);
    const struct ends ends = ends_of(puppet.process);
    ck_assert_int_eq(ends.fds[ENDS_INPUT], puppet.process->input.fd);
    ck_assert_int_eq(ends.fds[ENDS_OUTPUT], puppet.process->outputs[0].fd);
    ck_assert_int_eq(ends.fds[ENDS_OUTPUT + 1], puppet.process->outputs[1].fd);
    ck_assert_int_eq(ends.fds[ENDS_STATUS], -1);
    for (unsigned i = ENDS_INPUT; i < ENDS_STATUS; i++) {
        ck_assert(is_open(ends.fds[i]));
        ck_assert_uint_eq(process_set_stored_of(ends_kind(i)), 1);
    }
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STATUS) == 0);
}
END_TEST

START_TEST(while_the_execve_is_awaited_there_is_a_status_pipe)
{
    struct process *process = process_set_entry("starting", "");
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(launch_watch(process, fds[0], NULL), 0);
    ck_assert_int_eq(ends_of(process).fds[ENDS_STATUS], fds[0]);
    processes_remove(process_set.set, process);
    close(fds[1]);
}
END_TEST

START_TEST(what_was_not_asked_for_is_not_there)
{
    struct puppet puppet = puppet_with(false, true);
    const struct ends ends = ends_of(puppet.process);
    ck_assert_int_eq(ends.fds[ENDS_INPUT], -1);
    ck_assert_int_ge(ends.fds[ENDS_OUTPUT], 0);
    ck_assert_int_eq(ends.fds[ENDS_OUTPUT + 1], -1);
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDIN), 0);
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDERR), 0);
}
END_TEST

START_TEST(a_closed_end_is_not_there_any_more)
{
    struct puppet puppet = puppet_with(true, false);
    output_close(&puppet.process->outputs[1], true);
    const struct ends ends = ends_of(puppet.process);
    ck_assert_int_ge(ends.fds[ENDS_OUTPUT], 0);
    ck_assert_int_eq(ends.fds[ENDS_OUTPUT + 1], -1);
}
END_TEST

START_TEST(each_is_stored_under_its_kind_and_dropped_again)
{
    static const enum storewire_kind expected[] = {STOREWIRE_STDIN, STOREWIRE_STDOUT,
                                                   STOREWIRE_STDERR, STOREWIRE_STATUS};
    for (unsigned i = 0; i < ENDS; i++) {
        struct ends ends = ENDS_NONE;
        ends.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ck_assert_int_eq(ends_put(&ends, SLOT, &process_set.store, NULL), 0);
        ck_assert_uint_eq(process_set_stored_of(expected[i]), 1);
        ck_assert_uint_eq(stored_ends(), 1);
        ends_drop(&ends, SLOT, &process_set.store);
        PROCESS_SET_AWAIT(stored_ends() == 0);
        ck_assert(is_open(ends.fds[i]));
        close(ends.fds[i]);
    }
}
END_TEST

START_TEST(what_is_discarded_is_closed_here_and_there)
{
    struct ends ends = ENDS_NONE;
    int input = ends.fds[ENDS_INPUT] = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int status = ends.fds[ENDS_STATUS] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(ends_put(&ends, SLOT, &process_set.store, NULL), 0);
    ck_assert_uint_eq(stored_ends(), 2);
    ends_discard(&ends, SLOT, &process_set.store);
    for (unsigned i = 0; i < ENDS; i++)
        ck_assert_int_eq(ends.fds[i], -1);
    ck_assert(!is_open(input));
    ck_assert(!is_open(status));
    PROCESS_SET_AWAIT(stored_ends() == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("ends");
    PROCESS_SET_CASE(result, "process", a_running_process_has_no_status_pipe,
                     while_the_execve_is_awaited_there_is_a_status_pipe,
                     what_was_not_asked_for_is_not_there, a_closed_end_is_not_there_any_more);
    PROCESS_SET_CASE(result, "store", each_is_stored_under_its_kind_and_dropped_again,
                     what_is_discarded_is_closed_here_and_there);
    return result;
}

UNIT_MAIN(suite)
