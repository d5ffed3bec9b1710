#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/nsclient.h"
#include "protocol/limits.h"
#include "tests/support/fake_agent.h"
#include "tests/support/unit.h"

static struct fake_agent fake;

static void setup(void)
{
    fake_agent_init(&fake);
}

static void teardown(void)
{
    fake_agent_done(&fake);
}

static void open_client(const struct nsp_client_options *options)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_client_new(fake.address, options, &fake.client, &err) == 0, "%s", err.msg);
}

static void open_ready(void)
{
    open_client(NULL);
    fake_agent_accept(&fake);
}

static void expect_failed(enum nsp_error_code code)
{
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_FAILED);
    const struct nsp_error *error = nsp_client_last_error(fake.client);
    ck_assert_msg(error->code == code, "%s: %s", nsp_error_name(error->code), error->msg);
}

static struct nsp_call *begin(const char *method, unsigned flags)
{
    struct nsp_call *call = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_call_new(fake.client, method, NULL, 0, flags, &call, &err) == 0, "%s",
                  err.msg);
    return call;
}

static void expect_error(struct nsp_call *call, enum nsp_error_code code)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const char *json = NULL;
    FAKE_UNTIL(&fake, nsp_call_done(call));
    ck_assert_int_eq(nsp_call_result(call, &json, &err), -1);
    ck_assert_msg(err.code == code, "%s: %s", nsp_error_name(err.code), err.msg);
    nsp_call_free(call);
}

static void expect_result(struct nsp_call *call, const char *text)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const char *json = NULL;
    FAKE_UNTIL(&fake, nsp_call_done(call));
    ck_assert_msg(nsp_call_result(call, &json, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(json, text);
    nsp_call_free(call);
}

/* ---- hello -------------------------------------------------------------------------------- */

START_TEST(preface_and_hello_come_without_waiting)
{
    uint8_t preface[NSP_PREFACE_SIZE], expected[NSP_PREFACE_SIZE];
    struct nsp_client_options options = {.name = "me"};
    open_client(&options);
    fake_agent_accept_only(&fake);
    fake_agent_read(&fake, preface, sizeof preface);
    nsp_preface_encode(expected);
    ck_assert_mem_eq(preface, expected, sizeof preface);
    ck_assert_uint_eq(fake_agent_expect_request(&fake, "hello", "\"client\":\"me\""), 1);
    ck_assert_ptr_null(strstr(fake.payload, "token"));
    ck_assert_ptr_null(nsp_client_hello(fake.client));
}
END_TEST

START_TEST(hello_tells_about_the_agent)
{
    open_ready();
    const struct nsp_hello *hello = nsp_client_hello(fake.client);
    ck_assert_str_eq(hello->agent, "fake");
    ck_assert_str_eq(hello->protocol, "1.0");
    ck_assert_str_eq(hello->boot_id, "b");
    ck_assert_uint_eq(hello->generation, 7);
    ck_assert_ptr_nonnull(strstr(hello->json, "\"initial_credit\":1048576"));
}
END_TEST

START_TEST(token_is_read_from_its_file_for_each_connection)
{
    char path[] = "/tmp/nsp-token-XXXXXX", preface[NSP_PREFACE_SIZE];
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "first\nrest", 10), 10);
    struct nsp_client_options options = {.token = "unused", .token_file = path};
    open_client(&options);
    fake_agent_accept_only(&fake);
    fake_agent_read(&fake, preface, sizeof preface);
    uint32_t stream = fake_agent_expect_request(&fake, "hello", "\"token\":\"first\"");
    fake_agent_write(&fake, preface, sizeof preface);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_READY);
    ck_assert_int_eq(pwrite(fd, "other", 5, 0), 5);
    fake_agent_drop(&fake);
    fake_agent_accept_only(&fake);
    fake_agent_read(&fake, preface, sizeof preface);
    fake_agent_expect_request(&fake, "hello", "\"token\":\"other\"");
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(a_missing_token_file_is_named)
{
    struct nsp_client_options options = {.token_file = "/nonexistent/token"};
    open_client(&options);
    expect_failed(NSP_E_SYSTEM);
    ck_assert_str_eq(nsp_client_last_error(fake.client)->object, "/nonexistent/token");
}
END_TEST

