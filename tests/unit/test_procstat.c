/* What /proc says of processes that the test makes. */
#include "agent/os/procstat.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/unit.h"

static int proc;
static struct procstat status;
static struct nsp_error err;

static void setup(void)
{
    proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(proc, 0);
}

static void teardown(void)
{
    close(proc);
}

static int read_of(pid_t pid)
{
    char name[16];
    snprintf(name, sizeof name, "%d", (int)pid);
    return procstat_read(proc, name, &status, &err);
}

static pid_t child_called(const char *name)
{
    int ready[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        setsid();
        prctl(PR_SET_NAME, name);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

START_TEST(the_fields_are_those_of_the_process_whatever_its_name)
{
    static const char *const names[] = {"plain", ") Z 1 1", "a (b) c", "line\nZ"};
    pid_t pid = child_called(names[_i]);
    ck_assert_int_eq(read_of(pid), 1);
    ck_assert_int_eq(status.parent, getpid());
    ck_assert_int_eq(status.group, pid);
    ck_assert_int_eq(status.session, pid);
    ck_assert_int_eq(status.threads, 1);
    ck_assert(status.state == 'S' || status.state == 'R');
    ck_assert(!procstat_is_dead(&status) && !procstat_is_kernel_thread(&status));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(read_of(pid), 0);
}
END_TEST

START_TEST(a_zombie_is_dead)
{
    siginfo_t info;
    pid_t pid = child_called("z");
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    ck_assert_int_eq(read_of(pid), 1);
    ck_assert_int_eq(status.state, 'Z');
    ck_assert(procstat_is_dead(&status));
    waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(one_whose_other_threads_live_is_not)
{
    const struct procstat first_thread_ended = {.state = 'Z', .threads = 2};
    const struct procstat gone = {.state = 'X', .threads = 2};
    ck_assert(!procstat_is_dead(&first_thread_ended));
    ck_assert(procstat_is_dead(&gone));
}
END_TEST

START_TEST(what_is_no_process_is_none)
{
    ck_assert_int_eq(procstat_read(proc, "nobody", &status, &err), 0);
    ck_assert_int_eq(procstat_read(-1, "1", &status, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("procstat");
    TCase *tests = tcase_create("stat");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, the_fields_are_those_of_the_process_whatever_its_name, 0, 4);
    tcase_add_test(tests, a_zombie_is_dead);
    tcase_add_test(tests, one_whose_other_threads_live_is_not);
    tcase_add_test(tests, what_is_no_process_is_none);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
