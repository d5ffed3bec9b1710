#include "agent/session/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/peer.h"
#include "tests/support/unit.h"

static const struct session_limits short_limits = {
    .control_queue = 65536,
    .socket_unsent = 65536,
    .connections = 4,
    .unauthenticated = 3,
    .streams = 8,
    .hello_ms = 60,
    .keepalive_idle_ms = 40,
    .keepalive_dead_ms = 40,
    .refusal_ms = 30,
    .linger_ms = 60,
};

static struct peer peer;

static void set_up(void)
{
    peer_set_up(&peer, &short_limits);
    peer_connect(&peer);
}

static void tear_down(void)
{
    peer_tear_down(&peer);
}

/* Limits and times, shortened */

START_TEST(streams_beyond_the_limit_are_refused_by_name)
{
    struct nsp_frame frame;
    const char *payload;
    peer_greet(&peer);
    for (uint32_t i = 0; i < 8; i++)
        peer_request(&peer, 3 + 2 * i, "{\"method\":\"hold\"}");
    peer_request(&peer, 99, "{\"method\":\"echo\"}");
    peer_request_part(&peer, 101, "{\"method\":", 10, true);
    peer_request_part(&peer, 101, "\"echo\"}", 7, false);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 99);
    peer_assert_error(&frame, payload, "EXHAUSTED");
    ck_assert_ptr_nonnull(memmem(payload, frame.length, "streams", 7));
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 101);
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 3, 0, 0);
    peer_request(&peer, 103, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 3);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 103);
    ck_assert_mem_eq(payload, "{\"result\"", 9);
}
END_TEST

START_TEST(connection_without_hello_is_closed)
{
    peer_wait(&peer, 90);
    ck_assert(peer.closed_by_agent);
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
    peer_connect(&peer);
    uint8_t preface[NSP_PREFACE_SIZE];
    nsp_preface_encode(preface);
    peer_send(&peer, preface, sizeof preface);
    peer_wait(&peer, 30);
    peer_send_number(&peer, NSP_FRAME_PING, 0, 0, 0, 1);
    peer_wait(&peer, 60);
    peer_expect_preface(&peer);
    peer_expect(&peer, NSP_FRAME_PONG, NULL);
    peer_expect_goaway(&peer, "HELLO_REQUIRED");
}
END_TEST

START_TEST(silent_peer_is_pinged_and_then_dropped)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\"}");
    peer_wait(&peer, 65);
    peer_expect(&peer, NSP_FRAME_PING, NULL);
    ck_assert_uint_eq(peer_last_call(&peer)->lost, 0);
    peer_wait(&peer, 60);
    peer_expect_goaway(&peer, "KEEPALIVE");
    ck_assert_uint_eq(peer_last_call(&peer)->lost, 1);
}
END_TEST

START_TEST(peer_that_answers_pings_stays)
{
    struct nsp_frame frame;
    int pings = 0;
    peer_greet(&peer);
    for (int i = 0; i < 30; i++) {
        peer_wait(&peer, 10);
        while (peer_next(&peer, &frame, NULL)) {
            ck_assert_uint_eq(frame.type, NSP_FRAME_PING);
            peer_send_number(&peer, NSP_FRAME_PONG, 0, 0, 0, 1);
            pings++;
        }
    }
    ck_assert(!peer.closed_by_agent);
    ck_assert_int_ge(pings, 3);
    ck_assert_int_le(pings, 8);
}
END_TEST

START_TEST(peer_that_sends_is_not_pinged)
{
    struct nsp_frame frame;
    peer_greet(&peer);
    for (int i = 0; i < 15; i++) {
        peer_wait(&peer, 10);
        peer_send_number(&peer, NSP_FRAME_PONG, 0, 0, 0, 1);
    }
    peer_settle(&peer);
    ck_assert(!peer_next(&peer, &frame, NULL));
}
END_TEST

START_TEST(unread_goodbye_does_not_keep_a_connection)
{
    peer_greet(&peer);
    peer.paused = true;
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 99, 0, 0);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_stats(&peer).connections, 1);
    peer_wait(&peer, 100);
    ck_assert_uint_eq(peer_stats(&peer).connections, 0);
    peer.paused = false;
    peer_expect_goaway(&peer, "PROTOCOL");
}
END_TEST

