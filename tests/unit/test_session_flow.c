#include "agent/session/stream.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/limits.h"
#include "tests/support/peer.h"
#include "tests/support/unit.h"

static struct peer peer;

static void set_up(void)
{
    peer_set_up(&peer, NULL);
    peer_connect(&peer);
}

static void tear_down(void)
{
    peer_tear_down(&peer);
}

/* Output */

START_TEST(output_comes_whole_with_end_and_answer)
{
    struct nsp_frame frame;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"source\",\"bytes\":700000}");
    peer_settle(&peer);
    ck_assert_uint_eq(peer_take_data(&peer, 3, 0), 700000);
    frame = peer_expect(&peer, NSP_FRAME_END, NULL);
    ck_assert_uint_eq(frame.offset, 700000);
    ck_assert_uint_eq(frame.flags, NSP_FLAG_TRUNCATED);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
    ck_assert_uint_eq(peer_stats(&peer).streams, 0);
}
END_TEST

START_TEST(output_stops_without_credit_and_goes_on_with_it)
{
    const uint64_t window = NSP_LIMIT_INITIAL_CREDIT, total = 3 * window;
    char request[64];
    peer_greet(&peer);
    snprintf(request, sizeof request, "{\"method\":\"source\",\"bytes\":%llu}",
             (unsigned long long)total);
    peer_request(&peer, 3, request);
    peer_settle(&peer);
    uint64_t at = peer_take_data(&peer, 3, 0);
    ck_assert_uint_eq(at, window);
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
    /* Consumed without a new limit frees nothing; numbers that shrink are ignored. */
    peer_send_number(&peer, NSP_FRAME_CREDIT, 3, 2, 1000, window);
    peer_send_number(&peer, NSP_FRAME_CREDIT, 3, 2, 10, 11);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_last_call(&peer)->consumed, 1000);
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
    peer_send_number(&peer, NSP_FRAME_CREDIT, 3, 2, 1000, window + 1);
    peer_settle(&peer);
    at = peer_take_data(&peer, 3, at);
    ck_assert_uint_eq(at, window + 1);
    while (at < total) {
        peer_send_number(&peer, NSP_FRAME_CREDIT, 3, 2, at, at + 70000);
        peer_settle(&peer);
        uint64_t next = peer_take_data(&peer, 3, at);
        ck_assert_uint_gt(next, at);
        at = next;
    }
    peer_expect(&peer, NSP_FRAME_END, NULL);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

START_TEST(credit_for_bytes_that_were_not_sent_is_malformed)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"stuck\"}");
    peer_send_number(&peer, NSP_FRAME_CREDIT, 3, 2, 1, 100);
    peer_expect_goaway(&peer, "PROTOCOL");
    ck_assert_uint_eq(peer_last_call(&peer)->lost, 1);
}
END_TEST

START_TEST(gap_needs_no_credit_and_raises_the_limit)
{
    struct nsp_frame frame;
    const char *payload;
    const uint64_t gap = 2 * (uint64_t)NSP_LIMIT_INITIAL_CREDIT;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"gap\",\"bytes\":2097152}");
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_GAP, &payload);
    ck_assert_uint_eq(frame.offset, 0);
    ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)payload), gap);
    ck_assert_uint_eq(peer_take_data(&peer, 3, gap), gap + NSP_LIMIT_INITIAL_CREDIT);
}
END_TEST

START_TEST(handler_with_nothing_is_not_asked_again)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"stuck\"}");
    for (int i = 0; i < 5; i++)
        peer_settle(&peer);
    ck_assert_uint_eq(peer_last_call(&peer)->pulls, 1);
    stream_ready(peer_last_call(&peer)->stream);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_last_call(&peer)->pulls, 2);
}
END_TEST