START_TEST(another_major_version_is_a_version_error)
{
    static const uint8_t preface[NSP_PREFACE_SIZE] = {0xC0, 'N', 'S', 'P', 2, 0, 0, 0};
    open_client(NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, preface, sizeof preface);
    expect_failed(NSP_E_VERSION);
}
END_TEST

START_TEST(a_newer_minor_version_is_fine)
{
    static const uint8_t preface[NSP_PREFACE_SIZE] = {0xC0, 'N', 'S', 'P', 1, 9, 0, 0};
    open_client(NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, preface, sizeof preface);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, 1, "{\"result\":{\"new\":true}}");
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_READY);
}
END_TEST

START_TEST(something_else_than_an_agent_is_a_protocol_error)
{
    open_client(NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, "HTTP/1.1", 8);
    expect_failed(NSP_E_PROTOCOL);
}
END_TEST

START_TEST(a_refused_token_is_final)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    nsp_preface_encode(preface);
    open_client(NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, preface, sizeof preface);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, 1,
                    "{\"error\":{\"code\":-32002,\"message\":\"no\",\"data\":{"
                    "\"name\":\"UNAUTHENTICATED\"}}}");
    expect_failed(NSP_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(an_agent_that_does_not_answer_runs_out_of_time)
{
    struct nsp_client_options options = {.attempt_ms = 30};
    open_client(&options);
    fake_agent_accept_only(&fake);
    FAKE_UNTIL(&fake, nsp_client_last_error(fake.client)->code != NSP_E_NONE);
    ck_assert_ptr_nonnull(strstr(nsp_client_last_error(fake.client)->msg, "did not answer"));
}
END_TEST

START_TEST(a_missing_agent_fails_the_first_attempt_at_once)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_client_new("unix:/nonexistent", NULL, &fake.client, NULL), 0);
    struct nsp_call *call = begin("ping", NSP_CALL_REPEAT);
    ck_assert_int_eq(nsp_client_connect(fake.client, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_CONNECTION);
    ck_assert_int_eq(err.sys_errno, ENOENT);
    expect_error(call, NSP_E_CONNECTION);
    ck_assert_int_eq(nsp_call_new(fake.client, "ping", NULL, 0, 0, &call, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_CONNECTION);
}
END_TEST

/* ---- calls -------------------------------------------------------------------------------- */

START_TEST(calls_share_the_connection_and_may_be_answered_in_any_order)
{
    open_ready();
    struct nsp_call *first = begin("a", 0), *second = begin("b", 0);
    uint32_t a = fake_agent_expect_request(&fake, "a", "\"params\":{}");
    uint32_t b = fake_agent_expect_request(&fake, "b", NULL);
    ck_assert_uint_eq(a, 3);
    ck_assert_uint_eq(b, 5);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, b, "{\"result\":{\"n\":2}}");
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, a, "{\"result\":{\"n\":1}}");
    expect_result(first, "{\"n\":1}");
    expect_result(second, "{\"n\":2}");
}
END_TEST

START_TEST(a_typed_error_keeps_all_its_parts)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const char *json = NULL;
    open_ready();
    struct nsp_call *call = begin("process.start", 0);
    uint32_t stream = fake_agent_expect_request(&fake, "process.start", NULL);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream,
                    "{\"error\":{\"code\":-32011,\"message\":\"text\",\"data\":{\"name\":\"SPAWN\","
                    "\"errno\":\"EACCES\",\"op\":\"execve\",\"object\":\"/bin/x\"}}}");
    FAKE_UNTIL(&fake, nsp_call_done(call));
    ck_assert_int_eq(nsp_call_result(call, &json, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SPAWN);
    ck_assert_int_eq(err.sys_errno, EACCES);
    ck_assert_str_eq(err.op, "execve");
    ck_assert_str_eq(err.object, "/bin/x");
    ck_assert_str_eq(err.msg, "text");
    nsp_call_free(call);
}
END_TEST

START_TEST(an_error_that_we_do_not_know_is_internal)
{
    open_ready();
    struct nsp_call *call = begin("a", 0);
    uint32_t stream = fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream,
                    "{\"error\":{\"code\":-1,\"message\":\"m\",\"data\":{\"name\":\"FROM_THE_FUTURE\"}}}");
    expect_error(call, NSP_E_INTERNAL);
}
END_TEST

