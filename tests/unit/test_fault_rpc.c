/* No memory on the way of a request: at each allocation it is answered once all the same, with its
 * result or with EXHAUSTED. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rpc/describe.h"
#include "agent/rpc/dispatch.h"
#include "protocol/channel.h"
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

static struct dispatch *dispatch;
static struct call *later;

struct echo_params {
    const char *text;
    struct param_bytes bytes;
    struct param_strings arguments, variables;
    struct param_limits limits;
    int64_t number;
};

#define FIELD(name_, type_)                                                                        \
    {                                                                                              \
        .name = #name_, .type = PARAM_##type_, .offset = offsetof(struct echo_params, name_),      \
        .doc = "A field."                                                                          \
    }
static const struct param_field echo_fields[] = {
    FIELD(text, STRING),         FIELD(bytes, BYTES),   FIELD(arguments, ARGUMENTS),
    FIELD(variables, VARIABLES), FIELD(limits, LIMITS), FIELD(number, INT),
};

static void on_echo(void *arg, struct call *call, const void *params)
{
    const struct echo_params *echo = params;
    struct reply *reply = reply_new();
    (void)arg;
    reply_text(reply, "text", echo->text);
    reply_bytes(reply, "bytes", echo->bytes.data, echo->bytes.length);
    reply_open_array(reply, "arguments");
    for (size_t i = 0; i < echo->arguments.count; i++)
        reply_text(reply, NULL, echo->arguments.items[i]);
    reply_close(reply);
    reply_open_object(reply, "numbers");
    reply_int(reply, "number", echo->number);
    reply_u64(reply, "limit", echo->limits.items[0].hard);
    reply_close(reply);
    call_reply(call, reply);
}

static void on_gone(void *arg, enum stream_gone why)
{
    (void)arg;
    (void)why;
    later = NULL;
}

static void on_later(void *arg, struct call *call, const void *params)
{
    static const struct stream_handler handler = {.gone = on_gone};
    (void)params;
    later = call;
    call_set_handler(call, &handler, arg);
}

static void on_describe(void *arg, struct call *call, const void *params)
{
    struct reply *reply = reply_new();
    (void)arg;
    (void)params;
    describe_document(dispatch, "1", reply);
    call_reply(call, reply);
}

static const struct method methods[] = {
    {.name = "echo",
     .fields = echo_fields,
     .field_count = sizeof echo_fields / sizeof *echo_fields,
     .params_size = sizeof(struct echo_params),
     .handler = on_echo,
     .doc = "Echoes.",
     .returns = "The same."},
    {.name = "later", .handler = on_later, .doc = "Later.", .returns = "Nothing."},
    {.name = "describe", .handler = on_describe, .doc = "Describes.", .returns = "All."},
};
enum { METHODS = sizeof methods / sizeof *methods };

static void setup(void)
{
    ck_assert_int_eq(dispatch_new(&dispatch, NULL), 0);
    ck_assert_int_eq(dispatch_add(dispatch, methods, METHODS, NULL, NULL), 0);
}

static void teardown(void)
{
    dispatch_free(dispatch);
}

/* One request with one failing allocation. False when there were fewer of them. */
static bool request(const char *text, bool is_text, uint64_t first, bool (*finish)(void))
{
    struct stream *stream = fake_stream_new(is_text);
    fault_arm(FAULT_ALLOC, ENOMEM, first);
    dispatch_request(dispatch, stream, text, strlen(text));
    bool notified = !later || finish();
    bool failed = fault_disarm() > 0;
    ck_assert_uint_eq(stream->responses, 1);
    if (stream->is_error)
        ck_assert_msg(fake_stream_failed_as(stream, "EXHAUSTED"), "%s", stream->response);
    else
        ck_assert_msg(notified, "a notification was lost");
    ck_assert_msg(failed || !stream->is_error, "%s", stream->response);
    fake_stream_free(stream);
    return failed;
}

static void each_allocation_fails(const char *text, bool is_text, bool (*finish)(void))
{
    uint64_t first = 1;
    while (request(text, is_text, first, finish))
        ck_assert_uint_lt(first++, ALLOCATIONS_MAX);
    ck_assert_uint_gt(first, 4);
}

static const char echo[] =
    "{\"jsonrpc\":\"2.0\",\"id\":\"one\",\"method\":\"echo\",\"params\":{\"text\":\"t\","
    "\"bytes\":{\"b64\":\"AAEC\"},\"arguments\":[\"a\",\"b\",{\"b64\":\"/w==\"}],"
    "\"variables\":{\"A\":\"1\",\"B\":\"\"},\"limits\":{\"nofile\":{\"soft\":1,\"hard\":"
    "\"unlimited\"}},\"number\":\"12\"}}";

START_TEST(a_request_is_answered_once)
{
    each_allocation_fails(echo, false, NULL);
}
END_TEST

START_TEST(a_request_in_text_mode_is_answered_once)
{
    each_allocation_fails(echo, true, NULL);
}
END_TEST

/* Keys beyond those that the check has room for on its stack. */
START_TEST(a_request_with_many_keys_is_answered_once)
{
    static char text[8192];
    size_t length = (size_t)snprintf(text, sizeof text, "{\"method\":\"later\",\"params\":{");
    for (int i = 0; i < 300; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "\"k%d\":1,", i);
    snprintf(text + length, sizeof text - length, "\"last\":1}}");
    uint64_t first = 1;
    for (bool failed = true; failed; first++) {
        struct stream *stream = fake_stream_new(false);
        fault_arm(FAULT_ALLOC, ENOMEM, first);
        dispatch_request(dispatch, stream, text, strlen(text));
        failed = fault_disarm() > 0;
        ck_assert_uint_eq(stream->responses, 1);
        ck_assert(fake_stream_failed_as(stream, failed ? "EXHAUSTED" : "INVALID_PARAMS"));
        fake_stream_free(stream);
    }
    ck_assert_uint_gt(first, 300);
}
END_TEST

START_TEST(a_description_is_whole_or_an_error)
{
    each_allocation_fails("{\"method\":\"describe\"}", false, NULL);
}
END_TEST

static bool notify_and_reply(void)
{
    struct call *call = later;
    later = NULL;
    call_notify(call, "process.started", reply_new());
    bool notified = !call_is_broken(call);
    struct reply *reply = reply_new();
    reply_bool(reply, "done", true);
    call_reply(call, reply);
    return notified;
}

START_TEST(a_lost_notification_breaks_its_call)
{
    each_allocation_fails("{\"method\":\"later\"}", false, notify_and_reply);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault rpc");
    TCase *tcase = tcase_create("every allocation");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_request_is_answered_once);
    tcase_add_test(tcase, a_request_in_text_mode_is_answered_once);
    tcase_add_test(tcase, a_request_with_many_keys_is_answered_once);
    tcase_add_test(tcase, a_description_is_whole_or_an_error);
    tcase_add_test(tcase, a_lost_notification_breaks_its_call);
    suite_add_tcase(all, tcase);
    return all;
}

UNIT_MAIN(suite)
