#include "client/hybrid.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/fake_agent.h"
#include "tests/support/unit.h"

static int feed(struct nsp_hybrid *hybrid, const char *text, size_t *ret_used, uint32_t *ret_port)
{
    return nsp_hybrid_feed(hybrid, text, strlen(text), ret_used, ret_port, NULL);
}

START_TEST(request_is_one_line)
{
    char line[NSP_HYBRID_REQUEST_SIZE];
    ck_assert_uint_eq(nsp_hybrid_request(1024, line), 13);
    ck_assert_mem_eq(line, "CONNECT 1024\n", 13);
    ck_assert_uint_eq(nsp_hybrid_request(UINT32_MAX, line), 19);
    ck_assert_mem_eq(line, "CONNECT 4294967295\n", 19);
}
END_TEST

START_TEST(answer_gives_the_port_and_leaves_what_follows)
{
    struct nsp_hybrid hybrid = {0};
    size_t used = 0;
    uint32_t port = 0;
    ck_assert_int_eq(feed(&hybrid, "OK 1073741824\n\xC0NSP", &used, &port), 1);
    ck_assert_uint_eq(used, 14);
    ck_assert_uint_eq(port, 1073741824);
}
END_TEST

START_TEST(answer_may_come_byte_by_byte)
{
    static const char text[] = "OK 7\n";
    struct nsp_hybrid hybrid = {0};
    size_t used = 0;
    uint32_t port = 0;
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(nsp_hybrid_feed(&hybrid, text + i, 1, &used, &port, NULL), 0);
        ck_assert_uint_eq(used, 1);
    }
    ck_assert_int_eq(nsp_hybrid_feed(&hybrid, text + 4, 1, &used, &port, NULL), 1);
    ck_assert_uint_eq(used, 1);
    ck_assert_uint_eq(port, 7);
}
END_TEST

START_TEST(answer_may_be_split_anywhere)
{
    static const char text[] = "OK 4294967295\n";
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        struct nsp_hybrid hybrid = {0};
        size_t used = 0;
        uint32_t port = 0;
        ck_assert_int_eq(nsp_hybrid_feed(&hybrid, text, cut, &used, &port, NULL), 0);
        ck_assert_uint_eq(used, cut);
        ck_assert_int_eq(feed(&hybrid, text + cut, &used, &port), 1);
        ck_assert_uint_eq(used, sizeof text - 1 - cut);
        ck_assert_uint_eq(port, UINT32_MAX);
    }
}
END_TEST

static const char *const garbage[] = {
    "X",       "ok 1\n",   "OK\n", "OK \n",           "OK  1\n",          "OK -1\n", "OK 1\r\n",
    "OK 1 \n", "OKAY 1\n", "\n",   "OK 4294967296\n", "OK 00000000001\n", "\xC0NSP", "HTTP/1.1",
};

START_TEST(garbage_is_refused_at_its_first_byte)
{
    struct nsp_hybrid hybrid = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    size_t used = 0;
    uint32_t port = 0;
    ck_assert_int_eq(nsp_hybrid_feed(&hybrid, garbage[_i], strlen(garbage[_i]), &used, &port, &err),
                     -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
}
END_TEST

/* ---- through the client ------------------------------------------------------------------- */

static struct fake_agent fake;

static void setup(void)
{
    fake_agent_init(&fake);
    snprintf(fake.address, sizeof fake.address, "hybrid:%s:1024", fake.path);
}

static void teardown(void)
{
    fake_agent_done(&fake);
}

static void open_client(int64_t reconnect_ms)
{
    struct nsp_client_options options = {.reconnect_ms = reconnect_ms};
    ck_assert_int_eq(nsp_client_new(fake.address, &options, &fake.client, NULL), 0);
}

static void expect_connect(void)
{
    char line[13];
    fake_agent_read(&fake, line, sizeof line);
    ck_assert_mem_eq(line, "CONNECT 1024\n", sizeof line);
}

START_TEST(client_speaks_the_protocol_behind_the_answer)
{
    open_client(1000);
    fake_agent_accept_only(&fake);
    expect_connect();
    fake_agent_expect_silence(&fake);
    fake_agent_write(&fake, "OK 10", 5);
    fake_agent_expect_silence(&fake);
    fake_agent_write(&fake, "73\n", 3);
    fake_agent_greet(&fake);
}
END_TEST

START_TEST(client_tries_again_while_nobody_listens)
{
    open_client(5000);
    for (int i = 0; i < 3; i++) {
        fake_agent_accept_only(&fake);
        expect_connect();
        fake_agent_drop(&fake);
    }
    fake_agent_accept_only(&fake);
    expect_connect();
    fake_agent_write(&fake, "OK 1\n", 5);
    fake_agent_greet(&fake);
}
END_TEST

START_TEST(client_gives_up_at_the_deadline)
{
    open_client(50);
    for (int i = 0; nsp_client_state(fake.client) != NSP_CLIENT_FAILED; i++) {
        ck_assert_int_lt(i, 20);
        fake_agent_accept_only(&fake);
        expect_connect();
        fake_agent_drop(&fake);
        FAKE_UNTIL(&fake, nsp_client_fd(fake.client) < 0);
        FAKE_UNTIL(&fake, nsp_client_fd(fake.client) >= 0 ||
                              nsp_client_state(fake.client) == NSP_CLIENT_FAILED);
    }
    ck_assert_int_eq(nsp_client_last_error(fake.client)->code, NSP_E_CONNECTION);
    ck_assert_ptr_nonnull(strstr(nsp_client_last_error(fake.client)->msg, "nobody listens"));
}
END_TEST

START_TEST(client_does_not_try_garbage_again)
{
    open_client(5000);
    fake_agent_accept_only(&fake);
    expect_connect();
    fake_agent_write(&fake, "SSH-2.0\n", 8);
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_FAILED);
    ck_assert_int_eq(nsp_client_last_error(fake.client)->code, NSP_E_PROTOCOL);
}
END_TEST

START_TEST(a_missing_hybrid_socket_fails_at_once)
{
    struct nsp_client *client = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_client_new("hybrid:/nonexistent:1", NULL, &client, NULL), 0);
    ck_assert_int_eq(nsp_client_connect(client, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_CONNECTION);
    nsp_client_free(client);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/hybrid");
    TCase *parser = tcase_create("parser");
    tcase_add_test(parser, request_is_one_line);
    tcase_add_test(parser, answer_gives_the_port_and_leaves_what_follows);
    tcase_add_test(parser, answer_may_come_byte_by_byte);
    tcase_add_test(parser, answer_may_be_split_anywhere);
    tcase_add_loop_test(parser, garbage_is_refused_at_its_first_byte, 0,
                        sizeof garbage / sizeof *garbage);
    suite_add_tcase(suite, parser);
    TCase *client = tcase_create("client");
    tcase_add_checked_fixture(client, setup, teardown);
    tcase_add_test(client, client_speaks_the_protocol_behind_the_answer);
    tcase_add_test(client, client_tries_again_while_nobody_listens);
    tcase_add_test(client, client_gives_up_at_the_deadline);
    tcase_add_test(client, client_does_not_try_garbage_again);
    tcase_add_test(client, a_missing_hybrid_socket_fails_at_once);
    suite_add_tcase(suite, client);
    return suite;
}

UNIT_MAIN(suite)
