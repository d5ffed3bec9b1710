#include "agent/session/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base64.h"
#include "protocol/limits.h"
#include "tests/support/peer.h"
#include "tests/support/unit.h"

static struct peer peer;
static char line[NSP_LIMIT_JSON_MESSAGE + 4096];

static void set_up(void)
{
    peer_set_up(&peer, NULL);
    peer_connect(&peer);
}

static void tear_down(void)
{
    peer_tear_down(&peer);
}

static void say(const char *text)
{
    peer_send_text(&peer, text);
    peer_settle(&peer);
}

static void expect(const char *wanted)
{
    ck_assert_msg(peer_next_line(&peer, line, sizeof line), "no line, wanted %s", wanted);
    ck_assert_str_eq(line, wanted);
}

static void expect_error(const char *id, const char *name)
{
    char start[64], member[64];
    snprintf(start, sizeof start, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{", id);
    snprintf(member, sizeof member, "\"name\":\"%s\"", name);
    ck_assert_msg(peer_next_line(&peer, line, sizeof line), "no line, wanted %s", name);
    ck_assert_msg(strncmp(line, start, strlen(start)) == 0 && strstr(line, member), "%s", line);
}

static void expect_nothing(void)
{
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
    ck_assert(!peer.closed_by_agent);
}

START_TEST(request_is_answered_with_its_id)
{
    say("{\"method\":\"echo\",\"id\":7}\n");
    expect("{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"method\":\"echo\",\"id\":7}}");
    expect_nothing();
}
END_TEST

START_TEST(request_without_a_label_is_answered_with_null)
{
    say("{\"method\":\"echo\"}\n");
    expect("{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{\"method\":\"echo\"}}");
}
END_TEST

START_TEST(line_ends_and_empty_lines_are_taken_lightly)
{
    say("{\"method\":\"echo\",\"id\":1}\r\n\r\n\n  \n{\"method\":\"echo\",\"id\":2}\n");
    expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"method\":\"echo\",\"id\":1}}");
    expect("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"method\":\"echo\",\"id\":2}}");
    expect_nothing();
}
END_TEST

START_TEST(lines_may_come_byte_by_byte)
{
    static const char text[] = "{\"method\":\"echo\",\"id\":1}\n{\"method\":\"echo\",\"id\":2}\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        peer_send(&peer, text + i, 1);
        peer_settle(&peer);
    }
    expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"method\":\"echo\",\"id\":1}}");
    expect("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"method\":\"echo\",\"id\":2}}");
}
END_TEST

START_TEST(batch_is_refused_by_name_and_the_connection_stays)
{
    say("[{\"method\":\"echo\",\"id\":1}]\n");
    expect_error("null", "INVALID_REQUEST");
    ck_assert_ptr_nonnull(strstr(line, "batches are not supported"));
    say(" [1]\n{\"method\":\"echo\",\"id\":1}\n");
    expect_error("null", "INVALID_REQUEST");
    expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"method\":\"echo\",\"id\":1}}");
    ck_assert_uint_eq(peer.call_count, 1);
}
END_TEST

static const char *const other_starts[] = {"GET / HTTP/1.1\r\n", " {}\n", "\n", "\x16\x03\x01"};

START_TEST(other_first_byte_closes_after_an_error)
{
    say(other_starts[_i]);
    expect_error("null", "PARSE");
    ck_assert(peer.closed_by_agent);
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
}
END_TEST

