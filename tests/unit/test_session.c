#include "agent/session/session.h"

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

/* Preface, hello, and what is answered */

START_TEST(preface_and_hello_are_answered)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"echo\",\"x\":1}");
    peer_settle(&peer);
    const char *payload;
    struct nsp_frame frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 3);
    static const char wanted[] = "{\"result\":{\"method\":\"echo\",\"x\":1}}";
    ck_assert_uint_eq(frame.length, sizeof wanted - 1);
    ck_assert_mem_eq(payload, wanted, frame.length);
    ck_assert_uint_eq(peer_stats(&peer).connections, 1);
    ck_assert_uint_eq(peer_stats(&peer).streams, 0);
    ck_assert_uint_gt(peer_stats(&peer).bytes_in, 0);
    peer_disconnect(&peer);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_stats(&peer).connections, 0);
    ck_assert_uint_eq(peer_stats(&peer).connections_total, 1);
    ck_assert_uint_gt(peer_stats(&peer).bytes_out, 0);
}
END_TEST

START_TEST(bytes_may_come_one_by_one)
{
    uint8_t all[256];
    nsp_preface_encode(all);
    static const char request[] = "{\"method\":\"echo\"}";
    struct nsp_frame frame = {.length = sizeof request - 1, .stream = 1, .type = NSP_FRAME_REQUEST};
    nsp_frame_encode(&frame, all + 8);
    memcpy(all + 28, request, sizeof request - 1);
    for (size_t i = 0; i < 28 + sizeof request - 1; i++) {
        peer_send(&peer, all + i, 1);
        peer_settle(&peer);
    }
    peer_expect_preface(&peer);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

START_TEST(ping_is_answered_with_its_own_bytes)
{
    peer_greet(&peer);
    peer_send_number(&peer, NSP_FRAME_PING, 0, 0, 0, UINT64_C(0x1122334455667788));
    peer_settle(&peer);
    const char *payload;
    peer_expect(&peer, NSP_FRAME_PONG, &payload);
    ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)payload), UINT64_C(0x1122334455667788));
}
END_TEST

START_TEST(replies_of_one_read_go_out_in_one_write)
{
    peer_greet(&peer);
    /* One send, so that the agent reads all at once. */
    uint8_t pings[50][28];
    for (int i = 0; i < 50; i++) {
        nsp_frame_encode(&(struct nsp_frame){.length = 8, .type = NSP_FRAME_PING}, pings[i]);
        nsp_frame_put_u64(pings[i] + 20, (uint64_t)i);
    }
    peer_send(&peer, pings, sizeof pings);
    peer_settle(&peer);
    for (uint64_t i = 0; i < 50; i++) {
        const char *payload;
        peer_expect(&peer, NSP_FRAME_PONG, &payload);
        ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)payload), i);
    }
}
END_TEST

START_TEST(other_major_version_is_told_and_closed)
{
    peer_send(&peer, "\xc0NSP\x02\0\0\0", 8);
    peer_settle(&peer);
    peer_expect_preface(&peer);
    peer_expect_goaway(&peer, "VERSION");
    peer_wait(&peer, 5);
}
END_TEST

