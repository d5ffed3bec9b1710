/* Signals to a tree when system calls fail: the process gets its signal, or the caller is told that
 * it did not. Nothing is leaked. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/os/proctree.h"
#include "tests/support/fault.h"
#include "tests/support/unit.h"

/* Each of the first calls, and then some: every process on the machine is looked at. */
enum { CALLS_MAX = 20000, ALL = 200, STRIDE = 7 };

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* A child that does nothing. Check's own handler would end us with it. */
static pid_t start(void)
{
    signal(SIGTERM, SIG_DFL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    while (pid == 0)
        pause();
    return pid;
}

static const struct {
    uint32_t kind;
    int error;
} faults[] = {{FAULT_ALLOC, ENOMEM}, {FAULT_FD, EMFILE}, {FAULT_READ, EIO}, {FAULT_OTHER, EPERM}};
enum { FAULTS = sizeof faults / sizeof *faults };

static bool one_fails(int fault, uint64_t first)
{
    struct proctree kept = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    unsigned sent = 0;
    int status = 0;
    pid_t child = start();
    fault_arm(faults[fault].kind, faults[fault].error, first);
    int result = proctree_signal(&kept, child, SIGTERM, &sent, &err);
    bool failed = fault_disarm() > 0;
    proctree_done(&kept);
    ck_assert(result == 0 || (failed && err.code != NSP_E_NONE));
    if (result == 0)
        ck_assert_uint_ge(sent, 1);
    else
        kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(result < 0 || WTERMSIG(status) == SIGTERM);
    return failed;
}

START_TEST(a_signal_arrives_or_its_failure_is_told)
{
    unsigned descriptors = count_descriptors();
    uint64_t first = 1;
    while (one_fails(_i, first)) {
        ck_assert_uint_eq(count_descriptors(), descriptors);
        ck_assert_uint_lt(first, CALLS_MAX);
        first += first < ALL ? 1 : STRIDE;
    }
    ck_assert_uint_gt(first, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault proctree");
    TCase *tcase = tcase_create("every call");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_signal_arrives_or_its_failure_is_told, 0, FAULTS);
    suite_add_tcase(all, tcase);
    return all;
}

UNIT_MAIN(suite)
