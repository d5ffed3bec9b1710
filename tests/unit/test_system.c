#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/rpc/json.h"
#include "agent/services/system.h"
#include "protocol/limits.h"
#include "tests/support/fake_stream.c"
#include "tests/support/unit.h"

static struct dispatch *dispatch;
static struct system_service *service;
static struct stream *stream;
static struct json_document *document;

static void write_more(void *arg, struct reply *reply)
{
    reply_int(reply, arg, 11);
}

static void setup(void)
{
    static const char *const transports[] = {"unix:/run/agent.sock", "vsock:1024", NULL};
    static const char *const features[] = {"text-mode", NULL};
    static char first[] = "processes", second[] = "rings";
    static const struct system_stats stats[] = {{write_more, first}, {write_more, second}};
    ck_assert_int_eq(dispatch_new(&dispatch, NULL), 0);
    const struct system_facts facts = {
        .version = "1.2.3",
        .boot_id = "00000000-0000-0000-0000-000000000000",
        .generation = 3,
        .mode = "process",
        .supervisor = 42,
        .started_ns = clock_now_ns() - 5 * CLOCK_NS_PER_S,
        .directory = "/workspace",
        .transports = transports,
        .features = features,
        .dispatch = dispatch,
        .sessions = (const struct session_server *)&service,
        .stats = stats,
        .stats_count = 2,
    };
    ck_assert_int_eq(system_new(&facts, &service, NULL), 0);
    size_t count;
    const struct method *methods = system_methods(&count);
    ck_assert_int_eq(dispatch_add(dispatch, methods, count, service, NULL), 0);
    stream = fake_stream_new(false);
}

static void teardown(void)
{
    json_free(document);
    document = NULL;
    fake_stream_free(stream);
    system_free(service);
    dispatch_free(dispatch);
}

static void become_text(void)
{
    fake_stream_free(stream);
    stream = fake_stream_new(true);
}

/* The result of a request that must succeed. */
static const struct json *result_of(const char *text)
{
    dispatch_request(dispatch, stream, text, strlen(text));
    ck_assert_uint_eq(stream->responses, 1);
    ck_assert_msg(!stream->is_error, "%s", stream->response);
    ck_assert_int_eq(json_parse(stream->response, strlen(stream->response), &document, NULL), 0);
    return json_root(document);
}

static const char *text_at(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, name);
    ck_assert_msg(value && json_type(value) == JSON_STRING, "%s", name);
    return json_string(value);
}

static int64_t int_at(const struct json *object, const char *name)
{
    int64_t number = -1;
    const struct json *value = json_member(object, name);
    ck_assert_msg(value && json_int(value, &number), "%s", name);
    return number;
}

START_TEST(hello_tells_who_we_are)
{
    stream->greeted = false;
    const struct json *hello = result_of("{\"method\":\"hello\",\"params\":{\"client\":\"me\"}}");
    ck_assert(stream->greeted);
    ck_assert_str_eq(stream->client, "me");
    ck_assert_str_eq(text_at(hello, "protocol"), "1.0");
    ck_assert_str_eq(text_at(hello, "agent"), "nullspace-agent");
    ck_assert_str_eq(text_at(hello, "version"), "1.2.3");
    ck_assert_str_eq(text_at(hello, "boot_id"), "00000000-0000-0000-0000-000000000000");
    ck_assert_int_eq(int_at(hello, "generation"), 3);
    ck_assert_str_eq(json_string(json_first(json_member(hello, "features"))), "text-mode");
    const struct json *keepalive = json_member(hello, "keepalive");
    ck_assert_int_eq(int_at(keepalive, "idle_ms"), NSP_LIMIT_KEEPALIVE_IDLE);
    ck_assert_int_eq(int_at(keepalive, "dead_ms"), NSP_LIMIT_KEEPALIVE_DEAD);
}
END_TEST

START_TEST(hello_tells_every_limit_in_lower_case)
{
    static const struct {
        const char *name;
        int64_t value;
    } table[] = {
#define X(name, value, unit, meaning) {#name, value},
#include "protocol/limits.def"
#undef X
    };
    const struct json *limits = json_member(result_of("{\"method\":\"hello\"}"), "limits");
    ck_assert_uint_eq(json_count(limits), sizeof table / sizeof *table);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char name[64];
        size_t length = strlen(table[i].name);
        for (size_t at = 0; at <= length; at++)
            name[at] = (char)tolower((unsigned char)table[i].name[at]);
        ck_assert_int_eq(int_at(limits, name), table[i].value);
    }
}
END_TEST

START_TEST(hello_checks_the_token)
{
    stream->greeted = false;
    stream->needs_token = true;
    stream->token = "secret";
    const char *text = "{\"method\":\"hello\",\"params\":{\"token\":\"wrong\"}}";
    dispatch_request(dispatch, stream, text, strlen(text));
    ck_assert(fake_stream_failed_as(stream, "UNAUTHENTICATED"));
    ck_assert(!stream->greeted);
    fake_stream_free(stream);
    stream = fake_stream_new(false);
    stream->greeted = false;
    stream->needs_token = true;
    stream->token = "secret";
    result_of("{\"method\":\"hello\",\"params\":{\"token\":\"secret\"}}");
    ck_assert(stream->greeted);
}
END_TEST