START_TEST(longest_line_is_accepted_and_a_longer_one_passed_over)
{
    static const char start[] = "{\"method\":\"hold\",\"id\":1";
    char *text = malloc(NSP_LIMIT_JSON_MESSAGE + 3);
    ck_assert_ptr_nonnull(text);
    memset(text, ' ', NSP_LIMIT_JSON_MESSAGE + 1);
    memcpy(text, start, sizeof start - 1);
    text[NSP_LIMIT_JSON_MESSAGE - 1] = '}';
    memcpy(text + NSP_LIMIT_JSON_MESSAGE, "\r\n", 3);
    say(text);
    expect_nothing();
    ck_assert_uint_eq(peer.call_count, 1);

    memcpy(text + NSP_LIMIT_JSON_MESSAGE, " \n", 3);
    say(text);
    expect_error("null", "EXHAUSTED");
    ck_assert_ptr_nonnull(strstr(line, "json_message"));
    /* Far longer: the error comes before the end of the line. */
    text[NSP_LIMIT_JSON_MESSAGE + 1] = ' ';
    say(text);
    expect_error("null", "EXHAUSTED");
    say(text);
    say("\n{\"method\":\"echo\",\"id\":2}\n");
    expect("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"method\":\"echo\",\"id\":2}}");
    ck_assert_uint_eq(peer.call_count, 2);
    free(text);
}
END_TEST

START_TEST(notification_has_the_request_id_and_its_own_members)
{
    say("{\"method\":\"notify\",\"id\":9,\"bytes\":3}\n");
    expect("{\"jsonrpc\":\"2.0\",\"method\":\"test.note\",\"params\":{\"id\":9,\"process\":\"p\","
           "\"text\":\"nnn\"}}");
    expect("{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}");
}
END_TEST

START_TEST(notification_without_members_has_the_request_id)
{
    say("{\"method\":\"hold\",\"id\":3}\n");
    stream_notify(peer_last_call(&peer)->stream, "m", "{}", 2);
    peer_settle(&peer);
    expect("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"id\":3}}");
}
END_TEST

/* Takes output lines of request 1; returns the offset after the last. */
static uint64_t take_output(uint64_t offset)
{
    static const char start[] = "{\"jsonrpc\":\"2.0\",\"method\":\"process.output\",\"params\":{"
                                "\"id\":1,\"channel\":\"stdout\","
                                "\"offset\":";
    static uint8_t bytes[65536];
    size_t length, wrong = 0;
    while (peer_next_line(&peer, line, sizeof line) &&
           strncmp(line, start, sizeof start - 1) == 0) {
        char *rest;
        ck_assert_uint_eq(strtoull(line + sizeof start - 1, &rest, 10), offset);
        ck_assert_int_eq(strncmp(rest, ",\"data\":\"", 9), 0);
        char *data = rest + 9;
        size_t size = strcspn(data, "\"");
        ck_assert_str_eq(data + size, "\"}}");
        ck_assert_int_eq(nsp_base64_decode(bytes, data, size, &length, NULL), 0);
        for (size_t i = 0; i < length; i++)
            wrong += bytes[i] != peer_byte(offset + i);
        offset += length;
    }
    ck_assert_uint_eq(wrong, 0);
    return offset;
}

START_TEST(output_is_base64_without_credit)
{
    char request[64], wanted[160];
    /* Lengths around groups of three, and more than a credit window. */
    static const uint64_t lengths[] = {1, 2, 3, 4, 5, 10, 49151, 49152, 49153, 3000001};
    uint64_t length = lengths[_i];
    snprintf(request, sizeof request, "{\"method\":\"source\",\"bytes\":%llu,\"id\":1}\n",
             (unsigned long long)length);
    say(request);
    ck_assert_uint_eq(take_output(0), length);
    snprintf(wanted, sizeof wanted,
             "{\"jsonrpc\":\"2.0\",\"method\":\"process.end\",\"params\":{\"id\":1,\"channel\":"
             "\"stdout\","
             "\"offset\":%llu,\"truncated\":true}}",
             (unsigned long long)length);
    ck_assert_str_eq(line, wanted);
    expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"done\":true}}");
}
END_TEST

START_TEST(gap_is_told)
{
    say("{\"method\":\"gap\",\"bytes\":5,\"id\":1}\n");
    expect("{\"jsonrpc\":\"2.0\",\"method\":\"process.gap\",\"params\":{\"id\":1,\"channel\":"
           "\"stdout\","
           "\"offset\":0,\"to\":5}}");
    ck_assert_uint_eq(take_output(5), 10);
}
END_TEST

