#include "agent/session/session.h"

#include <string.h>

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
    ck_assert_uint_eq(peer_stats(&peer).connections, 0);
    ck_assert_uint_eq(peer_stats(&peer).streams, 0);
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

static Suite *suite(void)
{
    Suite *result = suite_create("session cut");
    TCase *tcase = tcase_create("session cut");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, cut_at_every_byte_sent);
    tcase_add_test(tcase, cut_at_every_byte_received);
    tcase_add_test(tcase, cut_while_output_is_stuck);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
