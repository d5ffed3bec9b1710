#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "agent/rpc/dispatch.h"
#include "protocol/limits.h"
#include "tests/support/fake_stream.c"
#include "tests/support/unit.h"

static struct dispatch *dispatch;
static struct stream *stream;

/* A service whose handlers do what a service may do, and what it must not. */
static struct service {
    struct call *kept;
    int64_t seen;
    unsigned gone;
    enum stream_gone why;
    bool answers_when_gone;
} service;

static void on_fail(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    struct nsp_error err;
    nsp_fail_on(&err, NSP_E_NOT_FOUND, "thing", "no thing");
    call_fail(call, &err);
}

static void on_twice(void *arg, struct call *call, const void *params)
{
    on_fail(arg, call, params);
    call_reply(call, reply_new());
    on_fail(arg, call, params);
    call_notify(call, "late", reply_new());
}

static void on_never(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)call;
    (void)params;
}

static void on_empty(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    call_reply(call, NULL);
}

static void on_large(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    struct reply *reply = reply_new();
    char *bytes = calloc(1, NSP_LIMIT_JSON_MESSAGE);
    memset(bytes, 'x', NSP_LIMIT_JSON_MESSAGE - 1);
    reply_text(reply, "large", bytes);
    free(bytes);
    call_reply(call, reply);
}

static void on_gone(void *arg, enum stream_gone why)
{
    (void)arg;
    service.gone++;
    service.why = why;
    if (service.answers_when_gone)
        call_reply(service.kept, reply_new());
}

static void on_data(void *arg, uint8_t channel, const void *bytes, size_t length)
{
    (void)arg;
    (void)bytes;
    ck_assert_int_eq(channel, NSP_CHANNEL_STDIN);
    service.seen += (int64_t)length;
    /* A call may end inside its own callback. */
    if (length == 99)
        call_reply(service.kept, reply_new());
}

static void on_pull(void *arg, const uint64_t *allowance, size_t max, struct stream_piece *piece)
{
    (void)arg;
    (void)max;
    *piece = (struct stream_piece){.kind = STREAM_END, .offset = allowance[1]};
}

static void on_consumed(void *arg, uint8_t channel, uint64_t offset)
{
    (void)arg;
    service.seen = (int64_t)offset + channel;
}

static void on_end(void *arg, uint8_t channel)
{
    (void)arg;
    service.seen = channel;
}

static const struct stream_handler gone_only = {.gone = on_gone};
static const struct stream_handler input_only = {.data = on_data, .gone = on_gone};
static const struct stream_handler everything = {
    .pull = on_pull, .consumed = on_consumed, .data = on_data, .end = on_end, .gone = on_gone};

static void keep(struct call *call, const struct stream_handler *handler)
{
    service.kept = call;
    call_set_handler(call, handler, &service);
}

static void on_wait(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    keep(call, &gone_only);
}

static void on_input(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    stream_open_input(call_stream(call), NSP_CHANNEL_STDIN, 5, 100);
    keep(call, &input_only);
}

static void on_everything(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    keep(call, &everything);
}

static void on_cancel_itself(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    keep(call, &gone_only);
    ck_assert_int_eq(stream_cancel_labelled(call_stream(call), "1", 1, NULL), 0);
    call_reply(call, reply_new());
}

static const struct method methods[] = {
    {.name = "wait", .handler = on_wait},
    {.name = "fail", .handler = on_fail},
    {.name = "twice", .handler = on_twice},
    {.name = "never", .handler = on_never},
    {.name = "empty", .handler = on_empty},
    {.name = "large", .handler = on_large},
    {.name = "input", .handler = on_input},
    {.name = "everything", .handler = on_everything},
    {.name = "cancel_itself", .handler = on_cancel_itself},
};
enum { METHODS = sizeof methods / sizeof *methods };

static void setup(void)
{
    service = (struct service){.kept = NULL};
    ck_assert_int_eq(dispatch_new(&dispatch, NULL), 0);
    ck_assert_int_eq(dispatch_add(dispatch, methods, METHODS, &service, NULL), 0);
    stream = fake_stream_new(false);
}

static void teardown(void)
{
    fake_stream_free(stream);
    dispatch_free(dispatch);
}

static void renew(bool is_text)
{
    fake_stream_free(stream);
    stream = fake_stream_new(is_text);
}

static void request(const char *text)
{
    dispatch_request(dispatch, stream, text, strlen(text));
}

static void assert_error(const char *name, const char *object)
{
    char member[128];
    snprintf(member, sizeof member, "\"object\":\"%s\"", object);
    ck_assert_msg(fake_stream_failed_as(stream, name), "%s",
                  stream->response ? stream->response : "no answer");
    ck_assert_msg(!object[0] || fake_stream_said(stream, member), "%s", stream->response);
}

static void assert_result(const char *text)
{
    ck_assert_uint_eq(stream->responses, 1);
    ck_assert(!stream->is_error);
    ck_assert_str_eq(stream->response, text);
}

START_TEST(a_handler_can_fail)
{
    request("{\"method\":\"fail\"}");
    assert_error("NOT_FOUND", "thing");
}
END_TEST

START_TEST(only_the_first_answer_counts)
{
    request("{\"method\":\"twice\"}");
    assert_error("NOT_FOUND", "thing");
    ck_assert_uint_eq(stream->responses, 1);
    ck_assert_uint_eq(stream->notes, 0);
}
END_TEST

START_TEST(a_handler_that_forgets_to_answer_is_an_agent_error)
{
    request("{\"method\":\"never\"}");
    assert_error("INTERNAL", "never");
}
END_TEST

