#include "agent/session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/limits.h"
#include "tests/support/peer.h"
#include "tests/support/unit.h"

static struct peer peer;

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

static void set_up(void)
{
    peer_set_up(&peer, NULL);
    peer_connect(&peer);
}

static void set_up_short(void)
{
    peer_set_up(&peer, &short_limits);
    peer_connect(&peer);
}

static void tear_down(void)
{
    peer_tear_down(&peer);
}

static struct session_stats stats(void)
{
    struct session_stats result;
    session_server_stats(peer.server, &result);
    return result;
}

static struct peer_call *last_call(void)
{
    ck_assert_uint_gt(peer.call_count, 0);
    return &peer.calls[peer.call_count - 1];
}

static void send_number(uint8_t type, uint32_t stream, uint8_t channel, uint64_t offset,
                        uint64_t number)
{
    uint8_t payload[8];
    nsp_frame_put_u64(payload, number);
    peer_send_frame(
        &peer,
        &(struct nsp_frame){
            .length = 8, .stream = stream, .type = type, .channel = channel, .offset = offset},
        payload);
}

static void send_data(uint32_t stream, uint64_t offset, size_t length)
{
    uint8_t *bytes = malloc(length);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = peer_byte(offset + i);
    peer_send_frame(&peer,
                    &(struct nsp_frame){.length = (uint32_t)length,
                                        .stream = stream,
                                        .type = NSP_FRAME_DATA,
                                        .channel = NSP_CHANNEL_STDIN,
                                        .offset = offset},
                    bytes);
    free(bytes);
}

static void send_plain(uint8_t type, uint32_t stream, uint8_t channel, uint64_t offset)
{
    peer_send_frame(
        &peer,
        &(struct nsp_frame){.stream = stream, .type = type, .channel = channel, .offset = offset},
        NULL);
}

/* Takes DATA of stream from offset on, checking every byte; returns where it ends. */
static uint64_t take_data(uint32_t stream, uint64_t offset)
{
    struct nsp_frame frame;
    const char *payload;
    while (nsp_buf_length(&peer.in) > 8 && nsp_buf_bytes(&peer.in)[8] == NSP_FRAME_DATA &&
           peer_next(&peer, &frame, &payload)) {
        ck_assert_uint_eq(frame.stream, stream);
        ck_assert_uint_eq(frame.channel, NSP_CHANNEL_STDOUT);
        ck_assert_uint_eq(frame.offset, offset);
        for (size_t i = 0; i < frame.length; i++)
            ck_assert_uint_eq((uint8_t)payload[i], peer_byte(offset + i));
        offset += frame.length;
    }
    return offset;
}

static void assert_error(const struct nsp_frame *frame, const char *payload, const char *name)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"name\":\"%s\"", name);
    ck_assert_msg(memmem(payload, frame->length, wanted, strlen(wanted)) != NULL, "%.*s",
                  (int)frame->length, payload);
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
    ck_assert_uint_eq(stats().connections, 1);
    ck_assert_uint_eq(stats().streams, 0);
    ck_assert_uint_gt(stats().bytes_in, 0);
    peer_disconnect(&peer);
    peer_settle(&peer);
    ck_assert_uint_eq(stats().connections, 0);
    ck_assert_uint_eq(stats().connections_total, 1);
    ck_assert_uint_gt(stats().bytes_out, 0);
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
    send_number(NSP_FRAME_PING, 0, 0, 0, UINT64_C(0x1122334455667788));
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
    ck_assert_uint_eq(last_call()->lost, 1);
    peer_disconnect(&peer);
    peer_settle(&peer);
    ck_assert_uint_eq(stats().connections, 1);
    ck_assert_uint_eq(stats().streams, 1);

    peer.fd = other;
    send_number(NSP_FRAME_PING, 0, 0, 0, 1);
    peer_settle(&peer);
    peer_expect(&peer, NSP_FRAME_PONG, NULL);
}
END_TEST