START_TEST(a_response_may_come_in_pieces_with_other_frames_between)
{
    open_ready();
    struct nsp_call *first = begin("a", 0), *second = begin("b", 0);
    uint32_t a = fake_agent_expect_request(&fake, "a", NULL);
    uint32_t b = fake_agent_expect_request(&fake, "b", NULL);
    fake_agent_send(&fake, NSP_FRAME_RESPONSE, NSP_FLAG_MORE, a, 0, 0, "{\"result\":", 10);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, b, "{\"result\":{}}");
    fake_agent_send(&fake, NSP_FRAME_RESPONSE, NSP_FLAG_MORE, a, 0, 0, "{\"x\":", 5);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, a, "true}}");
    expect_result(second, "{}");
    expect_result(first, "{\"x\":true}");
}
END_TEST

START_TEST(a_large_request_goes_in_pieces)
{
    size_t length = NSP_LIMIT_FRAME_PAYLOAD + 1000;
    char *params = malloc(length + 1);
    memset(params, 'x', length);
    memcpy(params, "{\"a\":\"", 6);
    memcpy(params + length - 2, "\"}", 3);
    open_ready();
    struct nsp_call *call = NULL;
    ck_assert_int_eq(nsp_call_new(fake.client, "big", params, 0, 0, &call, NULL), 0);
    fake_agent_expect(&fake, NSP_FRAME_REQUEST);
    ck_assert_uint_eq(fake.frame.flags, NSP_FLAG_MORE);
    ck_assert_uint_eq(fake.frame.length, NSP_LIMIT_FRAME_PAYLOAD);
    size_t first = fake.frame.length;
    fake_agent_expect(&fake, NSP_FRAME_REQUEST);
    ck_assert_uint_eq(fake.frame.flags, 0);
    ck_assert_uint_eq(first + fake.frame.length, length + strlen("{\"method\":\"big\",\"params\":}"));
    nsp_call_free(call);
    free(params);
}
END_TEST

START_TEST(a_request_beyond_the_limit_is_exhausted)
{
    size_t length = NSP_LIMIT_JSON_MESSAGE;
    char *params = malloc(length + 1);
    memset(params, ' ', length);
    params[0] = '{';
    memcpy(params + length - 1, "}", 2);
    open_ready();
    struct nsp_call *call = NULL;
    ck_assert_int_eq(nsp_call_new(fake.client, "big", params, 0, 0, &call, NULL), 0);
    expect_error(call, NSP_E_EXHAUSTED);
    free(params);
}
END_TEST

START_TEST(freeing_a_call_cancels_it_and_its_late_answer_is_ignored)
{
    open_ready();
    struct nsp_call *call = begin("slow", 0);
    uint32_t stream = fake_agent_expect_request(&fake, "slow", NULL);
    nsp_call_free(call);
    fake_agent_expect(&fake, NSP_FRAME_CANCEL);
    ck_assert_uint_eq(fake.frame.stream, stream);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    call = begin("next", 0);
    stream = fake_agent_expect_request(&fake, "next", NULL);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    expect_result(call, "{}");
}
END_TEST

START_TEST(the_deadline_travels_with_the_request)
{
    struct nsp_call *call = NULL;
    open_ready();
    ck_assert_int_eq(nsp_call_new(fake.client, "a", NULL, 1500, 0, &call, NULL), 0);
    fake_agent_expect_request(&fake, "a", "\"deadline_ms\":1");
    nsp_call_free(call);
}
END_TEST

START_TEST(the_deadline_passes_without_a_connection_too)
{
    struct nsp_call *call = NULL;
    open_client(NULL);
    ck_assert_int_eq(nsp_call_new(fake.client, "a", NULL, 30, 0, &call, NULL), 0);
    fake_agent_accept_only(&fake);
    expect_error(call, NSP_E_DEADLINE);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_CONNECTING);
}
END_TEST