START_TEST(control_overtakes_data_and_little_waits_in_the_socket)
{
    struct nsp_frame frame;
    const char *payload;
    uint64_t before = 0;
    peer_greet(&peer);
    peer.paused = true;
    peer_request(&peer, 3, "{\"method\":\"source\",\"bytes\":1000000}");
    peer_settle(&peer);
    uint64_t sent = peer_last_call(&peer)->sent;
    ck_assert_uint_le(sent, NSP_LIMIT_SOCKET_UNSENT);
    peer_send_number(&peer, NSP_FRAME_PING, 0, 0, 0, 7);
    peer_request(&peer, 5, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    ck_assert_uint_eq(peer.calls[1].sent, sent);
    peer.paused = false;
    peer_settle(&peer);
    before = peer_take_data(&peer, 3, 0);
    ck_assert_uint_eq(before, sent);
    peer_expect(&peer, NSP_FRAME_PONG, &payload);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 5);
    ck_assert_uint_eq(peer_take_data(&peer, 3, before), 1000000);
    frame = peer_expect(&peer, NSP_FRAME_END, NULL);
    ck_assert_uint_eq(frame.offset, 1000000);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

START_TEST(ready_streams_take_turns)
{
    struct nsp_frame frame;
    uint32_t previous = 0;
    int turns = 0;
    peer_greet(&peer);
    peer.paused = true;
    peer_request(&peer, 3, "{\"method\":\"source\",\"bytes\":1000000}");
    peer_request(&peer, 5, "{\"method\":\"source\",\"bytes\":1000000}");
    peer_request(&peer, 7, "{\"method\":\"source\",\"bytes\":1000000}");
    peer_settle(&peer);
    peer.paused = false;
    peer_settle(&peer);
    while (peer_next(&peer, &frame, NULL) && frame.type == NSP_FRAME_DATA) {
        ck_assert_uint_ne(frame.stream, previous);
        previous = frame.stream;
        turns++;
    }
    ck_assert_int_gt(turns, 40);
}
END_TEST

/* Input */

START_TEST(input_is_passed_on_within_credit)
{
    const uint64_t total = 1500000;
    uint64_t limit = 200000, at = 0;
    struct nsp_frame frame;
    const char *payload;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":200000}");
    while (at < total) {
        uint64_t length = limit - at;
        if (length > NSP_LIMIT_FRAME_PAYLOAD)
            length = NSP_LIMIT_FRAME_PAYLOAD;
        if (length > total - at)
            length = total - at;
        ck_assert_uint_gt(length, 0);
        peer_send_data(&peer, 3, at, length);
        at += length;
        peer_settle(&peer);
        while (peer_next(&peer, &frame, &payload)) {
            ck_assert_uint_eq(frame.type, NSP_FRAME_CREDIT);
            ck_assert_uint_eq(frame.channel, NSP_CHANNEL_STDIN);
            ck_assert_uint_le(frame.offset, at);
            limit = nsp_frame_get_u64((const uint8_t *)payload);
        }
    }
    ck_assert_uint_eq(peer_last_call(&peer)->received, total);
    ck_assert_uint_eq(peer_last_call(&peer)->wrong_bytes, 0);
    peer_send_plain(&peer, NSP_FRAME_END, 3, 1, total);
    peer_send_plain(&peer, NSP_FRAME_END, 3, 1, total);
    peer_settle(&peer);
    ck_assert(peer_last_call(&peer)->input_ended);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

START_TEST(no_credit_comes_while_nothing_is_consumed)
{
    struct nsp_frame frame;
    peer.consume = false;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":1000}");
    peer_send_data(&peer, 3, 0, 1000);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_last_call(&peer)->received, 1000);
    ck_assert(!peer_next(&peer, &frame, NULL));
    stream_consumed(peer_last_call(&peer)->stream, 1, 249);
    peer_settle(&peer);
    ck_assert(!peer_next(&peer, &frame, NULL));
    stream_consumed(peer_last_call(&peer)->stream, 1, 1);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_CREDIT, NULL).offset, 250);
}
END_TEST

START_TEST(repeated_input_is_trimmed)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":10000}");
    peer_send_data(&peer, 3, 0, 100);
    peer_send_data(&peer, 3, 0, 100);
    peer_send_data(&peer, 3, 50, 100);
    peer_send_data(&peer, 3, 149, 2);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_last_call(&peer)->received, 151);
    ck_assert_uint_eq(peer_last_call(&peer)->wrong_bytes, 0);
}
END_TEST

START_TEST(input_without_window_is_refused)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":0}");
    peer_send_data(&peer, 3, 0, 1);
    peer_expect_goaway(&peer, "PROTOCOL");
}
END_TEST

/* A reader that does not read */