START_TEST(newest_silent_connections_stay)
{
    int fds[6];
    peer_disconnect(&peer);
    peer_settle(&peer);
    for (int i = 0; i < 6; i++) {
        peer_connect(&peer);
        fds[i] = peer.fd;
        peer.fd = -1;
    }
    peer_settle(&peer);
    ck_assert_uint_eq(peer_stats(&peer).connections, 3);
    ck_assert_uint_eq(peer_stats(&peer).refused_total, 3);
    for (int i = 0; i < 6; i++) {
        char byte;
        ck_assert_int_eq(recv(fds[i], &byte, 1, MSG_DONTWAIT), i < 3 ? 0 : -1);
    }
    /* A client that says hello at once gets through. */
    peer_connect(&peer);
    peer_greet(&peer);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
}
END_TEST

START_TEST(connections_beyond_the_limit_are_told)
{
    int fds[4];
    peer_greet(&peer);
    fds[0] = peer.fd;
    for (int i = 1; i < 4; i++) {
        peer.fd = -1;
        peer_connect(&peer);
        peer_greet(&peer);
        fds[i] = peer.fd;
    }
    peer.fd = -1;
    peer_connect(&peer);
    uint8_t preface[NSP_PREFACE_SIZE];
    nsp_preface_encode(preface);
    peer_send(&peer, preface, sizeof preface);
    peer_settle(&peer);
    peer_expect_preface(&peer);
    peer_expect_goaway(&peer, "EXHAUSTED");
    close(fds[0]);
    peer_settle(&peer);
    peer_connect(&peer);
    peer_greet(&peer);
    ck_assert_uint_eq(peer_stats(&peer).refused_total, 1);
    for (int i = 1; i < 4; i++)
        close(fds[i]);
}
END_TEST

/* Tokens */

static void greet_with(const char *token)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    char request[128];
    nsp_preface_encode(preface);
    peer_send(&peer, preface, sizeof preface);
    snprintf(request, sizeof request, "{\"method\":\"hello\",\"token\":\"%s\"}", token);
    peer_request(&peer, 1, request);
    peer_request(&peer, 3, "{\"method\":\"echo\"}");
    peer_settle(&peer);
}

START_TEST(right_token_opens_the_session)
{
    peer_connect_tcp(&peer, "0123456789abcdef");
    greet_with("0123456789abcdef");
    peer_expect_preface(&peer);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

START_TEST(wrong_token_is_answered_late_and_closed)
{
    const char *payload;
    struct nsp_frame frame;
    peer_connect_tcp(&peer, "0123456789abcdef");
    greet_with(_i ? "0123456789abcdeg" : "");
    /* Nothing yet, and what follows is not looked at. */
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
    ck_assert_uint_eq(peer.call_count, 1);
    peer_wait(&peer, 60);
    peer_expect_preface(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    peer_assert_error(&frame, payload, "UNAUTHENTICATED");
    ck_assert_uint_eq(peer.call_count, 1);
    ck_assert(peer.closed_by_agent);
}
END_TEST

START_TEST(accepting_can_be_stopped)
{
    peer_connect_tcp(&peer, "0123456789abcdef");
    greet_with("0123456789abcdef");
    session_server_stop_accepting(peer.server);
    peer_request(&peer, 5, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    peer_expect_preface(&peer);
    for (int i = 0; i < 3; i++)
        peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("session limits");
    TCase *tcase = tcase_create("session limits");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, streams_beyond_the_limit_are_refused_by_name);
    tcase_add_test(tcase, connection_without_hello_is_closed);
    tcase_add_test(tcase, silent_peer_is_pinged_and_then_dropped);
    tcase_add_test(tcase, peer_that_answers_pings_stays);
    tcase_add_test(tcase, peer_that_sends_is_not_pinged);
    tcase_add_test(tcase, unread_goodbye_does_not_keep_a_connection);
    tcase_add_test(tcase, newest_silent_connections_stay);
    tcase_add_test(tcase, connections_beyond_the_limit_are_told);
    tcase_add_test(tcase, right_token_opens_the_session);
    tcase_add_loop_test(tcase, wrong_token_is_answered_late_and_closed, 0, 2);
    tcase_add_test(tcase, accepting_can_be_stopped);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
