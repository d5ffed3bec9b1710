#include "agent/services/logs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/rpc/json.h"
#include "protocol/limits.h"
#include "tests/support/fake_stream.c"
#include "tests/support/unit.h"

static struct loop *loop;
static struct timer *guard;
static struct dispatch *dispatch;
static struct logs_service *service;
static struct stream *stream;
static struct json_document *document;

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
    stream = fake_stream_new(false);
}

static void teardown(void)
{
    json_free(document);
    document = NULL;
    fake_stream_free(stream);
    dispatch_free(dispatch);
    logs_free(service);
    timer_free(guard);
    loop_free(loop);
}

/* Supervisor and agent, which we are, each with an area. */
static void share(void)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, LOG_SHARED_BYTES), 0);
    ck_assert_int_eq(log_share(fd, LOG_AREA_SUPERVISOR, NULL), 0);
    log_info("supervisor 1", NULL);
    usleep(2000);
    ck_assert_int_eq(log_share(fd, LOG_AREA_AGENT, NULL), 0);
    log_warn("agent 1", NULL);
    usleep(2000);
    ck_assert_int_eq(log_share(fd, LOG_AREA_SUPERVISOR, NULL), 0);
    log_info("supervisor 2", NULL);
    ck_assert_int_eq(log_share(fd, LOG_AREA_AGENT, NULL), 0);
    close(fd);
}

static void run_for(unsigned ms)
{
    ck_assert_int_eq(timer_set(guard, ms * CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(loop, NULL), 0);
}

static void request(struct stream *on, const char *params)
{
    char text[512];
    snprintf(text, sizeof text, "{\"method\":\"log.tail\",\"params\":%s}", params);
    dispatch_request(dispatch, on, text, strlen(text));
}

static const struct json *parse(const char *text)
{
    json_free(document);
    ck_assert_int_eq(json_parse(text, strlen(text), &document, NULL), 0);
    return json_root(document);
}

/* The result of a call that ends at once. */
static const struct json *tail(const char *params)
{
    fake_stream_free(stream);
    stream = fake_stream_new(false);
    request(stream, params);
    ck_assert_uint_eq(stream->responses, 1);
    ck_assert_msg(!stream->is_error, "%s", stream->response);
    return parse(stream->response);
}

static int64_t int_at(const struct json *object, const char *name)
{
    int64_t number = -1;
    const struct json *value = json_member(object, name);
    ck_assert_msg(value && json_int(value, &number), "%s", name);
    return number;
}

static const char *text_at(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, name);
    ck_assert_msg(value && json_type(value) == JSON_STRING, "%s", name);
    return json_string(value);
}

static const struct json *line_at(const struct json *answer, size_t index)
{
    const struct json *line = json_first(json_member(answer, "lines"));
    while (index-- > 0)
        line = json_next(line);
    ck_assert_ptr_nonnull(line);
    return line;
}

static size_t line_count(const struct json *answer)
{
    return json_count(json_member(answer, "lines"));
}

static void pull(void)
{
    uint64_t allowance[NSP_CHANNEL_COUNT] = {0};
    struct stream_piece piece = {.kind = STREAM_DATA};
    stream->handler->pull(stream->arg, allowance, 65536, &piece);
    ck_assert_int_eq(piece.kind, STREAM_NOTHING);
}

START_TEST(the_last_lines_are_told_oldest_first)
{
    log_info("first", NULL);
    log_warn("second", "bytes=\"\xFF\"");
    log_write(LOG_ERROR, "third", NULL);
    const struct json *answer = tail("{\"lines\":2,\"source\":\"agent\"}");
    ck_assert_uint_eq(line_count(answer), 2);
    const struct json *line = line_at(answer, 0);
    ck_assert_int_eq(int_at(line, "seq"), 2);
    ck_assert_int_gt(int_at(line, "time_ms"), clock_unix_ms() - 10000);
    ck_assert_str_eq(text_at(line, "level"), "warn");
    ck_assert_str_eq(text_at(line, "source"), "agent");
    ck_assert_str_eq(text_at(line, "text"), "msg=\"second\" bytes=\"\xef\xbf\xbd\"");
    ck_assert_str_eq(text_at(line_at(answer, 1), "text"), "msg=\"third\"");
    ck_assert_int_eq(int_at(json_member(answer, "next"), "agent"), 4);
    ck_assert_int_eq(int_at(answer, "lost"), 0);
}
END_TEST