START_TEST(frames_of_an_ended_stream_are_ignored)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"echo\"}");
    send_data(3, 0, 10);
    send_data(3, 7000, 10);
    send_plain(NSP_FRAME_END, 3, 1, 99);
    send_number(NSP_FRAME_CREDIT, 3, 2, 5, 10);
    send_plain(NSP_FRAME_CANCEL, 3, 0, 0);
    peer_request(&peer, 9, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 3);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 9);
    /* 5 was passed over: it can never be opened, and so has ended. */
    send_plain(NSP_FRAME_CANCEL, 5, 0, 0);
    send_number(NSP_FRAME_PING, 0, 0, 0, 1);
    peer_settle(&peer);
    peer_expect(&peer, NSP_FRAME_PONG, NULL);
}
END_TEST

/* Requests in parts */

static void send_part(uint32_t stream, const char *text, size_t length, bool more)
{
    peer_send_frame(&peer,
                    &(struct nsp_frame){.length = (uint32_t)length,
                                        .stream = stream,
                                        .type = NSP_FRAME_REQUEST,
                                        .flags = more ? NSP_FLAG_MORE : 0},
                    text);
}

START_TEST(parts_of_requests_may_interleave)
{
    peer_greet(&peer);
    send_part(3, "{\"method\":", 10, true);
    send_part(5, "{\"method\":\"ec", 13, true);
    send_number(NSP_FRAME_PING, 0, 0, 0, 1);
    send_part(3, "\"echo\",", 7, true);
    send_part(5, "ho\",\"n\":5}", 10, false);
    send_part(3, "\"n\":3}", 6, false);
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
        send_part(3, part, sizeof part, i < 7);
    peer_request(&peer, 5, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 3);
    assert_error(&frame, payload, "EXHAUSTED");
    ck_assert_ptr_nonnull(memmem(payload, frame.length, "JSON_MESSAGE", 12));
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
        send_part(3 + 2 * i, part, sizeof part, true);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 19);
    assert_error(&frame, payload, "EXHAUSTED");
    ck_assert(!peer_next(&peer, &frame, &payload));
    /* A cancelled one makes room. */
    send_plain(NSP_FRAME_CANCEL, 3, 0, 0);
    send_part(3, part, 10, false);
    send_part(21, part, sizeof part, true);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 3);
    assert_error(&frame, payload, "CANCELLED");
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
            ck_assert_mem_eq(payload, "{\"method\":\"test.note\",\"params\":{\"id\":\"p\",", 40);
        total += frame.length;
    } while (frame.flags & NSP_FLAG_MORE);
    ck_assert_mem_eq(payload + frame.length - 4, "n\"}}", 4);
    ck_assert_uint_eq(total, 600000 + 32 + 18 + 3);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

/* Output */

START_TEST(output_comes_whole_with_end_and_answer)
{
    struct nsp_frame frame;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"source\",\"bytes\":700000}");
    peer_settle(&peer);
    ck_assert_uint_eq(take_data(3, 0), 700000);
    frame = peer_expect(&peer, NSP_FRAME_END, NULL);
    ck_assert_uint_eq(frame.offset, 700000);
    ck_assert_uint_eq(frame.flags, NSP_FLAG_TRUNCATED);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
    ck_assert_uint_eq(stats().streams, 0);
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
    uint64_t at = take_data(3, 0);
    ck_assert_uint_eq(at, window);
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
    /* Consumed without a new limit frees nothing; numbers that shrink are ignored. */
    send_number(NSP_FRAME_CREDIT, 3, 2, 1000, window);
    send_number(NSP_FRAME_CREDIT, 3, 2, 10, 11);
    peer_settle(&peer);
    ck_assert_uint_eq(last_call()->consumed, 1000);
    ck_assert_uint_eq(nsp_buf_length(&peer.in), 0);
    send_number(NSP_FRAME_CREDIT, 3, 2, 1000, window + 1);
    peer_settle(&peer);
    at = take_data(3, at);
    ck_assert_uint_eq(at, window + 1);
    while (at < total) {
        send_number(NSP_FRAME_CREDIT, 3, 2, at, at + 70000);
        peer_settle(&peer);
        uint64_t next = take_data(3, at);
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
    send_number(NSP_FRAME_CREDIT, 3, 2, 1, 100);
    peer_expect_goaway(&peer, "PROTOCOL");
    ck_assert_uint_eq(last_call()->lost, 1);
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
    ck_assert_uint_eq(take_data(3, gap), gap + NSP_LIMIT_INITIAL_CREDIT);
}
END_TEST