START_TEST(a_plain_call_refuses_bytes_instead_of_standing_still)
{
    open_ready();
    struct nsp_call *call = begin("process.attach", 0);
    uint32_t stream = fake_agent_expect_request(&fake, "process.attach", NULL);
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream, "{\"method\":\"process.started\",\"params\":{}}");
    fake_agent_data(&fake, stream, 2, 0, "x");
    expect_error(call, NSP_E_UNSUPPORTED);
    fake_agent_expect(&fake, NSP_FRAME_CANCEL);
    fake_agent_data(&fake, stream, 2, 1, "x");
    fake_agent_expect_silence(&fake);
}
END_TEST

/* ---- losses ------------------------------------------------------------------------------- */

START_TEST(a_lost_plain_call_ends_and_a_repeatable_one_is_asked_again)
{
    open_ready();
    struct nsp_call *once = begin("process.signal", 0), *again = begin("info", NSP_CALL_REPEAT);
    fake_agent_expect_request(&fake, "process.signal", NULL);
    fake_agent_expect_request(&fake, "info", NULL);
    fake_agent_drop(&fake);
    expect_error(once, NSP_E_CONNECTION);
    fake_agent_accept(&fake);
    uint32_t stream = fake_agent_expect_request(&fake, "info", NULL);
    ck_assert_uint_eq(stream, 3);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    expect_result(again, "{}");
}
END_TEST

START_TEST(a_call_made_during_an_outage_waits_for_its_end)
{
    open_ready();
    fake_agent_drop(&fake);
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_CONNECTING);
    struct nsp_call *call = begin("a", 0);
    fake_agent_accept(&fake);
    uint32_t stream = fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    expect_result(call, "{}");
}
END_TEST

START_TEST(an_outage_longer_than_allowed_is_final)
{
    struct nsp_client_options options = {.reconnect_ms = 60};
    open_client(&options);
    fake_agent_accept(&fake);
    struct nsp_call *call = begin("a", NSP_CALL_REPEAT);
    fake_agent_expect_request(&fake, "a", NULL);
    close(fake.listener);
    unlink(fake.path);
    fake_agent_drop(&fake);
    expect_error(call, NSP_E_CONNECTION);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_FAILED);
    ck_assert_int_eq(nsp_client_process(fake.client, 0, nsp_client_now(), NULL), -1);
    ck_assert_int_eq(nsp_client_fd(fake.client), -1);
    ck_assert_int_eq(nsp_client_timeout(fake.client, nsp_client_now()), -1);
}
END_TEST

START_TEST(without_reconnection_the_first_loss_is_final)
{
    struct nsp_client_options options = {.reconnect_ms = -1};
    open_client(&options);
    fake_agent_accept(&fake);
    fake_agent_drop(&fake);
    expect_failed(NSP_E_CONNECTION);
}
END_TEST

START_TEST(pauses_grow_while_attempts_fail)
{
    open_ready();
    fake_agent_drop(&fake);
    uint64_t start = nsp_client_now();
    for (int i = 0; i < 5; i++) {
        fake_agent_accept_only(&fake);
        fake_agent_drop(&fake);
    }
    fake_agent_accept_only(&fake);
    /* 10 + 20 + 40 + 80 + 160 */
    ck_assert_uint_ge(nsp_client_now() - start, 300);
    ck_assert_uint_ge(nsp_client_outage(fake.client, nsp_client_now()), 300);
}
END_TEST

START_TEST(goaway_gives_the_reason_for_the_loss)
{
    open_ready();
    struct nsp_call *call = begin("a", 0);
    fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_json(&fake, NSP_FRAME_GOAWAY, 0,
                    "{\"error\":{\"code\":-32015,\"message\":\"bye\",\"data\":{"
                    "\"name\":\"SHUTTING_DOWN\"}}}");
    expect_error(call, NSP_E_SHUTTING_DOWN);
    fake_agent_drop(&fake);
    fake_agent_accept(&fake);
}
END_TEST

START_TEST(goaway_for_our_own_fault_is_final)
{
    open_ready();
    fake_agent_json(&fake, NSP_FRAME_GOAWAY, 0,
                    "{\"error\":{\"code\":-32000,\"message\":\"bad\",\"data\":{"
                    "\"name\":\"PROTOCOL\"}}}");
    expect_failed(NSP_E_PROTOCOL);
}
END_TEST

/* ---- frames that do not belong ------------------------------------------------------------ */

struct wrong {
    uint8_t type;
    uint32_t stream;
    uint8_t channel;
    uint64_t offset;
    const char *payload;
};