START_TEST(without_lines_the_place_is_told)
{
    const struct json *answer = tail("{}");
    ck_assert_uint_eq(line_count(answer), 0);
    ck_assert_int_eq(int_at(json_member(answer, "next"), "agent"), 1);
    log_info("one", NULL);
    answer = tail("{\"lines\":0}");
    ck_assert_uint_eq(line_count(answer), 0);
    ck_assert_int_eq(int_at(json_member(answer, "next"), "agent"), 2);
}
END_TEST

START_TEST(lines_of_all_are_in_the_order_of_time)
{
    static const char *const order[] = {"msg=\"supervisor 1\"", "msg=\"agent 1\"",
                                        "msg=\"supervisor 2\""};
    share();
    const struct json *answer = tail("{\"source\":\"all\"}");
    ck_assert_uint_eq(line_count(answer), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_str_eq(text_at(line_at(answer, i), "text"), order[i]);
    ck_assert_str_eq(text_at(line_at(answer, 0), "source"), "supervisor");
    ck_assert_int_eq(int_at(json_member(answer, "next"), "supervisor"), 3);
    ck_assert_int_eq(int_at(json_member(answer, "next"), "agent"), 2);
    ck_assert_uint_eq(line_count(tail("{\"source\":\"supervisor\"}")), 2);
}
END_TEST

START_TEST(lines_below_the_level_are_left_out)
{
    log_init("test", LOG_DEBUG);
    log_debug("debug", NULL);
    log_init("test", LOG_INFO);
    log_info("info", NULL);
    log_warn("warn", NULL);
    ck_assert_uint_eq(line_count(tail("{\"level\":\"debug\"}")), 3);
    ck_assert_uint_eq(line_count(tail("{\"level\":\"info\"}")), 2);
    const struct json *answer = tail("{\"level\":\"warn\",\"lines\":1}");
    ck_assert_str_eq(text_at(line_at(answer, 0), "text"), "msg=\"warn\"");
    ck_assert_uint_eq(line_count(tail("{\"level\":\"error\"}")), 0);
}
END_TEST

START_TEST(a_place_gives_the_next_lines_page_by_page)
{
    for (int i = 1; i <= 10; i++)
        log_info("line", "i=%d", i);
    const struct json *answer = tail("{\"lines\":4,\"agent_from\":3}");
    ck_assert_uint_eq(line_count(answer), 4);
    ck_assert_str_eq(text_at(line_at(answer, 0), "text"), "msg=\"line\" i=3");
    ck_assert_int_eq(int_at(json_member(answer, "next"), "agent"), 7);
    answer = tail("{\"lines\":40,\"agent_from\":7}");
    ck_assert_uint_eq(line_count(answer), 4);
    ck_assert_int_eq(int_at(json_member(answer, "next"), "agent"), 11);
    ck_assert_uint_eq(line_count(tail("{\"agent_from\":11}")), 0);
    ck_assert_uint_eq(line_count(tail("{\"agent_from\":1000}")), 10);
}
END_TEST

START_TEST(what_was_overwritten_is_counted)
{
    for (int i = 1; i <= 5000; i++)
        log_info("line", "i=%d", i);
    const struct json *answer = tail("{\"agent_from\":1,\"lines\":1}");
    ck_assert_int_gt(int_at(answer, "lost"), 1000);
    ck_assert_int_eq(int_at(answer, "lost") + 1, int_at(line_at(answer, 0), "seq"));
}
END_TEST

START_TEST(an_answer_fits_a_message_and_has_the_last_lines)
{
    char big[1200];
    memset(big, '\\', sizeof big);
    for (int i = 1; i <= 1000; i++)
        log_info("line", "i=%d text=%.*s", i, i % 2 ? 900 : 10, big);
    const struct json *answer = tail("{\"lines\":4096}");
    size_t count = line_count(answer);
    ck_assert_uint_gt(count, 100);
    ck_assert_int_eq(
        strncmp(text_at(line_at(answer, count - 1), "text"), "msg=\"line\" i=1000 ", 18), 0);
    ck_assert_uint_lt(strlen(stream->response), NSP_LIMIT_JSON_MESSAGE);
}
END_TEST

START_TEST(parameters_have_bounds)
{
    static const char *const bad[] = {"{\"lines\":-1}", "{\"lines\":4097}", "{\"source\":\"disk\"}",
                                      "{\"level\":\"loud\"}", "{\"agent_from\":-1}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fake_stream_free(stream);
        stream = fake_stream_new(false);
        request(stream, bad[i]);
        ck_assert_msg(fake_stream_failed_as(stream, "INVALID_PARAMS"), "%s", bad[i]);
    }
}
END_TEST

START_TEST(a_follower_is_told_at_once_and_of_each_new_line)
{
    log_info("old", NULL);
    log_info("last", NULL);
    request(stream, "{\"follow\":true,\"lines\":1,\"source\":\"agent\"}");
    ck_assert_uint_eq(stream->responses, 0);
    ck_assert_uint_eq(stream->ready, 1);
    pull();
    ck_assert_uint_eq(stream->notes, 1);
    ck_assert_str_eq(stream->note[0].method, "log.lines");
    const struct json *note = parse(stream->note[0].params);
    ck_assert_uint_eq(line_count(note), 1);
    ck_assert_str_eq(text_at(line_at(note, 0), "text"), "msg=\"last\"");
    pull();
    ck_assert_uint_eq(stream->notes, 1);

    unsigned ready = stream->ready;
    run_for(20);
    ck_assert_uint_eq(stream->ready, ready);
    log_info("new", NULL);
    log_info("newer", NULL);
    run_for(20);
    ck_assert_uint_eq(stream->ready, ready + 1);
    pull();
    ck_assert_uint_eq(stream->notes, 2);
    note = parse(stream->note[1].params);
    ck_assert_uint_eq(line_count(note), 2);
    ck_assert_int_eq(int_at(json_member(note, "next"), "agent"), 5);
    fake_stream_end(stream, STREAM_CANCELLED);
    ck_assert(fake_stream_failed_as(stream, "CANCELLED"));
    log_info("for nobody", NULL);
    run_for(20);
}
END_TEST

START_TEST(a_follower_looks_when_the_supervisor_wakes_us)
{
    share();
    request(stream, "{\"follow\":true,\"lines\":0,\"source\":\"supervisor\"}");
    pull();
    unsigned ready = stream->ready;
    logs_on_wake(service);
    run_for(20);
    ck_assert_uint_eq(stream->ready, ready + 1);
    pull();
    ck_assert_uint_eq(stream->notes, 1);
    fake_stream_end(stream, STREAM_LOST);
    logs_on_wake(service);
    run_for(20);
}
END_TEST

START_TEST(a_slow_follower_is_told_what_it_missed)
{
    request(stream, "{\"follow\":true,\"lines\":0}");
    pull();
    log_info("first", NULL);
    for (int i = 1; i <= 5000; i++)
        log_info("line", "i=%d", i);
    pull();
    const struct json *note = parse(stream->note[1].params);
    ck_assert_uint_eq(line_count(note), 256);
    ck_assert_int_eq(int_at(note, "lost") + 1, int_at(line_at(note, 0), "seq"));
    ck_assert_int_gt(int_at(note, "lost"), 1000);
    unsigned ready = stream->ready;
    pull();
    ck_assert_uint_eq(stream->notes, 3);
    ck_assert_uint_eq(stream->ready, ready + 1);
    fake_stream_end(stream, STREAM_LOST);
}
END_TEST

START_TEST(followers_have_a_limit)
{
    struct stream *others[NSP_LIMIT_LOG_FOLLOWERS];
    for (int i = 0; i < NSP_LIMIT_LOG_FOLLOWERS; i++) {
        others[i] = fake_stream_new(false);
        request(others[i], "{\"follow\":true}");
        ck_assert_uint_eq(others[i]->responses, 0);
    }
    request(stream, "{\"follow\":true}");
    ck_assert(fake_stream_failed_as(stream, "EXHAUSTED"));
    ck_assert(fake_stream_said(stream, "log_followers"));
    for (int i = 0; i < NSP_LIMIT_LOG_FOLLOWERS; i++) {
        fake_stream_end(others[i], i % 2 ? STREAM_LOST : STREAM_CANCELLED);
        fake_stream_free(others[i]);
    }
    fake_stream_free(stream);
    stream = fake_stream_new(false);
    request(stream, "{\"follow\":true}");
    ck_assert_uint_eq(stream->responses, 0);
    fake_stream_end(stream, STREAM_LOST);
}
END_TEST

static bool can_read_kernel(void)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

START_TEST(the_kernels_log_is_told_and_can_be_followed)
{
    if (!can_read_kernel())
        UNIT_SKIP("/dev/kmsg cannot be read here");
    const struct json *answer = tail("{\"source\":\"kernel\",\"lines\":2,\"level\":\"debug\"}");
    ck_assert_uint_eq(line_count(answer), 2);
    ck_assert_str_eq(text_at(line_at(answer, 1), "source"), "kernel");
    int64_t last = int_at(line_at(answer, 1), "seq");
    ck_assert_int_eq(int_at(json_member(answer, "next"), "kernel"), last + 1);

    char params[128];
    snprintf(params, sizeof params, "{\"source\":\"kernel\",\"kernel_from\":%lld}",
             (long long)last);
    ck_assert_int_eq(int_at(line_at(tail(params), 0), "seq"), last);
    /* A place that this kernel has not come to is another's. */
    snprintf(params, sizeof params, "{\"source\":\"kernel\",\"kernel_from\":%lld}",
             (long long)last + 1000000);
    ck_assert_uint_gt(line_count(tail(params)), 0);

    fake_stream_free(stream);
    stream = fake_stream_new(false);
    request(stream, "{\"source\":\"kernel\",\"follow\":true,\"lines\":1}");
    pull();
    ck_assert_uint_eq(stream->notes, 1);
    pull();
    run_for(20);
    fake_stream_end(stream, STREAM_CANCELLED);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("logs");
    TCase *tests = tcase_create("logs");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, the_last_lines_are_told_oldest_first);
    tcase_add_test(tests, without_lines_the_place_is_told);
    tcase_add_test(tests, lines_of_all_are_in_the_order_of_time);
    tcase_add_test(tests, lines_below_the_level_are_left_out);
    tcase_add_test(tests, a_place_gives_the_next_lines_page_by_page);
    tcase_add_test(tests, what_was_overwritten_is_counted);
    tcase_add_test(tests, an_answer_fits_a_message_and_has_the_last_lines);
    tcase_add_test(tests, parameters_have_bounds);
    tcase_add_test(tests, a_follower_is_told_at_once_and_of_each_new_line);
    tcase_add_test(tests, a_follower_looks_when_the_supervisor_wakes_us);
    tcase_add_test(tests, a_slow_follower_is_told_what_it_missed);
    tcase_add_test(tests, followers_have_a_limit);
    tcase_add_test(tests, the_kernels_log_is_told_and_can_be_followed);
    suite_add_tcase(all, tests);
    return all;
}

UNIT_MAIN(suite)
