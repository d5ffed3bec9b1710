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

/* ---- hello -------------------------------------------------------------------------------- */

START_TEST(preface_and_hello_come_without_waiting)
{
    uint8_t preface[NSP_PREFACE_SIZE], expected[NSP_PREFACE_SIZE];
    struct nsp_client_options options = {.name = "me"};
    fake_agent_open(&fake, &options);
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
    fake_agent_open(&fake, &options);
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
    fake_agent_open(&fake, &options);
    fake_agent_expect_failed(&fake, NSP_E_SYSTEM);
    ck_assert_str_eq(nsp_client_last_error(fake.client)->object, "/nonexistent/token");
}
END_TEST

START_TEST(another_major_version_is_a_version_error)
{
    static const uint8_t preface[NSP_PREFACE_SIZE] = {0xC0, 'N', 'S', 'P', 2, 0, 0, 0};
    fake_agent_open(&fake, NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, preface, sizeof preface);
    fake_agent_expect_failed(&fake, NSP_E_VERSION);
}
END_TEST

START_TEST(a_newer_minor_version_is_fine)
{
    static const uint8_t preface[NSP_PREFACE_SIZE] = {0xC0, 'N', 'S', 'P', 1, 9, 0, 0};
    fake_agent_open(&fake, NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, preface, sizeof preface);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, 1, "{\"result\":{\"new\":true}}");
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_READY);
}
END_TEST

START_TEST(something_else_than_an_agent_is_a_protocol_error)
{
    fake_agent_open(&fake, NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, "HTTP/1.1", 8);
    fake_agent_expect_failed(&fake, NSP_E_PROTOCOL);
}
END_TEST

START_TEST(a_refused_token_is_final)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    nsp_preface_encode(preface);
    fake_agent_open(&fake, NULL);
    fake_agent_accept_only(&fake);
    fake_agent_write(&fake, preface, sizeof preface);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, 1,
                    "{\"error\":{\"code\":-32002,\"message\":\"no\",\"data\":{"
                    "\"name\":\"UNAUTHENTICATED\"}}}");
    fake_agent_expect_failed(&fake, NSP_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(an_agent_that_does_not_answer_runs_out_of_time)
{
    struct nsp_client_options options = {.attempt_ms = 30};
    fake_agent_open(&fake, &options);
    fake_agent_accept_only(&fake);
    FAKE_UNTIL(&fake, nsp_client_last_error(fake.client)->code != NSP_E_NONE);
    ck_assert_ptr_nonnull(strstr(nsp_client_last_error(fake.client)->msg, "did not answer"));
}
END_TEST

START_TEST(a_missing_agent_fails_the_first_attempt_at_once)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_client_new("unix:/nonexistent", NULL, &fake.client, NULL), 0);
    struct nsp_call *call = fake_agent_call(&fake, "ping", NSP_CALL_REPEAT);
    ck_assert_int_eq(nsp_client_connect(fake.client, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_CONNECTION);
    ck_assert_int_eq(err.sys_errno, ENOENT);
    fake_agent_expect_error(&fake, call, NSP_E_CONNECTION);
    ck_assert_int_eq(nsp_call_new(fake.client, "ping", NULL, 0, 0, &call, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_CONNECTION);
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
    {NSP_FRAME_RESPONSE, 5, 0, 0, "{}"},              /* never opened */
    {NSP_FRAME_RESPONSE, 2, 0, 0, "{}"},              /* the agent's own ids */
    {NSP_FRAME_REQUEST, 2, 0, 0, "{}"},               /* the agent does not ask */
    {NSP_FRAME_CANCEL, 3, 0, 0, ""},                  /* nor cancel */
    {NSP_FRAME_RESPONSE, 3, 0, 0, "{\"a\""},          /* no JSON */
    {NSP_FRAME_NOTIFY, 3, 0, 0, "{\"a\":1,\"a\":2}"}, /* refused by the strict check */
    {NSP_FRAME_GOAWAY, 0, 0, 0, "{]"},
};

START_TEST(a_frame_that_does_not_belong_ends_the_connection)
{
    const struct wrong *wrong = &wrongs[_i];
    open_ready();
    struct nsp_call *call = fake_agent_call(&fake, "a", NSP_CALL_REPEAT);
    fake_agent_expect_request(&fake, "a", NULL);
    fake_agent_send(&fake, wrong->type, 0, wrong->stream, wrong->channel, wrong->offset,
                    wrong->payload, strlen(wrong->payload));
    if (wrong->type == NSP_FRAME_GOAWAY) {
        FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_FAILED);
        nsp_call_free(call);
        return;
    }
    fake_agent_expect_error(&fake, call, NSP_E_PROTOCOL);
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
    fake_agent_expect_failed(&fake, NSP_E_PROTOCOL);
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

static Suite *suite(void)
{
    Suite *suite = suite_create("client/session");
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