START_TEST(a_reply_without_memory_or_too_large_is_exhausted)
{
    request("{\"method\":\"empty\"}");
    assert_error("EXHAUSTED", "");
    renew(false);
    request("{\"method\":\"large\"}");
    assert_error("EXHAUSTED", "json_message");
}
END_TEST

START_TEST(a_call_may_notify_and_answer_later)
{
    request("{\"method\":\"wait\"}");
    ck_assert_uint_eq(stream->responses, 0);
    ck_assert_ptr_eq(call_stream(service.kept), stream);
    struct reply *note = reply_new();
    reply_int(note, "n", 1);
    call_notify(service.kept, "process.started", note);
    ck_assert_str_eq(stream->note[0].method, "process.started");
    ck_assert_str_eq(stream->note[0].params, "{\"n\":1}");
    call_reply(service.kept, reply_new());
    assert_result("{}");
}
END_TEST

START_TEST(a_notification_that_is_lost_fails_the_call)
{
    request("{\"method\":\"wait\"}");
    call_notify(service.kept, "process.started", NULL);
    ck_assert_uint_eq(stream->notes, 0);
    call_reply(service.kept, reply_new());
    assert_error("EXHAUSTED", "");
}
END_TEST

START_TEST(a_cancelled_call_is_answered_for_the_service)
{
    request("{\"method\":\"wait\"}");
    fake_stream_end(stream, STREAM_CANCELLED);
    assert_error("CANCELLED", "wait");
    ck_assert_uint_eq(service.gone, 1);
    ck_assert_int_eq(service.why, STREAM_CANCELLED);
}
END_TEST

START_TEST(a_call_past_its_deadline_is_answered_for_the_service)
{
    request("{\"method\":\"wait\",\"deadline_ms\":10}");
    fake_stream_end(stream, STREAM_DEADLINE);
    assert_error("DEADLINE", "wait");
    ck_assert_int_eq(service.why, STREAM_DEADLINE);
}
END_TEST

START_TEST(a_lost_call_is_not_answered)
{
    request("{\"method\":\"wait\"}");
    fake_stream_end(stream, STREAM_LOST);
    ck_assert_uint_eq(stream->responses, 0);
    ck_assert_uint_eq(service.gone, 1);
}
END_TEST

START_TEST(an_answer_in_gone_is_dropped)
{
    service.answers_when_gone = true;
    request("{\"method\":\"wait\"}");
    fake_stream_end(stream, STREAM_CANCELLED);
    assert_error("CANCELLED", "wait");
    renew(false);
    request("{\"method\":\"wait\"}");
    fake_stream_end(stream, STREAM_LOST);
    ck_assert_uint_eq(stream->responses, 0);
}
END_TEST

START_TEST(a_call_that_cancels_itself_ends_once)
{
    renew(true);
    request("{\"id\":1,\"method\":\"cancel_itself\"}");
    assert_error("CANCELLED", "cancel_itself");
    ck_assert_uint_eq(service.gone, 1);
}
END_TEST

START_TEST(input_reaches_the_service_and_may_end_the_call)
{
    request("{\"method\":\"input\"}");
    ck_assert_uint_eq(stream->input_from, 5);
    stream->handler->data(stream->arg, NSP_CHANNEL_STDIN, "abc", 3);
    ck_assert_int_eq(service.seen, 3);
    char bytes[99] = "";
    stream->handler->data(stream->arg, NSP_CHANNEL_STDIN, bytes, sizeof bytes);
    assert_result("{}");
}
END_TEST

START_TEST(what_a_service_leaves_out_is_left_out_below)
{
    request("{\"method\":\"input\"}");
    ck_assert_ptr_null(stream->handler->pull);
    ck_assert_ptr_null(stream->handler->consumed);
    ck_assert_ptr_null(stream->handler->end);
    fake_stream_end(stream, STREAM_LOST);
}
END_TEST

START_TEST(all_of_a_handler_is_passed_through)
{
    uint64_t allowance[NSP_CHANNEL_COUNT] = {0, 17, 0, 0};
    struct stream_piece piece;
    request("{\"method\":\"everything\"}");
    stream->handler->pull(stream->arg, allowance, 10, &piece);
    ck_assert_int_eq(piece.kind, STREAM_END);
    ck_assert_uint_eq(piece.offset, 17);
    stream->handler->consumed(stream->arg, 2, 100);
    ck_assert_int_eq(service.seen, 102);
    stream->handler->end(stream->arg, 1);
    ck_assert_int_eq(service.seen, 1);
    fake_stream_end(stream, STREAM_LOST);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("call");
    TCase *tests = tcase_create("call");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_handler_can_fail);
    tcase_add_test(tests, only_the_first_answer_counts);
    tcase_add_test(tests, a_handler_that_forgets_to_answer_is_an_agent_error);
    tcase_add_test(tests, a_reply_without_memory_or_too_large_is_exhausted);
    tcase_add_test(tests, a_call_may_notify_and_answer_later);
    tcase_add_test(tests, a_notification_that_is_lost_fails_the_call);
    tcase_add_test(tests, a_cancelled_call_is_answered_for_the_service);
    tcase_add_test(tests, a_call_past_its_deadline_is_answered_for_the_service);
    tcase_add_test(tests, a_lost_call_is_not_answered);
    tcase_add_test(tests, an_answer_in_gone_is_dropped);
    tcase_add_test(tests, a_call_that_cancels_itself_ends_once);
    tcase_add_test(tests, input_reaches_the_service_and_may_end_the_call);
    tcase_add_test(tests, what_a_service_leaves_out_is_left_out_below);
    tcase_add_test(tests, all_of_a_handler_is_passed_through);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