START_TEST(later_minor_version_is_accepted)
{
    peer_send(&peer, "\xc0NSP\x01\x07\0\0", 8);
    peer_request(&peer, 1, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    peer_expect_preface(&peer);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

START_TEST(broken_preface_is_told)
{
    peer_send(&peer, "\xc0NSX\x01\0\0\0", 8);
    peer_settle(&peer);
    peer_expect_preface(&peer);
    peer_expect_goaway(&peer, "PROTOCOL");
}
END_TEST

/* Malformed frames */

struct bad_frame {
    const char *what;
    struct nsp_frame frame;
    uint8_t reserved;
};

static const struct bad_frame bad_frames[] = {
    {"type 0", {.type = 0}, 0},
    {"type 12", {.type = 12}, 0},
    {"too long", {.type = NSP_FRAME_REQUEST, .stream = 5, .length = 262145}, 0},
    {"empty request", {.type = NSP_FRAME_REQUEST, .stream = 5}, 0},
    {"empty data", {.type = NSP_FRAME_DATA, .stream = 3, .channel = 1}, 0},
    {"short ping", {.type = NSP_FRAME_PING, .length = 7}, 0},
    {"unknown flag", {.type = NSP_FRAME_PING, .length = 8, .flags = 4}, 0},
    {"MORE on ping", {.type = NSP_FRAME_PING, .length = 8, .flags = 1}, 0},
    {"channel 4", {.type = NSP_FRAME_END, .stream = 3, .channel = 4}, 0},
    {"channel 0", {.type = NSP_FRAME_END, .stream = 3}, 0},
    {"channel on ping", {.type = NSP_FRAME_PING, .length = 8, .channel = 1}, 0},
    {"offset on ping", {.type = NSP_FRAME_PING, .length = 8, .offset = 1}, 0},
    {"reserved byte", {.type = NSP_FRAME_PING, .length = 8}, 1},
    {"stream on ping", {.type = NSP_FRAME_PING, .length = 8, .stream = 3}, 0},
    {"request on stream 0", {.type = NSP_FRAME_REQUEST, .length = 2}, 0},
    {"even id", {.type = NSP_FRAME_REQUEST, .length = 2, .stream = 6}, 0},
    {"id used again", {.type = NSP_FRAME_REQUEST, .length = 2, .stream = 1}, 0},
    {"id of a running call", {.type = NSP_FRAME_REQUEST, .length = 2, .stream = 3}, 0},
    {"response", {.type = NSP_FRAME_RESPONSE, .length = 2, .stream = 3}, 0},
    {"notify", {.type = NSP_FRAME_NOTIFY, .length = 2, .stream = 3}, 0},
    {"gap", {.type = NSP_FRAME_GAP, .length = 8, .stream = 3, .channel = 1}, 0},
    {"data never opened", {.type = NSP_FRAME_DATA, .length = 1, .stream = 5, .channel = 1}, 0},
    {"cancel never opened", {.type = NSP_FRAME_CANCEL, .stream = 5}, 0},
    {"cancel of an even id", {.type = NSP_FRAME_CANCEL, .stream = 2}, 0},
    {"data without input", {.type = NSP_FRAME_DATA, .length = 1, .stream = 3, .channel = 2}, 0},
    {"end without input", {.type = NSP_FRAME_END, .stream = 3, .channel = 3}, 0},
    {"end too early", {.type = NSP_FRAME_END, .stream = 3, .channel = 1, .offset = 7}, 0},
    {"hole", {.type = NSP_FRAME_DATA, .length = 1, .stream = 3, .channel = 1, .offset = 1}, 0},
    {"beyond credit", {.type = NSP_FRAME_DATA, .length = 101, .stream = 3, .channel = 1}, 0},
    {"credit without output",
     {.type = NSP_FRAME_CREDIT, .length = 8, .stream = 3, .channel = 2},
     0},
};

START_TEST(malformed_frame_ends_only_its_connection)
{
    const struct bad_frame *bad = &bad_frames[_i];
    uint8_t header[NSP_FRAME_HEADER_SIZE], payload[128] = "{}";
    /* A second connection with a call in progress. */
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\"}");
    peer_settle(&peer);
    int other = peer.fd;
    peer.fd = -1;

    peer_connect(&peer);
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":100}");
    nsp_frame_encode(&bad->frame, header);
    header[11] = bad->reserved;
    peer_send(&peer, header, sizeof header);
    peer_send(&peer, payload, bad->frame.length < 128 ? bad->frame.length : 128);
    peer_expect_goaway(&peer, "PROTOCOL");
    ck_assert_uint_eq(peer_last_call(&peer)->lost, 1);
    peer_disconnect(&peer);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_stats(&peer).connections, 1);
    ck_assert_uint_eq(peer_stats(&peer).streams, 1);

    peer.fd = other;
    peer_send_number(&peer, NSP_FRAME_PING, 0, 0, 0, 1);
    peer_settle(&peer);
    peer_expect(&peer, NSP_FRAME_PONG, NULL);
}
END_TEST