static const struct wrong wrongs[] = {
    {NSP_FRAME_RESPONSE, 5, 0, 0, "{}"},      /* never opened */
    {NSP_FRAME_RESPONSE, 2, 0, 0, "{}"},      /* the agent's own ids */
    {NSP_FRAME_REQUEST, 2, 0, 0, "{}"},       /* the agent does not ask */
    {NSP_FRAME_CANCEL, 3, 0, 0, ""},          /* nor cancel */
    {NSP_FRAME_RESPONSE, 3, 0, 0, "{\"a\""},  /* no JSON */
    {NSP_FRAME_NOTIFY, 3, 0, 0, "{\"a\":1,\"a\":2}"}, /* refused by the strict check */
    {NSP_FRAME_GOAWAY, 0, 0, 0, "{]"},
};

START_TEST(a_frame_that_does_not_belong_ends_the_connection)
{
    const struct wrong *wrong = &wrongs[_i];
    open_ready();
    struct nsp_call *call = begin("a", NSP_CALL_REPEAT);
    fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_send(&fake, wrong->type, 0, wrong->stream, wrong->channel, wrong->offset,
                    wrong->payload, strlen(wrong->payload));
    if (wrong->type == NSP_FRAME_GOAWAY) {
        FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_FAILED);
        nsp_call_free(call);
        return;
    }
    expect_error(call, NSP_E_PROTOCOL);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_FAILED);
    fake_agent_expect(&fake, NSP_FRAME_GOAWAY);
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"PROTOCOL\""));
}
END_TEST

START_TEST(a_malformed_header_ends_the_connection)
{
    static const uint8_t header[NSP_FRAME_HEADER_SIZE] = {[3] = 0, [8] = 99};
    open_ready();
    fake_agent_write(&fake, header, sizeof header);
    expect_failed(NSP_E_PROTOCOL);
    fake_agent_expect(&fake, NSP_FRAME_GOAWAY);
}
END_TEST

/* ---- ping --------------------------------------------------------------------------------- */

START_TEST(a_ping_is_answered_with_its_bytes)
{
    open_ready();
    fake_agent_send(&fake, NSP_FRAME_PING, 0, 0, 0, 0, "8 bytes!", 8);
    fake_agent_expect(&fake, NSP_FRAME_PONG);
    ck_assert_mem_eq(fake.payload, "8 bytes!", 8);
}
END_TEST

START_TEST(ping_without_an_answer_runs_into_its_deadline)
{
    struct nsp_error err = NSP_ERROR_INIT;
    uint64_t nanoseconds = 0;
    open_ready();
    ck_assert_int_eq(nsp_client_ping(fake.client, 20, &nanoseconds, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_DEADLINE);
    fake_agent_expect(&fake, NSP_FRAME_PING);
}
END_TEST

/* Time is ours here: `now` is what we say it is. */
START_TEST(a_silent_agent_is_pinged_and_then_given_up)
{
    open_ready();
    uint64_t now = nsp_client_now();
    ck_assert_int_gt(nsp_client_timeout(fake.client, now), 14000);
    ck_assert_int_le(nsp_client_timeout(fake.client, now), 15000);
    ck_assert_int_eq(nsp_client_process(fake.client, 0, now + 15000, NULL), 0);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_READY);
    ck_assert_int_eq(nsp_client_timeout(fake.client, now + 15000), 30000);
    ck_assert_int_eq(nsp_client_process(fake.client, 0, now + 44999, NULL), 0);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_READY);
    ck_assert_int_eq(nsp_client_process(fake.client, 0, now + 45001, NULL), 0);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_CONNECTING);
    ck_assert_int_eq(nsp_client_last_error(fake.client)->code, NSP_E_KEEPALIVE);
}
END_TEST