START_TEST(flood_of_unread_pings_is_bounded)
{
    uint8_t pings[100][28];
    for (int i = 0; i < 100; i++) {
        nsp_frame_encode(&(struct nsp_frame){.length = 8, .type = NSP_FRAME_PING}, pings[i]);
        nsp_frame_put_u64(pings[i] + 20, (uint64_t)i);
    }
    peer_greet(&peer);
    peer.paused = true;
    size_t total = 0;
    /* Until the agent reads no more and the socket is full. */
    for (int i = 0; i < 100000; i++) {
        ssize_t sent = send(peer.fd, (uint8_t *)pings + total % sizeof pings,
                            sizeof pings - total % sizeof pings, MSG_NOSIGNAL);
        if (sent > 0)
            total += (size_t)sent;
        peer_settle(&peer);
        if (sent < 0)
            break;
    }
    ck_assert_uint_lt(total, 4 * NSP_LIMIT_CONTROL_QUEUE);
    ck_assert_uint_lt(peer_stats(&peer).bytes_in, NSP_LIMIT_CONTROL_QUEUE + 65536);
    ck_assert_uint_eq(peer_stats(&peer).connections, 1);
    /* When it reads again, every ping is answered, in order. */
    peer.paused = false;
    peer_settle(&peer);
    struct nsp_frame frame;
    const char *payload;
    for (size_t i = 0; i < total / 28; i++) {
        frame = peer_expect(&peer, NSP_FRAME_PONG, &payload);
        ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)payload), i % 100);
    }
    ck_assert(!peer_next(&peer, &frame, &payload));
}
END_TEST

START_TEST(queue_over_its_limit_drops_the_connection)
{
    peer_greet(&peer);
    peer.paused = true;
    for (uint32_t i = 0; i < 6; i++)
        peer_request(&peer, 3 + 2 * i, "{\"method\":\"hold\"}");
    peer_settle(&peer);
    static char note[300000];
    memset(note, 'n', sizeof note);
    memcpy(note, "{\"a\":\"", 6);
    memcpy(note + sizeof note - 2, "\"}", 2);
    for (int i = 0; i < 20; i++)
        for (unsigned k = 1; k < peer.call_count; k++)
            if (peer.calls[k].stream)
                stream_notify(peer.calls[k].stream, "test.note", note, sizeof note);
    /* Not from inside stream_notify. */
    for (unsigned k = 1; k < peer.call_count; k++)
        ck_assert_uint_eq(peer.calls[k].lost, 0);
    peer_settle(&peer);
    for (unsigned k = 1; k < peer.call_count; k++)
        ck_assert_uint_eq(peer.calls[k].lost, 1);
    ck_assert_uint_eq(peer_stats(&peer).connections, 0);
}
END_TEST

START_TEST(slow_reader_gets_every_byte)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"source\",\"bytes\":300000}");
    size_t rounds = 0;
    while (peer_last_call(&peer)->responded == 0 && rounds++ < 100000) {
        peer.read_limit = 777;
        peer_settle(&peer);
    }
    peer.read_limit = SIZE_MAX;
    peer_settle(&peer);
    ck_assert_uint_eq(peer_take_data(&peer, 3, 0), 300000);
    peer_expect(&peer, NSP_FRAME_END, NULL);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("session flow");
    TCase *tcase = tcase_create("session flow");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, output_comes_whole_with_end_and_answer);
    tcase_add_test(tcase, output_stops_without_credit_and_goes_on_with_it);
    tcase_add_test(tcase, credit_for_bytes_that_were_not_sent_is_malformed);
    tcase_add_test(tcase, gap_needs_no_credit_and_raises_the_limit);
    tcase_add_test(tcase, handler_with_nothing_is_not_asked_again);
    tcase_add_test(tcase, control_overtakes_data_and_little_waits_in_the_socket);
    tcase_add_test(tcase, ready_streams_take_turns);
    tcase_add_test(tcase, input_is_passed_on_within_credit);
    tcase_add_test(tcase, no_credit_comes_while_nothing_is_consumed);
    tcase_add_test(tcase, repeated_input_is_trimmed);
    tcase_add_test(tcase, input_without_window_is_refused);
    tcase_add_test(tcase, flood_of_unread_pings_is_bounded);
    tcase_add_test(tcase, queue_over_its_limit_drops_the_connection);
    tcase_add_test(tcase, slow_reader_gets_every_byte);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
