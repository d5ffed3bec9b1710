/* Work in a child that may take too long. */
#include "agent/machine/bounded.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "tests/support/unit.h"

static volatile pid_t *worker; /* shared */

static void make_shared(void)
{
    worker = mmap(NULL, sizeof *worker, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *)worker, MAP_FAILED);
    *worker = 0;
}

static void work(void)
{
    usleep(20000);
    *worker = getpid();
}

static void hang(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    *worker = getpid();
    for (;;)
        pause();
}

static void crash(void)
{
    *worker = getpid();
    raise(SIGKILL);
}

static uint64_t since_ms(uint64_t began)
{
    return (clock_now_ns() - began) / CLOCK_NS_PER_MS;
}

static void assert_only_child(void)
{
    ck_assert_int_eq(waitpid(-1, NULL, 0), *worker);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

START_TEST(work_in_time_is_waited_for)
{
    uint64_t began = clock_now_ns();
    ck_assert(bounded_call(work, 20000));
    ck_assert_int_gt(*worker, 0);
    ck_assert_int_ne(*worker, getpid());
    ck_assert_uint_lt(since_ms(began), 10000);
    assert_only_child();
}
END_TEST

START_TEST(work_that_hangs_is_left_to_itself)
{
    uint64_t began = clock_now_ns();
    ck_assert(!bounded_call(hang, 100));
    ck_assert_uint_ge(since_ms(began), 100);
    ck_assert_uint_lt(since_ms(began), 10000);
    for (int i = 0; i < 5000 && *worker == 0; i++)
        usleep(1000);
    ck_assert_int_eq(kill(*worker, SIGKILL), 0);
    assert_only_child();
}
END_TEST

START_TEST(work_that_crashes_has_ended)
{
    ck_assert(bounded_call(crash, 20000));
    assert_only_child();
}
END_TEST

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += dup2(fd, fd) == fd;
    return count;
}

START_TEST(no_descriptor_is_left)
{
    unsigned before = open_descriptors();
    ck_assert(bounded_call(work, 20000));
    ck_assert(!bounded_call(hang, 1));
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("bounded");
    TCase *calls = tcase_create("calls");
    tcase_add_checked_fixture(calls, make_shared, NULL);
    tcase_set_timeout(calls, 60);
    tcase_add_test(calls, work_in_time_is_waited_for);
    tcase_add_test(calls, work_that_hangs_is_left_to_itself);
    tcase_add_test(calls, work_that_crashes_has_ended);
    tcase_add_test(calls, no_descriptor_is_left);
    suite_add_tcase(all, calls);
    return all;
}

UNIT_MAIN(suite)
