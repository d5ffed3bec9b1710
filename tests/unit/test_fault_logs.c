/* No memory on the way of log.tail: it is answered once, a follower's end is told, and
 * nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/services/logs.h"
#include "protocol/limits.h"
#include "tests/support/fault.h"
#include "tests/support/unit.h"

/* The fake stream's own memory never ends. */
char *__real_strndup(const char *text, size_t length);
void *__real_calloc(size_t count, size_t size);
#define strndup __real_strndup
#define calloc __real_calloc
#include "tests/support/fake_stream.c"
#undef strndup
#undef calloc

enum { ALLOCATIONS_MAX = 2000 };

static struct loop *loop;
static struct timer *guard;
static struct dispatch *dispatch;
static struct logs_service *service;

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void setup(void)
{
    int output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(output, STDERR_FILENO);
    close(output);
    log_init("test", LOG_INFO);
    ck_assert_int_eq(loop_new(&loop, NULL), 0);
    ck_assert_int_eq(timer_new(loop, stop, NULL, &guard, NULL), 0);
    ck_assert_int_eq(logs_new(loop, &service, NULL), 0);
    ck_assert_int_eq(dispatch_new(&dispatch, NULL), 0);
    size_t count;
    const struct method *methods = logs_methods(&count);
    ck_assert_int_eq(dispatch_add(dispatch, methods, count, service, NULL), 0);
    log_info("one", NULL);
    log_info("two", NULL);
}

static void teardown(void)
{
    dispatch_free(dispatch);
    logs_free(service);
    timer_free(guard);
    loop_free(loop);
}

static void run_for(unsigned ms)
{
    ck_assert_int_eq(timer_set(guard, ms * CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(loop, NULL), 0);
}

static void pull(struct stream *stream)
{
    uint64_t allowance[NSP_CHANNEL_COUNT] = {0};
    struct stream_piece piece;
    if (stream->responses == 0)
        stream->handler->pull(stream->arg, allowance, 65536, &piece);
}

/* False when fewer calls were made than the one that is to fail. */
static bool request(const char *text, uint32_t kinds, uint64_t first)
{
    struct stream *stream = fake_stream_new(false);
    fault_arm(kinds, ENOMEM, first);
    dispatch_request(dispatch, stream, text, strlen(text));
    pull(stream);
    pull(stream);
    bool failed = fault_disarm() > 0;
    run_for(1);
    if (stream->responses == 0)
        fake_stream_end(stream, STREAM_CANCELLED);
    ck_assert_uint_eq(stream->responses, 1);
    ck_assert_msg(failed || stream->notes > 0 || !stream->is_error, "%s", stream->response);
    fake_stream_free(stream);
    return failed;
}

static void each_allocation_fails(const char *text)
{
    uint64_t first = 1;
    while (request(text, FAULT_ALLOC, first))
        ck_assert_uint_lt(first++, ALLOCATIONS_MAX);
    ck_assert_uint_gt(first, 5);
    /* Nobody who has failed counts as a follower. */
    for (unsigned i = 0; i < 2 * NSP_LIMIT_LOG_FOLLOWERS; i++)
        ck_assert(!request(text, FAULT_CLONE, 1));
}

START_TEST(without_memory_the_lines_are_told_or_refused)
{
    each_allocation_fails("{\"method\":\"log.tail\"}");
}
END_TEST

START_TEST(without_memory_a_follower_is_told_its_end)
{
    each_allocation_fails("{\"method\":\"log.tail\",\"params\":{\"follow\":true}}");
}
END_TEST

START_TEST(without_memory_a_follower_of_the_kernel_is_told_its_end)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        UNIT_SKIP("/dev/kmsg cannot be read here");
    close(fd);
    const char *text =
        "{\"method\":\"log.tail\",\"params\":{\"source\":\"kernel\",\"follow\":true,\"lines\":1}}";
    each_allocation_fails(text);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault_logs");
    TCase *tests = tcase_create("fault");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, without_memory_the_lines_are_told_or_refused);
    tcase_add_test(tests, without_memory_a_follower_is_told_its_end);
    tcase_add_test(tests, without_memory_a_follower_of_the_kernel_is_told_its_end);
    suite_add_tcase(all, tests);
    return all;
}

UNIT_MAIN(suite)