START_TEST(frames_of_an_ended_stream_are_ignored)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"echo\"}");
    peer_send_data(&peer, 3, 0, 10);
    peer_send_data(&peer, 3, 7000, 10);
    peer_send_plain(&peer, NSP_FRAME_END, 3, 1, 99);
    peer_send_number(&peer, NSP_FRAME_CREDIT, 3, 2, 5, 10);
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 3, 0, 0);
    peer_request(&peer, 9, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 3);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 9);
    /* 5 was passed over: it can never be opened, and so has ended. */
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 5, 0, 0);
    peer_send_number(&peer, NSP_FRAME_PING, 0, 0, 0, 1);
    peer_settle(&peer);
    peer_expect(&peer, NSP_FRAME_PONG, NULL);
}
END_TEST

/* Requests in parts */

START_TEST(parts_of_requests_may_interleave)
{
    peer_greet(&peer);
    peer_request_part(&peer, 3, "{\"method\":", 10, true);
    peer_request_part(&peer, 5, "{\"method\":\"ec", 13, true);
    peer_send_number(&peer, NSP_FRAME_PING, 0, 0, 0, 1);
    peer_request_part(&peer, 3, "\"echo\",", 7, true);
    peer_request_part(&peer, 5, "ho\",\"n\":5}", 10, false);
    peer_request_part(&peer, 3, "\"n\":3}", 6, false);
    peer_settle(&peer);
    const char *payload;
    peer_expect(&peer, NSP_FRAME_PONG, NULL);
    struct nsp_frame frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 5);
    ck_assert_mem_eq(payload, "{\"result\":{\"method\":\"echo\",\"n\":5}}", frame.length);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 3);
    ck_assert_mem_eq(payload, "{\"result\":{\"method\":\"echo\",\"n\":3}}", frame.length);
}
END_TEST

START_TEST(request_longer_than_a_message_is_refused_and_its_rest_ignored)
{
    static char part[200000];
    struct nsp_frame frame;
    const char *payload;
    memset(part, ' ', sizeof part);
    peer_greet(&peer);
    for (int i = 0; i < 8; i++)
        peer_request_part(&peer, 3, part, sizeof part, i < 7);
    peer_request(&peer, 5, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 3);
    peer_assert_error(&frame, payload, "EXHAUSTED");
    ck_assert_ptr_nonnull(memmem(payload, frame.length, "json_message", 12));
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 5);
}
END_TEST

START_TEST(all_requests_under_way_are_limited_together)
{
    static char part[262144];
    struct nsp_frame frame;
    const char *payload;
    memset(part, ' ', sizeof part);
    peer_greet(&peer);
    for (uint32_t i = 0; i < 9; i++)
        peer_request_part(&peer, 3 + 2 * i, part, sizeof part, true);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 19);
    peer_assert_error(&frame, payload, "EXHAUSTED");
    ck_assert(!peer_next(&peer, &frame, &payload));
    /* A cancelled one makes room. */
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 3, 0, 0);
    peer_request_part(&peer, 3, part, 10, false);
    peer_request_part(&peer, 21, part, sizeof part, true);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 3);
    peer_assert_error(&frame, payload, "CANCELLED");
    ck_assert(!peer_next(&peer, &frame, &payload));
}
END_TEST

START_TEST(long_answers_are_split_and_too_long_ones_refused)
{
    struct nsp_frame frame;
    const char *payload;
    size_t total = 0;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"notify\",\"bytes\":600000}");
    peer_settle(&peer);
    do {
        frame = peer_expect(&peer, NSP_FRAME_NOTIFY, &payload);
        if (total == 0)
            ck_assert_mem_eq(payload, "{\"method\":\"test.note\",\"params\":{\"process\":\"p\",",
                             45);
        total += frame.length;
    } while (frame.flags & NSP_FLAG_MORE);
    ck_assert_mem_eq(payload + frame.length - 4, "n\"}}", 4);
    ck_assert_uint_eq(total, 600057);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
    peer_request(&peer, 5, "{\"method\":\"long\",\"bytes\":1048576}");
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    peer_assert_error(&frame, payload, "EXHAUSTED");
    /* A notification cannot be refused, so the connection goes. */
    peer_request(&peer, 7, "{\"method\":\"notify\",\"bytes\":1048576}");
    peer_settle(&peer);
    ck_assert(peer.closed_by_agent);
}
END_TEST

/* Ends of streams */

