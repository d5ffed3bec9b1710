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

static void open_ready(void)
{
    fake_agent_open(&fake, NULL);
    fake_agent_accept(&fake);
}

/* ---- calls -------------------------------------------------------------------------------- */

START_TEST(calls_share_the_connection_and_may_be_answered_in_any_order)
{
    open_ready();
    struct nsp_call *first = fake_agent_call(&fake, "a", 0),
                    *second = fake_agent_call(&fake, "b", 0);
    uint32_t a = fake_agent_expect_request(&fake, "a", "\"params\":{}");
    uint32_t b = fake_agent_expect_request(&fake, "b", NULL);
    ck_assert_uint_eq(a, 3);
    ck_assert_uint_eq(b, 5);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, b, "{\"result\":{\"n\":2}}");
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, a, "{\"result\":{\"n\":1}}");
    fake_agent_expect_result(&fake, first, "{\"n\":1}");
    fake_agent_expect_result(&fake, second, "{\"n\":2}");
}
END_TEST

START_TEST(a_typed_error_keeps_all_its_parts)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const char *json = NULL;
    open_ready();
    struct nsp_call *call = fake_agent_call(&fake, "process.start", 0);
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
    struct nsp_call *call = fake_agent_call(&fake, "a", 0);
    uint32_t stream = fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_json(
        &fake, NSP_FRAME_RESPONSE, stream,
        "{\"error\":{\"code\":-1,\"message\":\"m\",\"data\":{\"name\":\"FROM_THE_FUTURE\"}}}");
    fake_agent_expect_error(&fake, call, NSP_E_INTERNAL);
}
END_TEST

START_TEST(a_response_may_come_in_pieces_with_other_frames_between)
{
    open_ready();
    struct nsp_call *first = fake_agent_call(&fake, "a", 0),
                    *second = fake_agent_call(&fake, "b", 0);
    uint32_t a = fake_agent_expect_request(&fake, "a", NULL);
    uint32_t b = fake_agent_expect_request(&fake, "b", NULL);
    fake_agent_send(&fake, NSP_FRAME_RESPONSE, NSP_FLAG_MORE, a, 0, 0, "{\"result\":", 10);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, b, "{\"result\":{}}");
    fake_agent_send(&fake, NSP_FRAME_RESPONSE, NSP_FLAG_MORE, a, 0, 0, "{\"x\":", 5);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, a, "true}}");
    fake_agent_expect_result(&fake, second, "{}");
    fake_agent_expect_result(&fake, first, "{\"x\":true}");
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
    ck_assert_uint_eq(first + fake.frame.length,
                      length + strlen("{\"method\":\"big\",\"params\":}"));
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
    fake_agent_expect_error(&fake, call, NSP_E_EXHAUSTED);
    free(params);
}
END_TEST

START_TEST(freeing_a_call_cancels_it_and_its_late_answer_is_ignored)
{
    open_ready();
    struct nsp_call *call = fake_agent_call(&fake, "slow", 0);
    uint32_t stream = fake_agent_expect_request(&fake, "slow", NULL);
    nsp_call_free(call);
    fake_agent_expect(&fake, NSP_FRAME_CANCEL);
    ck_assert_uint_eq(fake.frame.stream, stream);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    call = fake_agent_call(&fake, "next", 0);
    stream = fake_agent_expect_request(&fake, "next", NULL);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    fake_agent_expect_result(&fake, call, "{}");
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
    fake_agent_open(&fake, NULL);
    ck_assert_int_eq(nsp_call_new(fake.client, "a", NULL, 30, 0, &call, NULL), 0);
    fake_agent_accept_only(&fake);
    fake_agent_expect_error(&fake, call, NSP_E_DEADLINE);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_CONNECTING);
}
END_TEST

START_TEST(a_plain_call_refuses_bytes_instead_of_standing_still)
{
    open_ready();
    struct nsp_call *call = fake_agent_call(&fake, "process.attach", 0);
    uint32_t stream = fake_agent_expect_request(&fake, "process.attach", NULL);
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream,
                    "{\"method\":\"process.started\",\"params\":{}}");
    fake_agent_data(&fake, stream, 2, 0, "x");
    fake_agent_expect_error(&fake, call, NSP_E_UNSUPPORTED);
    fake_agent_expect(&fake, NSP_FRAME_CANCEL);
    fake_agent_data(&fake, stream, 2, 1, "x");
    fake_agent_expect_silence(&fake);
}
END_TEST