START_TEST(numbers_beyond_doubles_are_strings)
{
    peer.read_limit = 4096; /* the data after it never ends */
    say("{\"method\":\"gap\",\"bytes\":9007199254740993,\"id\":1}\n");
    expect("{\"jsonrpc\":\"2.0\",\"method\":\"process.gap\",\"params\":{\"id\":1,\"channel\":"
           "\"stdout\","
           "\"offset\":0,\"to\":\"9007199254740993\"}}");
}
END_TEST

START_TEST(output_counts_as_consumed_when_the_socket_took_it)
{
    peer.paused = true;
    say("{\"method\":\"source\",\"bytes\":3000000,\"id\":1}\n");
    struct peer_call *call = peer_last_call(&peer);
    uint64_t sent = call->sent;
    ck_assert_uint_le(sent, 2 * NSP_LIMIT_SOCKET_UNSENT);
    ck_assert_uint_le(call->consumed, sent);
    peer.read_limit = 0;
    peer.paused = false;
    while (call->responded == 0) {
        peer.read_limit = 100000;
        peer_settle(&peer);
        ck_assert_uint_le(call->consumed, call->sent);
        /* What is behind consumed is in the socket: the client has read it or can. */
        ck_assert_uint_ge(nsp_buf_length(&peer.in) + 4 * NSP_LIMIT_SOCKET_UNSENT, call->consumed);
    }
    peer.read_limit = SIZE_MAX;
    peer_settle(&peer);
    ck_assert_uint_eq(take_output(0), 3000000);
}
END_TEST

START_TEST(call_can_be_cancelled_by_its_id)
{
    struct nsp_error err = NSP_ERROR_INIT;
    say("{\"method\":\"hold\",\"id\":41}\n{\"method\":\"hold\",\"id\":42}\n");
    struct stream *first = peer.calls[0].stream;
    ck_assert(stream_is_text(first));
    ck_assert(!stream_needs_token(first));
    ck_assert(stream_greeted(first));
    ck_assert_int_eq(stream_cancel_labelled(first, "42", 2, &err), 0);
    peer_settle(&peer);
    expect_error("42", "CANCELLED");
    ck_assert_int_eq(stream_cancel_labelled(first, "42", 2, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_NOT_FOUND);
    /* A call does not cancel itself. */
    ck_assert_int_eq(stream_cancel_labelled(first, "41", 2, &err), -1);
}
END_TEST

START_TEST(deadline_is_answered)
{
    say("{\"method\":\"hold\",\"id\":5,\"deadline_ms\":10}\n");
    expect_nothing();
    peer_wait(&peer, 40);
    expect_error("5", "DEADLINE");
}
END_TEST

START_TEST(calls_beyond_the_limit_are_refused_with_their_id)
{
    struct session_limits limits = *session_server_limits(peer.server);
    limits.streams = 2;
    session_server_set_limits(peer.server, &limits);
    peer_connect(&peer);
    say("{\"method\":\"hold\",\"id\":1}\n{\"method\":\"hold\",\"id\":2}\n");
    say("{\"method\":\"hold\",\"id\":3}\n{\"method\":\"hold\"}\n");
    expect_error("3", "EXHAUSTED");
    ck_assert_ptr_nonnull(strstr(line, "streams"));
    /* Without an id it cannot be refused early, but does not stay either. */
    expect_error("null", "CANCELLED");
    ck_assert_uint_eq(peer_stats(&peer).streams, 2);
}
END_TEST

START_TEST(hello_time_ends_with_the_first_line)
{
    struct session_limits limits = *session_server_limits(peer.server);
    limits.hello_ms = 40;
    limits.keepalive_idle_ms = 20;
    limits.keepalive_dead_ms = 20;
    session_server_set_limits(peer.server, &limits);
    peer_connect(&peer);
    say("{\"method\":\"echo\",\"id\":1}\n");
    expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"method\":\"echo\",\"id\":1}}");
    peer_wait(&peer, 120);
    expect_nothing();
    /* A line that never ends is no line. */
    peer_connect(&peer);
    say("{\"method\":");
    peer_wait(&peer, 70);
    expect_error("null", "HELLO_REQUIRED");
    ck_assert(peer.closed_by_agent);
}
END_TEST