START_TEST(cancel_is_answered_once)
{
    struct nsp_frame frame;
    const char *payload;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\"}");
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 3, 0, 0);
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 3, 0, 0);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    peer_assert_error(&frame, payload, "CANCELLED");
    ck_assert(!peer_next(&peer, &frame, &payload));
    ck_assert_uint_eq(peer_last_call(&peer)->cancelled, 1);
    ck_assert_uint_eq(peer_last_call(&peer)->lost, 0);
}
END_TEST

START_TEST(cancel_is_answered_even_if_the_handler_forgets)
{
    const char *payload;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\",\"bytes\":13}");
    peer_send_plain(&peer, NSP_FRAME_CANCEL, 3, 0, 0);
    peer_settle(&peer);
    struct nsp_frame frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    peer_assert_error(&frame, payload, "CANCELLED");
}
END_TEST

START_TEST(deadline_ends_the_call)
{
    struct nsp_frame frame;
    const char *payload;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\",\"deadline_ms\":20}");
    peer_request(&peer, 5, "{\"method\":\"echo\",\"deadline_ms\":20}");
    peer_settle(&peer);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 5);
    ck_assert(!peer_next(&peer, &frame, &payload));
    peer_wait(&peer, 60);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 3);
    peer_assert_error(&frame, payload, "DEADLINE");
    ck_assert_uint_eq(peer.calls[1].deadlines, 1);
    ck_assert_uint_eq(peer.calls[2].deadlines, 0);
}
END_TEST

START_TEST(lost_connection_is_told_to_every_stream_once)
{
    peer_greet(&peer);
    for (uint32_t i = 0; i < 100; i++)
        peer_request(&peer, 3 + 2 * i,
                     i % 2 ? "{\"method\":\"hold\"}" : "{\"method\":\"source\",\"bytes\":99999}");
    peer_settle(&peer);
    peer_disconnect(&peer);
    peer_settle(&peer);
    for (unsigned i = 1; i < peer.call_count; i++)
        ck_assert_uint_eq(peer.calls[i].lost + peer.calls[i].responded, 1);
    ck_assert_uint_eq(peer_stats(&peer).connections, 0);
}
END_TEST

START_TEST(goaway_of_the_client_ends_the_session)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\"}");
    peer_send_frame(&peer, &(struct nsp_frame){.length = 2, .type = NSP_FRAME_GOAWAY}, "{}");
    peer_settle(&peer);
    ck_assert(peer.closed_by_agent);
    ck_assert_uint_eq(peer_last_call(&peer)->lost, 1);
}
END_TEST

START_TEST(server_that_ends_says_shutting_down)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\"}");
    peer_settle(&peer);
    session_server_free(peer.server);
    peer.server = NULL;
    peer_expect_goaway(&peer, "SHUTTING_DOWN");
    ck_assert_uint_eq(peer_last_call(&peer)->lost, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("session");
    TCase *tcase = tcase_create("session");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, preface_and_hello_are_answered);
    tcase_add_test(tcase, bytes_may_come_one_by_one);
    tcase_add_test(tcase, ping_is_answered_with_its_own_bytes);
    tcase_add_test(tcase, replies_of_one_read_go_out_in_one_write);
    tcase_add_test(tcase, other_major_version_is_told_and_closed);
    tcase_add_test(tcase, later_minor_version_is_accepted);
    tcase_add_test(tcase, broken_preface_is_told);
    tcase_add_loop_test(tcase, malformed_frame_ends_only_its_connection, 0,
                        sizeof bad_frames / sizeof *bad_frames);
    tcase_add_test(tcase, frames_of_an_ended_stream_are_ignored);
    tcase_add_test(tcase, parts_of_requests_may_interleave);
    tcase_add_test(tcase, request_longer_than_a_message_is_refused_and_its_rest_ignored);
    tcase_add_test(tcase, all_requests_under_way_are_limited_together);
    tcase_add_test(tcase, long_answers_are_split_and_too_long_ones_refused);
    tcase_add_test(tcase, cancel_is_answered_once);
    tcase_add_test(tcase, cancel_is_answered_even_if_the_handler_forgets);
    tcase_add_test(tcase, deadline_ends_the_call);
    tcase_add_test(tcase, lost_connection_is_told_to_every_stream_once);
    tcase_add_test(tcase, goaway_of_the_client_ends_the_session);
    tcase_add_test(tcase, server_that_ends_says_shutting_down);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