START_TEST(handler_with_nothing_is_not_asked_again)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"stuck\"}");
    for (int i = 0; i < 5; i++)
        peer_settle(&peer);
    ck_assert_uint_eq(last_call()->pulls, 1);
    stream_ready(last_call()->stream);
    peer_settle(&peer);
    ck_assert_uint_eq(last_call()->pulls, 2);
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
    uint64_t sent = last_call()->sent;
    ck_assert_uint_le(sent, NSP_LIMIT_SOCKET_UNSENT);
    send_number(NSP_FRAME_PING, 0, 0, 0, 7);
    peer_request(&peer, 5, "{\"method\":\"echo\"}");
    peer_settle(&peer);
    ck_assert_uint_eq(peer.calls[1].sent, sent);
    peer.paused = false;
    peer_settle(&peer);
    before = take_data(3, 0);
    ck_assert_uint_eq(before, sent);
    peer_expect(&peer, NSP_FRAME_PONG, &payload);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 5);
    ck_assert_uint_eq(take_data(3, before), 1000000);
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
        send_data(3, at, length);
        at += length;
        peer_settle(&peer);
        while (peer_next(&peer, &frame, &payload)) {
            ck_assert_uint_eq(frame.type, NSP_FRAME_CREDIT);
            ck_assert_uint_eq(frame.channel, NSP_CHANNEL_STDIN);
            ck_assert_uint_le(frame.offset, at);
            limit = nsp_frame_get_u64((const uint8_t *)payload);
        }
    }
    ck_assert_uint_eq(last_call()->received, total);
    ck_assert_uint_eq(last_call()->wrong_bytes, 0);
    send_plain(NSP_FRAME_END, 3, 1, total);
    send_plain(NSP_FRAME_END, 3, 1, total);
    peer_settle(&peer);
    ck_assert(last_call()->input_ended);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

START_TEST(no_credit_comes_while_nothing_is_consumed)
{
    struct nsp_frame frame;
    peer.consume = false;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":1000}");
    send_data(3, 0, 1000);
    peer_settle(&peer);
    ck_assert_uint_eq(last_call()->received, 1000);
    ck_assert(!peer_next(&peer, &frame, NULL));
    stream_consumed(last_call()->stream, 1, 249);
    peer_settle(&peer);
    ck_assert(!peer_next(&peer, &frame, NULL));
    stream_consumed(last_call()->stream, 1, 1);
    peer_settle(&peer);
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_CREDIT, NULL).offset, 250);
}
END_TEST

START_TEST(repeated_input_is_trimmed)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":10000}");
    send_data(3, 0, 100);
    send_data(3, 0, 100);
    send_data(3, 50, 100);
    send_data(3, 149, 2);
    peer_settle(&peer);
    ck_assert_uint_eq(last_call()->received, 151);
    ck_assert_uint_eq(last_call()->wrong_bytes, 0);
}
END_TEST

START_TEST(input_without_window_is_refused)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"sink\",\"bytes\":0}");
    send_data(3, 0, 1);
    peer_expect_goaway(&peer, "PROTOCOL");
}
END_TEST

/* Ends of streams */

START_TEST(cancel_is_answered_once)
{
    struct nsp_frame frame;
    const char *payload;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\"}");
    send_plain(NSP_FRAME_CANCEL, 3, 0, 0);
    send_plain(NSP_FRAME_CANCEL, 3, 0, 0);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    assert_error(&frame, payload, "CANCELLED");
    ck_assert(!peer_next(&peer, &frame, &payload));
    ck_assert_uint_eq(last_call()->cancelled, 1);
    ck_assert_uint_eq(last_call()->lost, 0);
}
END_TEST

