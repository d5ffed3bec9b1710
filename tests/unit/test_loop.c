#include "agent/loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "tests/support/unit.h"

static struct loop *loop;
static struct timer *guard;

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void set_up(void)
{
    ck_assert_int_eq(loop_new(&loop, NULL), 0);
    ck_assert_int_eq(timer_new(loop, stop, NULL, &guard, NULL), 0);
}

static void tear_down(void)
{
    timer_free(guard);
    loop_free(loop);
}

/* Runs until a callback stops the loop, or for so many milliseconds. */
static void run_for(unsigned ms)
{
    ck_assert_int_eq(timer_set(guard, ms * CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(loop, NULL), 0);
    timer_cancel(guard);
}

struct counter {
    int calls;
    unsigned ready;
    struct io *io;
    struct timer *timer;
    struct loop_deferred deferred;
    int repeat;
};

static void on_io_count(void *arg, unsigned ready)
{
    struct counter *counter = arg;
    counter->calls++;
    counter->ready |= ready;
    loop_stop(loop);
}

static void on_io_free(void *arg, unsigned ready)
{
    struct counter *counter = arg;
    (void)ready;
    counter->calls++;
    io_free(counter->io);
}

START_TEST(readable_descriptor_calls_back)
{
    int fds[2];
    struct counter counter = {0};
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(io_new(loop, fds[0], 0, on_io_count, &counter, &counter.io, NULL), 0);
    ck_assert_int_eq(io_fd(counter.io), fds[0]);
    ck_assert_uint_eq(io_wanted(counter.io), 0);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    run_for(20);
    ck_assert_int_eq(counter.calls, 0);
    ck_assert_int_eq(io_want(counter.io, IO_READ, NULL), 0);
    ck_assert_int_eq(io_want(counter.io, IO_READ, NULL), 0);
    run_for(1000);
    ck_assert_int_eq(counter.calls, 1);
    ck_assert_uint_eq(counter.ready, IO_READ);
    ck_assert_int_eq(io_want(counter.io, 0, NULL), 0);
    run_for(20);
    ck_assert_int_eq(counter.calls, 1);
    io_close(counter.io);
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
}
END_TEST

START_TEST(both_directions_are_told_apart)
{
    int fds[2];
    struct counter counter = {0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(
        io_new(loop, fds[0], IO_READ | IO_WRITE, on_io_count, &counter, &counter.io, NULL), 0);
    run_for(1000);
    ck_assert_uint_eq(counter.ready, IO_WRITE);
    ck_assert_int_eq(io_want(counter.io, IO_READ, NULL), 0);
    ck_assert_uint_eq(io_wanted(counter.io), IO_READ);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    counter.ready = 0;
    run_for(1000);
    ck_assert_uint_eq(counter.ready, IO_READ);
    io_close(counter.io);
    close(fds[1]);
}
END_TEST

START_TEST(hang_up_counts_as_wanted_direction)
{
    int fds[2];
    struct counter counter = {0};
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    ck_assert_int_eq(io_new(loop, fds[1], IO_READ, on_io_count, &counter, &counter.io, NULL), 0);
    close(fds[0]);
    run_for(1000);
    ck_assert_uint_eq(counter.ready, IO_READ);
    io_close(counter.io);
}
END_TEST

START_TEST(io_may_free_itself_in_its_callback)
{
    int fds[2];
    struct counter counter = {0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(
        io_new(loop, fds[0], IO_READ | IO_WRITE, on_io_free, &counter, &counter.io, NULL), 0);
    run_for(20);
    ck_assert_int_eq(counter.calls, 1);
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), 0);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(refused_interest_leaves_the_state)
{
    struct counter counter = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    /* A regular file cannot be watched (epoll_ctl(2), EPERM). */
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_new(loop, fd, 0, on_io_count, &counter, &counter.io, NULL), 0);
    ck_assert_int_eq(io_want(counter.io, IO_READ, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, EPERM);
    ck_assert_uint_eq(io_wanted(counter.io), 0);
    io_close(counter.io);
    io_close(NULL);
    io_free(NULL);
}
END_TEST

START_TEST(what_cannot_be_watched_from_the_start_is_left_alone)
{
    struct counter counter = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(io_new(loop, fd, IO_READ, on_io_count, &counter, &counter.io, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, EPERM);
    ck_assert_ptr_null(counter.io);
    ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
    close(fd);
}
END_TEST

/* What is watched is the open file description, which outlives a close while a copy is there. */
START_TEST(closed_io_is_silent_though_a_copy_is_open)
{
    int fds[2];
    struct counter counter = {0};
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    int copy = dup(fds[0]);
    ck_assert_int_eq(io_new(loop, fds[0], IO_READ, on_io_count, &counter, &counter.io, NULL), 0);
    io_close(counter.io);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    run_for(20);
    ck_assert_int_eq(counter.calls, 0);
    close(copy);
    close(fds[1]);
}
END_TEST

static void on_time_count(void *arg)
{
    struct counter *counter = arg;
    counter->calls++;
    loop_stop(loop);
}

static void on_time_free(void *arg)
{
    struct counter *counter = arg;
    counter->calls++;
    timer_free(counter->timer);
    loop_stop(loop);
}

START_TEST(timer_runs_once_and_never_early)
{
    struct counter counter = {0};
    ck_assert_int_eq(timer_new(loop, on_time_count, &counter, &counter.timer, NULL), 0);
    for (unsigned ms = 1; ms <= 21; ms += 5) {
        uint64_t before = clock_now_ns();
        counter.calls = 0;
        ck_assert_int_eq(timer_set(counter.timer, ms * CLOCK_NS_PER_MS, NULL), 0);
        run_for(2000);
        ck_assert_int_eq(counter.calls, 1);
        ck_assert_uint_ge(clock_now_ns() - before, ms * CLOCK_NS_PER_MS);
    }
    run_for(30);
    ck_assert_int_eq(counter.calls, 1);
    timer_free(counter.timer);
    timer_free(NULL);
}
END_TEST

START_TEST(timer_set_again_replaces_and_cancel_stops)
{
    struct counter counter = {0};
    ck_assert_int_eq(timer_new(loop, on_time_count, &counter, &counter.timer, NULL), 0);
    ck_assert_int_eq(timer_set(counter.timer, CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(timer_set(counter.timer, UINT64_MAX, NULL), 0);
    run_for(20);
    ck_assert_int_eq(counter.calls, 0);
    ck_assert_int_eq(timer_set(counter.timer, CLOCK_NS_PER_MS, NULL), 0);
    timer_cancel(counter.timer);
    run_for(20);
    ck_assert_int_eq(counter.calls, 0);
    timer_free(counter.timer);
}
END_TEST

START_TEST(timer_may_free_itself_in_its_callback)
{
    struct counter counter = {0};
    ck_assert_int_eq(timer_new(loop, on_time_free, &counter, &counter.timer, NULL), 0);
    ck_assert_int_eq(timer_set(counter.timer, CLOCK_NS_PER_MS, NULL), 0);
    run_for(1000);
    ck_assert_int_eq(counter.calls, 1);
}
END_TEST

static void on_deferred_count(void *arg)
{
    struct counter *counter = arg;
    counter->calls++;
    if (counter->repeat > 0 && counter->repeat-- > 0)
        loop_defer(loop, &counter->deferred);
}

START_TEST(deferred_call_runs_once_however_often_deferred)
{
    struct counter counter = {0};
    counter.deferred = (struct loop_deferred){.callback = on_deferred_count, .arg = &counter};
    loop_defer(loop, &counter.deferred);
    loop_defer(loop, &counter.deferred);
    ck_assert_int_eq(counter.calls, 0);
    run_for(10);
    ck_assert_int_eq(counter.calls, 1);
}
END_TEST

START_TEST(undeferred_call_does_not_run)
{
    struct counter counters[3] = {0};
    for (int skip = 0; skip < 3; skip++) {
        for (int i = 0; i < 3; i++) {
            counters[i].calls = 0;
            counters[i].deferred =
                (struct loop_deferred){.callback = on_deferred_count, .arg = &counters[i]};
            loop_defer(loop, &counters[i].deferred);
        }
        loop_undefer(loop, &counters[skip].deferred);
        loop_undefer(loop, &counters[skip].deferred);
        run_for(10);
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(counters[i].calls, i != skip);
    }
}
END_TEST

START_TEST(endless_deferring_does_not_starve_descriptors)
{
    struct counter deferring = {.repeat = 1 << 30}, counter = {0};
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(io_new(loop, fds[0], IO_READ, on_io_count, &counter, &counter.io, NULL), 0);
    deferring.deferred = (struct loop_deferred){.callback = on_deferred_count, .arg = &deferring};
    loop_defer(loop, &deferring.deferred);
    run_for(2000);
    ck_assert_int_eq(counter.calls, 1);
    ck_assert_int_le(deferring.calls, 3);
    loop_undefer(loop, &deferring.deferred);
    io_close(counter.io);
    close(fds[1]);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("loop");
    TCase *tcase = tcase_create("loop");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, readable_descriptor_calls_back);
    tcase_add_test(tcase, both_directions_are_told_apart);
    tcase_add_test(tcase, hang_up_counts_as_wanted_direction);
    tcase_add_test(tcase, io_may_free_itself_in_its_callback);
    tcase_add_test(tcase, refused_interest_leaves_the_state);
    tcase_add_test(tcase, what_cannot_be_watched_from_the_start_is_left_alone);
    tcase_add_test(tcase, closed_io_is_silent_though_a_copy_is_open);
    tcase_add_test(tcase, timer_runs_once_and_never_early);
    tcase_add_test(tcase, timer_set_again_replaces_and_cancel_stops);
    tcase_add_test(tcase, timer_may_free_itself_in_its_callback);
    tcase_add_test(tcase, deferred_call_runs_once_however_often_deferred);
    tcase_add_test(tcase, undeferred_call_does_not_run);
    tcase_add_test(tcase, endless_deferring_does_not_starve_descriptors);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