START_TEST(a_pong_keeps_the_connection)
{
    open_ready();
    uint64_t now = nsp_client_now();
    ck_assert_int_eq(nsp_client_process(fake.client, 0, now + 15000, NULL), 0);
    uint8_t header[NSP_FRAME_HEADER_SIZE], payload[8];
    ck_assert_int_eq(read(fake.fd, header, sizeof header), sizeof header);
    ck_assert_int_eq(header[8], NSP_FRAME_PING);
    ck_assert_int_eq(read(fake.fd, payload, sizeof payload), sizeof payload);
    header[8] = NSP_FRAME_PONG;
    ck_assert_int_eq(write(fake.fd, header, sizeof header), sizeof header);
    ck_assert_int_eq(write(fake.fd, payload, sizeof payload), sizeof payload);
    ck_assert_int_eq(nsp_client_process(fake.client, 1 /* POLLIN */, now + 16000, NULL), 0);
    ck_assert_int_eq(nsp_client_timeout(fake.client, now + 16000), 15000);
}
END_TEST

static void add_tests(Suite *suite)
{
    TCase *hello = tcase_create("hello");
    tcase_add_checked_fixture(hello, setup, teardown);
    tcase_add_test(hello, preface_and_hello_come_without_waiting);
    tcase_add_test(hello, hello_tells_about_the_agent);
    tcase_add_test(hello, token_is_read_from_its_file_for_each_connection);
    tcase_add_test(hello, a_missing_token_file_is_named);
    tcase_add_test(hello, another_major_version_is_a_version_error);
    tcase_add_test(hello, a_newer_minor_version_is_fine);
    tcase_add_test(hello, something_else_than_an_agent_is_a_protocol_error);
    tcase_add_test(hello, a_refused_token_is_final);
    tcase_add_test(hello, an_agent_that_does_not_answer_runs_out_of_time);
    tcase_add_test(hello, a_missing_agent_fails_the_first_attempt_at_once);
    suite_add_tcase(suite, hello);
    TCase *calls = tcase_create("calls");
    tcase_add_checked_fixture(calls, setup, teardown);
    tcase_add_test(calls, calls_share_the_connection_and_may_be_answered_in_any_order);
    tcase_add_test(calls, a_typed_error_keeps_all_its_parts);
    tcase_add_test(calls, an_error_that_we_do_not_know_is_internal);
    tcase_add_test(calls, a_response_may_come_in_pieces_with_other_frames_between);
    tcase_add_test(calls, a_large_request_goes_in_pieces);
    tcase_add_test(calls, a_request_beyond_the_limit_is_exhausted);
    tcase_add_test(calls, freeing_a_call_cancels_it_and_its_late_answer_is_ignored);
    tcase_add_test(calls, the_deadline_travels_with_the_request);
    tcase_add_test(calls, the_deadline_passes_without_a_connection_too);
    tcase_add_test(calls, a_plain_call_refuses_bytes_instead_of_standing_still);
    suite_add_tcase(suite, calls);
}

static Suite *suite(void)
{
    Suite *suite = suite_create("client/session");
    add_tests(suite);
    TCase *losses = tcase_create("losses");
    tcase_add_checked_fixture(losses, setup, teardown);
    tcase_add_test(losses, a_lost_plain_call_ends_and_a_repeatable_one_is_asked_again);
    tcase_add_test(losses, a_call_made_during_an_outage_waits_for_its_end);
    tcase_add_test(losses, an_outage_longer_than_allowed_is_final);
    tcase_add_test(losses, without_reconnection_the_first_loss_is_final);
    tcase_add_test(losses, pauses_grow_while_attempts_fail);
    tcase_add_test(losses, goaway_gives_the_reason_for_the_loss);
    tcase_add_test(losses, goaway_for_our_own_fault_is_final);
    suite_add_tcase(suite, losses);
    TCase *frames = tcase_create("frames");
    tcase_add_checked_fixture(frames, setup, teardown);
    tcase_add_loop_test(frames, a_frame_that_does_not_belong_ends_the_connection, 0,
                        sizeof wrongs / sizeof *wrongs);
    tcase_add_test(frames, a_malformed_header_ends_the_connection);
    suite_add_tcase(suite, frames);
    TCase *ping = tcase_create("ping");
    tcase_add_checked_fixture(ping, setup, teardown);
    tcase_add_test(ping, a_ping_is_answered_with_its_bytes);
    tcase_add_test(ping, ping_without_an_answer_runs_into_its_deadline);
    tcase_add_test(ping, a_silent_agent_is_pinged_and_then_given_up);
    tcase_add_test(ping, a_pong_keeps_the_connection);
    suite_add_tcase(suite, ping);
    return suite;
}

UNIT_MAIN(suite)