START_TEST(cancel_is_answered_even_if_the_handler_forgets)
{
    const char *payload;
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\",\"bytes\":13}");
    send_plain(NSP_FRAME_CANCEL, 3, 0, 0);
    peer_settle(&peer);
    struct nsp_frame frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    assert_error(&frame, payload, "CANCELLED");
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
    assert_error(&frame, payload, "DEADLINE");
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
    ck_assert_uint_eq(stats().connections, 0);
}
END_TEST

START_TEST(goaway_of_the_client_ends_the_session)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"hold\"}");
    peer_send_frame(&peer, &(struct nsp_frame){.length = 2, .type = NSP_FRAME_GOAWAY}, "{}");
    peer_settle(&peer);
    ck_assert(peer.closed_by_agent);
    ck_assert_uint_eq(last_call()->lost, 1);
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
    ck_assert_uint_eq(last_call()->lost, 1);
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
    ck_assert_uint_lt(stats().bytes_in, NSP_LIMIT_CONTROL_QUEUE + 65536);
    ck_assert_uint_eq(stats().connections, 1);
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
    ck_assert_uint_eq(stats().connections, 0);
}
END_TEST

START_TEST(slow_reader_gets_every_byte)
{
    peer_greet(&peer);
    peer_request(&peer, 3, "{\"method\":\"source\",\"bytes\":300000}");
    size_t rounds = 0;
    while (last_call()->responded == 0 && rounds++ < 100000) {
        peer.read_limit = 777;
        peer_settle(&peer);
    }
    peer.read_limit = SIZE_MAX;
    peer_settle(&peer);
    ck_assert_uint_eq(take_data(3, 0), 300000);
    peer_expect(&peer, NSP_FRAME_END, NULL);
    peer_expect(&peer, NSP_FRAME_RESPONSE, NULL);
}
END_TEST

/* Limits and times, shortened */

START_TEST(streams_beyond_the_limit_are_refused_by_name)
{
    struct nsp_frame frame;
    const char *payload;
    peer_greet(&peer);
    for (uint32_t i = 0; i < 8; i++)
        peer_request(&peer, 3 + 2 * i, "{\"method\":\"hold\"}");
    peer_request(&peer, 99, "{\"method\":\"echo\"}");
    send_part(101, "{\"method\":", 10, true);
    send_part(101, "\"echo\"}", 7, false);
    peer_settle(&peer);
    frame = peer_expect(&peer, NSP_FRAME_RESPONSE, &payload);
    ck_assert_uint_eq(frame.stream, 99);
    assert_error(&frame, payload, "EXHAUSTED");
    ck_assert_ptr_nonnull(memmem(payload, frame.length, "STREAMS", 7));
    ck_assert_uint_eq(peer_expect(&peer, NSP_FRAME_RESPONSE, NULL).stream, 101);
    send_plain(NSP_FRAME_CANCEL, 3, 0, 0);
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
    send_number(NSP_FRAME_PING, 0, 0, 0, 1);
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
    ck_assert_uint_eq(last_call()->lost, 0);
    peer_wait(&peer, 60);
    peer_expect_goaway(&peer, "KEEPALIVE");
    ck_assert_uint_eq(last_call()->lost, 1);
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
            send_number(NSP_FRAME_PONG, 0, 0, 0, 1);
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
        send_number(NSP_FRAME_PONG, 0, 0, 0, 1);
    }
    peer_settle(&peer);
    ck_assert(!peer_next(&peer, &frame, NULL));
}
END_TEST

START_TEST(unread_goodbye_does_not_keep_a_connection)
{
    peer_greet(&peer);
    peer.paused = true;
    send_plain(NSP_FRAME_CANCEL, 99, 0, 0);
    peer_settle(&peer);
    ck_assert_uint_eq(stats().connections, 1);
    peer_wait(&peer, 100);
    ck_assert_uint_eq(stats().connections, 0);
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
    ck_assert_uint_eq(stats().connections, 3);
    ck_assert_uint_eq(stats().refused_total, 3);
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
    peer_connect(&peer);
    peer_settle(&peer);
    ck_assert_uint_eq(stats().refused_total, 1);
    for (int i = 1; i < 4; i++)
        close(fds[i]);
}
END_TEST