/* ---- losses ------------------------------------------------------------------------------- */

START_TEST(a_lost_plain_call_ends_and_a_repeatable_one_is_asked_again)
{
    open_ready();
    struct nsp_call *once = fake_agent_call(&fake, "process.signal", 0),
                    *again = fake_agent_call(&fake, "info", NSP_CALL_REPEAT);
    fake_agent_expect_request(&fake, "process.signal", NULL);
    fake_agent_expect_request(&fake, "info", NULL);
    fake_agent_drop(&fake);
    fake_agent_expect_error(&fake, once, NSP_E_CONNECTION);
    fake_agent_accept(&fake);
    uint32_t stream = fake_agent_expect_request(&fake, "info", NULL);
    ck_assert_uint_eq(stream, 3);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    fake_agent_expect_result(&fake, again, "{}");
}
END_TEST

START_TEST(a_call_made_during_an_outage_waits_for_its_end)
{
    open_ready();
    fake_agent_drop(&fake);
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_CONNECTING);
    struct nsp_call *call = fake_agent_call(&fake, "a", 0);
    fake_agent_accept(&fake);
    uint32_t stream = fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
    fake_agent_expect_result(&fake, call, "{}");
}
END_TEST

START_TEST(a_connection_cut_before_hello_was_answered_is_made_again)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    fake_agent_open(&fake, NULL);
    fake_agent_accept_only(&fake);
    fake_agent_drop(&fake);
    fake_agent_accept_only(&fake);
    fake_agent_read(&fake, preface, sizeof preface);
    fake_agent_write(&fake, preface, sizeof preface);
    fake_agent_expect_request(&fake, "hello", NULL);
    fake_agent_drop(&fake);
    fake_agent_accept(&fake);
}
END_TEST

START_TEST(an_outage_longer_than_allowed_is_final)
{
    struct nsp_client_options options = {.reconnect_ms = 60};
    fake_agent_open(&fake, &options);
    fake_agent_accept(&fake);
    struct nsp_call *call = fake_agent_call(&fake, "a", NSP_CALL_REPEAT);
    fake_agent_expect_request(&fake, "a", NULL);
    close(fake.listener);
    unlink(fake.path);
    fake_agent_drop(&fake);
    fake_agent_expect_error(&fake, call, NSP_E_CONNECTION);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_FAILED);
    ck_assert_int_eq(nsp_client_process(fake.client, 0, nsp_client_now(), NULL), -1);
    ck_assert_int_eq(nsp_client_fd(fake.client), -1);
    ck_assert_int_eq(nsp_client_timeout(fake.client, nsp_client_now()), -1);
}
END_TEST

START_TEST(without_reconnection_the_first_loss_is_final)
{
    struct nsp_client_options options = {.reconnect_ms = -1};
    fake_agent_open(&fake, &options);
    fake_agent_accept(&fake);
    fake_agent_drop(&fake);
    fake_agent_expect_failed(&fake, NSP_E_CONNECTION);
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
    struct nsp_call *call = fake_agent_call(&fake, "a", 0);
    fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_json(&fake, NSP_FRAME_GOAWAY, 0,
                    "{\"error\":{\"code\":-32015,\"message\":\"bye\",\"data\":{"
                    "\"name\":\"SHUTTING_DOWN\"}}}");
    fake_agent_expect_error(&fake, call, NSP_E_SHUTTING_DOWN);
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
    fake_agent_expect_failed(&fake, NSP_E_PROTOCOL);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/calls");
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
    TCase *losses = tcase_create("losses");
    tcase_add_checked_fixture(losses, setup, teardown);
    tcase_add_test(losses, a_lost_plain_call_ends_and_a_repeatable_one_is_asked_again);
    tcase_add_test(losses, a_call_made_during_an_outage_waits_for_its_end);
    tcase_add_test(losses, a_connection_cut_before_hello_was_answered_is_made_again);
    tcase_add_test(losses, an_outage_longer_than_allowed_is_final);
    tcase_add_test(losses, without_reconnection_the_first_loss_is_final);
    tcase_add_test(losses, pauses_grow_while_attempts_fail);
    tcase_add_test(losses, goaway_gives_the_reason_for_the_loss);
    tcase_add_test(losses, goaway_for_our_own_fault_is_final);
    suite_add_tcase(suite, losses);
    return suite;
}

UNIT_MAIN(suite)