START_TEST(hello_refuses_what_it_does_not_know)
{
    const char *text = "{\"method\":\"hello\",\"params\":{\"versions\":[1]}}";
    dispatch_request(dispatch, stream, text, strlen(text));
    ck_assert(fake_stream_failed_as(stream, "INVALID_PARAMS"));
    ck_assert(fake_stream_said(stream, "\"object\":\"versions\""));
}
END_TEST

START_TEST(ping_answers_nothing)
{
    result_of("{\"method\":\"ping\"}");
    ck_assert_str_eq(stream->response, "{}");
}
END_TEST

START_TEST(ping_needs_hello)
{
    stream->greeted = false;
    const char *text = "{\"method\":\"ping\"}";
    dispatch_request(dispatch, stream, text, strlen(text));
    ck_assert(fake_stream_failed_as(stream, "HELLO_REQUIRED"));
}
END_TEST

START_TEST(info_tells_what_runs_here)
{
    const struct json *info = result_of("{\"method\":\"info\"}");
    ck_assert_str_eq(text_at(info, "version"), "1.2.3");
    ck_assert_str_eq(text_at(info, "protocol"), "1.0");
    ck_assert_str_eq(text_at(info, "mode"), "process");
    ck_assert_str_eq(text_at(info, "directory"), "/workspace");
    ck_assert_int_eq(int_at(info, "pid"), getpid());
    ck_assert_int_eq(int_at(info, "supervisor_pid"), 42);
    ck_assert_int_eq(int_at(info, "generation"), 3);
    ck_assert_int_ge(int_at(info, "uptime_ms"), 5000);
    ck_assert_uint_eq(json_count(json_member(info, "transports")), 2);
    ck_assert_str_ne(text_at(json_member(info, "kernel"), "release"), "");
    ck_assert_int_eq(json_type(json_member(info, "missing")), JSON_ARRAY);
}
END_TEST

START_TEST(stats_come_from_all_who_have_some)
{
    const struct json *stats = result_of("{\"method\":\"stats\"}");
    ck_assert_int_gt(int_at(stats, "resident_kib"), 0);
    ck_assert_int_gt(int_at(stats, "fds"), 0);
    ck_assert_int_eq(int_at(stats, "restarts"), 2);
    ck_assert_int_eq(int_at(stats, "connections"), 3);
    ck_assert_int_eq(int_at(stats, "bytes_out"), 42);
    ck_assert_int_eq(int_at(stats, "processes"), 11);
    ck_assert_int_eq(int_at(stats, "rings"), 11);
}
END_TEST

START_TEST(discover_describes_every_method)
{
    const struct json *found = result_of("{\"method\":\"rpc.discover\"}");
    const struct json *list = json_member(found, "methods");
    size_t count;
    system_methods(&count);
    ck_assert_uint_eq(json_count(list), count);
    ck_assert_str_eq(text_at(json_member(found, "info"), "version"), "1.2.3");
    for (const struct json *method = json_first(list); method; method = json_next(method)) {
        ck_assert_str_ne(text_at(method, "summary"), "");
        ck_assert_str_ne(
            text_at(json_member(json_member(method, "result"), "schema"), "description"), "");
    }
}
END_TEST

static unsigned gone;

static void on_gone(void *arg, enum stream_gone why)
{
    struct stream *other = arg;
    ck_assert_int_eq(why, STREAM_CANCELLED);
    gone++;
    stream_respond(other, "{}", 2, true);
}

START_TEST(cancel_ends_the_call_with_that_id)
{
    static const struct stream_handler handler = {.gone = on_gone};
    struct stream *other = fake_stream_new(true);
    become_text();
    ck_assert_int_eq(stream_set_label(other, "\"x\"", 3, NULL), 0);
    stream_set_handler(other, &handler, other);
    stream->other = other;
    result_of("{\"id\":1,\"method\":\"cancel\",\"params\":{\"id\":\"\\u0078\"}}");
    ck_assert_str_eq(stream->response, "{}");
    ck_assert_uint_eq(gone, 1);
    fake_stream_free(other);
}
END_TEST

START_TEST(cancel_of_an_unknown_id_is_not_found)
{
    const char *text = "{\"id\":1,\"method\":\"cancel\",\"params\":{\"id\":2}}";
    become_text();
    dispatch_request(dispatch, stream, text, strlen(text));
    ck_assert(fake_stream_failed_as(stream, "NOT_FOUND"));
}
END_TEST

START_TEST(cancel_is_for_text_mode)
{
    const char *text = "{\"method\":\"cancel\",\"params\":{\"id\":2}}";
    dispatch_request(dispatch, stream, text, strlen(text));
    ck_assert(fake_stream_failed_as(stream, "UNSUPPORTED"));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("system");
    TCase *tests = tcase_create("system");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, hello_tells_who_we_are);
    tcase_add_test(tests, hello_tells_every_limit_in_lower_case);
    tcase_add_test(tests, hello_checks_the_token);
    tcase_add_test(tests, hello_refuses_what_it_does_not_know);
    tcase_add_test(tests, ping_answers_nothing);
    tcase_add_test(tests, ping_needs_hello);
    tcase_add_test(tests, info_tells_what_runs_here);
    tcase_add_test(tests, stats_come_from_all_who_have_some);
    tcase_add_test(tests, discover_describes_every_method);
    tcase_add_test(tests, cancel_ends_the_call_with_that_id);
    tcase_add_test(tests, cancel_of_an_unknown_id_is_not_found);
    tcase_add_test(tests, cancel_is_for_text_mode);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