/* A connection cut at every byte */

static size_t append(uint8_t *script, size_t at, const struct nsp_frame *frame, const void *payload)
{
    nsp_frame_encode(frame, script + at);
    if (payload)
        memcpy(script + at + NSP_FRAME_HEADER_SIZE, payload, frame->length);
    return at + NSP_FRAME_HEADER_SIZE + frame->length;
}

static size_t append_request(uint8_t *script, size_t at, uint32_t stream, const char *text)
{
    struct nsp_frame frame = {
        .length = (uint32_t)strlen(text), .stream = stream, .type = NSP_FRAME_REQUEST};
    return append(script, at, &frame, text);
}

static size_t write_script(uint8_t *script)
{
    uint8_t number[8], data[40];
    for (uint64_t i = 0; i < sizeof data; i++)
        data[i] = peer_byte(i);
    nsp_frame_put_u64(number, 1 << 20);
    nsp_preface_encode(script);
    size_t at = append_request(script, NSP_PREFACE_SIZE, 1, "{\"method\":\"hello\"}");
    at = append_request(script, at, 3, "{\"method\":\"source\",\"bytes\":50}");
    at = append_request(script, at, 5, "{\"method\":\"sink\",\"bytes\":100}");
    at = append(script, at,
                &(struct nsp_frame){
                    .type = NSP_FRAME_DATA, .stream = 5, .channel = 1, .length = sizeof data},
                data);
    at = append(script, at, &(struct nsp_frame){.type = NSP_FRAME_PING, .length = 8}, number);
    at = append_request(script, at, 7, "{\"method\":\"hold\"}");
    at = append(script, at,
                &(struct nsp_frame){
                    .type = NSP_FRAME_REQUEST, .flags = NSP_FLAG_MORE, .stream = 9, .length = 10},
                "{\"method\":");
    at = append(script, at, &(struct nsp_frame){.type = NSP_FRAME_CANCEL, .stream = 7}, NULL);
    at = append(script, at,
                &(struct nsp_frame){
                    .type = NSP_FRAME_END, .stream = 5, .channel = 1, .offset = sizeof data},
                NULL);
    at = append_request(script, at, 9, "\"stuck\"}");
    at = append(
        script, at,
        &(struct nsp_frame){.type = NSP_FRAME_CREDIT, .stream = 9, .channel = 2, .length = 8},
        number);
    return at;
}

static void assert_all_ended_once(unsigned from)
{
    for (unsigned i = from; i < peer.call_count; i++) {
        ck_assert_uint_eq(peer.calls[i].lost + peer.calls[i].responded, 1);
        ck_assert_uint_eq(peer.calls[i].wrong_bytes, 0);
    }
    ck_assert_uint_eq(stats().connections, 0);
    ck_assert_uint_eq(stats().streams, 0);
}

START_TEST(cut_at_every_byte_sent)
{
    uint8_t script[2048];
    size_t length = write_script(script);
    for (size_t cut = 0; cut <= length; cut++) {
        unsigned from = peer.call_count;
        peer_connect(&peer);
        peer_send(&peer, script, cut);
        if (cut % 2)
            peer_settle(&peer);
        peer_disconnect(&peer);
        peer_settle(&peer);
        assert_all_ended_once(from);
    }
}
END_TEST

START_TEST(cut_at_every_byte_received)
{
    uint8_t script[2048];
    size_t length = write_script(script), total = SIZE_MAX;
    for (size_t cut = 0; cut <= total; cut++) {
        unsigned from = peer.call_count;
        peer_connect(&peer);
        peer.read_limit = cut;
        /* The kernel buffers for us; what counts is when we stop reading and close. */
        peer_send(&peer, script, length / 2);
        peer_settle(&peer);
        peer_send(&peer, script + length / 2, length - length / 2);
        peer_settle(&peer);
        size_t got = nsp_buf_length(&peer.in);
        ck_assert_uint_le(got, cut);
        if (got < cut)
            total = got;
        peer_disconnect(&peer);
        peer_settle(&peer);
        assert_all_ended_once(from);
    }
    ck_assert_uint_gt(total, 300);
}
END_TEST