START_TEST(token_is_asked_for_where_it_is_needed)
{
    struct session_limits limits = *session_server_limits(peer.server);
    limits.refusal_ms = 20;
    session_server_set_limits(peer.server, &limits);
    peer_connect_tcp(&peer, "0123456789abcdef");
    say("{\"method\":\"hold\",\"id\":1}\n");
    struct stream *stream = peer_last_call(&peer)->stream;
    ck_assert(!stream_greeted(stream));
    ck_assert(stream_needs_token(stream));
    say("{\"method\":\"hello\",\"id\":2,\"token\":\"0123456789abcdef\"}\n");
    expect("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"protocol\":\"1.0\"}}");
    ck_assert(stream_greeted(stream));

    peer_connect_tcp(&peer, "0123456789abcdef");
    say("{\"method\":\"hello\",\"id\":3,\"token\":\"no\"}\n{\"method\":\"echo\",\"id\":4}\n");
    expect_nothing();
    peer_wait(&peer, 40);
    expect_error("3", "UNAUTHENTICATED");
    ck_assert(peer.closed_by_agent);
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
}
END_TEST

START_TEST(cut_at_every_byte_ends_all_calls)
{
    static const char script[] = "{\"method\":\"source\",\"bytes\":50,\"id\":1}\n"
                                 "{\"method\":\"hold\",\"id\":2}\r\n[]\n"
                                 "{\"method\":\"notify\",\"id\":3}\n"
                                 "{\"method\":\"stuck\",\"id\":4}\n";
    for (size_t cut = 0; cut < sizeof script; cut++) {
        unsigned from = peer.call_count;
        peer_connect(&peer);
        peer_send(&peer, script, cut);
        if (cut % 2)
            peer_settle(&peer);
        peer_disconnect(&peer);
        peer_settle(&peer);
        for (unsigned i = from; i < peer.call_count; i++)
            ck_assert_uint_eq(peer.calls[i].lost + peer.calls[i].responded, 1);
        ck_assert_uint_eq(peer_stats(&peer).connections, 0);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("text");
    TCase *tcase = tcase_create("text");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, request_is_answered_with_its_id);
    tcase_add_test(tcase, request_without_a_label_is_answered_with_null);
    tcase_add_test(tcase, line_ends_and_empty_lines_are_taken_lightly);
    tcase_add_test(tcase, lines_may_come_byte_by_byte);
    tcase_add_test(tcase, batch_is_refused_by_name_and_the_connection_stays);
    tcase_add_loop_test(tcase, other_first_byte_closes_after_an_error, 0,
                        sizeof other_starts / sizeof *other_starts);
    tcase_add_test(tcase, longest_line_is_accepted_and_a_longer_one_passed_over);
    tcase_add_test(tcase, notification_has_the_request_id_and_its_own_members);
    tcase_add_test(tcase, notification_without_members_has_the_request_id);
    tcase_add_loop_test(tcase, output_is_base64_without_credit, 0, 10);
    tcase_add_test(tcase, gap_is_told);
    tcase_add_test(tcase, numbers_beyond_doubles_are_strings);
    tcase_add_test(tcase, output_counts_as_consumed_when_the_socket_took_it);
    tcase_add_test(tcase, call_can_be_cancelled_by_its_id);
    tcase_add_test(tcase, deadline_is_answered);
    tcase_add_test(tcase, calls_beyond_the_limit_are_refused_with_their_id);
    tcase_add_test(tcase, hello_time_ends_with_the_first_line);
    tcase_add_test(tcase, token_is_asked_for_where_it_is_needed);
    tcase_add_test(tcase, cut_at_every_byte_ends_all_calls);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