START_TEST(cut_while_output_is_stuck)
{
    for (int i = 0; i < 20; i++) {
        unsigned from = peer.call_count;
        peer_connect(&peer);
        peer_greet(&peer);
        peer.paused = true;
        peer_request(&peer, 3, "{\"method\":\"source\",\"bytes\":1000000}");
        peer_request(&peer, 5, "{\"method\":\"notify\",\"bytes\":900000}");
        peer_settle(&peer);
        peer.paused = false;
        peer.read_limit = (size_t)i * 10007;
        peer_settle(&peer);
        peer_disconnect(&peer);
        peer.read_limit = SIZE_MAX;
        peer_settle(&peer);
        assert_all_ended_once(from);
    }
}
END_TEST

#define ADD(name) tcase_add_test(tcase, name)

static void add_usual(TCase *tcase)
{
    ADD(preface_and_hello_are_answered);
    ADD(bytes_may_come_one_by_one);
    ADD(ping_is_answered_with_its_own_bytes);
    ADD(replies_of_one_read_go_out_in_one_write);
    ADD(other_major_version_is_told_and_closed);
    ADD(later_minor_version_is_accepted);
    ADD(broken_preface_is_told);
    tcase_add_loop_test(tcase, malformed_frame_ends_only_its_connection, 0,
                        sizeof bad_frames / sizeof *bad_frames);
    ADD(frames_of_an_ended_stream_are_ignored);
    ADD(parts_of_requests_may_interleave);
    ADD(request_longer_than_a_message_is_refused_and_its_rest_ignored);
    ADD(all_requests_under_way_are_limited_together);
    ADD(long_answers_are_split_and_too_long_ones_refused);
    ADD(output_comes_whole_with_end_and_answer);
    ADD(output_stops_without_credit_and_goes_on_with_it);
    ADD(credit_for_bytes_that_were_not_sent_is_malformed);
    ADD(gap_needs_no_credit_and_raises_the_limit);
    ADD(handler_with_nothing_is_not_asked_again);
    ADD(control_overtakes_data_and_little_waits_in_the_socket);
    ADD(ready_streams_take_turns);
    ADD(input_is_passed_on_within_credit);
    ADD(no_credit_comes_while_nothing_is_consumed);
    ADD(repeated_input_is_trimmed);
    ADD(input_without_window_is_refused);
    ADD(cancel_is_answered_once);
    ADD(cancel_is_answered_even_if_the_handler_forgets);
    ADD(deadline_ends_the_call);
    ADD(lost_connection_is_told_to_every_stream_once);
    ADD(goaway_of_the_client_ends_the_session);
    ADD(server_that_ends_says_shutting_down);
    ADD(flood_of_unread_pings_is_bounded);
    ADD(queue_over_its_limit_drops_the_connection);
    ADD(slow_reader_gets_every_byte);
    ADD(cut_at_every_byte_sent);
    ADD(cut_at_every_byte_received);
    ADD(cut_while_output_is_stuck);
}

static void add_short(TCase *tcase)
{
    ADD(streams_beyond_the_limit_are_refused_by_name);
    ADD(connection_without_hello_is_closed);
    ADD(silent_peer_is_pinged_and_then_dropped);
    ADD(peer_that_answers_pings_stays);
    ADD(peer_that_sends_is_not_pinged);
    ADD(unread_goodbye_does_not_keep_a_connection);
    ADD(newest_silent_connections_stay);
    ADD(connections_beyond_the_limit_are_told);
}

static Suite *suite(void)
{
    Suite *result = suite_create("session");
    TCase *usual = tcase_create("session"), *shortened = tcase_create("shortened limits");
    tcase_add_checked_fixture(usual, set_up, tear_down);
    tcase_set_timeout(usual, 60);
    add_usual(usual);
    suite_add_tcase(result, usual);
    tcase_add_checked_fixture(shortened, set_up_short, tear_down);
    add_short(shortened);
    suite_add_tcase(result, shortened);
    return result;
}

UNIT_MAIN(suite)
