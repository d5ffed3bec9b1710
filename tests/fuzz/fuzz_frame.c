/* Frame headers, and the channel arithmetic behind them: the input is a sequence of frames.
 *
 * What is accepted must be what PROTOCOL.md section 3 allows, and must come out of the encoder as
 * the same bytes. The numbers of a channel must keep their order whatever a peer sends.
 */
#include <string.h>

#include "protocol/channel.h"
#include "protocol/frame.h"
#include "protocol/limits.h"
#include "tests/fuzz/fuzz.h"

/* Both directions of one channel. */
struct halves {
    struct nsp_recv_half in;
    struct nsp_send_half out;
};

static bool is_about_a_channel(uint8_t type)
{
    return type == NSP_FRAME_DATA || type == NSP_FRAME_END || type == NSP_FRAME_GAP ||
           type == NSP_FRAME_CREDIT || type == NSP_FRAME_BLOCKED;
}

static bool is_about_the_connection(uint8_t type)
{
    return type == NSP_FRAME_PING || type == NSP_FRAME_PONG || type == NSP_FRAME_GOAWAY;
}

static void check_accepted(const uint8_t *header, const struct nsp_frame *frame)
{
    uint8_t again[NSP_FRAME_HEADER_SIZE];

    FUZZ_CHECK(nsp_frame_type_name(frame->type) != NULL);
    FUZZ_CHECK(frame->length <= NSP_LIMIT_FRAME_PAYLOAD);
    FUZZ_CHECK((frame->flags & ~(NSP_FLAG_MORE | NSP_FLAG_TRUNCATED)) == 0);
    FUZZ_CHECK(frame->channel < NSP_CHANNEL_COUNT);
    FUZZ_CHECK((frame->stream == 0) == is_about_the_connection(frame->type));
    FUZZ_CHECK((frame->channel != 0) == is_about_a_channel(frame->type));
    FUZZ_CHECK(frame->offset == 0 || is_about_a_channel(frame->type));
    nsp_frame_encode(frame, again);
    FUZZ_CHECK(memcmp(again, header, sizeof again) == 0);
}

static int apply(struct halves *halves, const struct nsp_frame *frame, const uint8_t *payload,
                 struct nsp_error *err)
{
    uint64_t skip = 0;

    switch (frame->type) {
    case NSP_FRAME_DATA:
        if (nsp_recv_half_data(&halves->in, frame->offset, frame->length, &skip, err) < 0)
            return -1;
        FUZZ_CHECK(skip <= frame->length);
        nsp_recv_half_consume(&halves->in, (frame->length - skip) / 2);
        return 0;
    case NSP_FRAME_END:
        return nsp_recv_half_end(&halves->in, frame->offset, err);
    case NSP_FRAME_GAP:
        return nsp_recv_half_gap(&halves->in, frame->offset, nsp_frame_get_u64(payload), err);
    case NSP_FRAME_CREDIT:
        nsp_send_half_data(&halves->out, nsp_send_half_allowance(&halves->out) / 2);
        return nsp_send_half_credit(&halves->out, frame->offset, nsp_frame_get_u64(payload), err);
    default:
        return 0;
    }
}

static void check_order(const struct halves *before, const struct halves *now)
{
    FUZZ_CHECK(now->in.consumed <= now->in.next && now->in.next <= now->in.limit);
    FUZZ_CHECK(now->in.next >= before->in.next && now->in.limit >= before->in.limit);
    FUZZ_CHECK(now->in.state >= before->in.state && now->in.state < NSP_HALF_STATES);
    FUZZ_CHECK(now->out.consumed <= now->out.next && now->out.next <= now->out.limit);
    FUZZ_CHECK(now->out.consumed >= before->out.consumed && now->out.limit >= before->out.limit);
    FUZZ_CHECK(nsp_send_half_allowance(&now->out) <= now->out.limit - now->out.next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct halves channels[NSP_CHANNEL_COUNT];

    for (unsigned i = 0; i < NSP_CHANNEL_COUNT; i++) {
        nsp_recv_half_init(&channels[i].in, 0, NSP_LIMIT_INITIAL_CREDIT);
        nsp_send_half_init(&channels[i].out, 0, NSP_LIMIT_INITIAL_CREDIT);
    }
    while (size >= NSP_FRAME_HEADER_SIZE) {
        struct nsp_error err = NSP_ERROR_INIT;
        struct nsp_frame frame, untouched;
        memset(&frame, 0x5A, sizeof frame);
        untouched = frame;
        if (nsp_frame_decode(data, &frame, &err) < 0) {
            FUZZ_CHECK(err.code == NSP_E_PROTOCOL && err.msg[0] != '\0');
            FUZZ_CHECK(memcmp(&frame, &untouched, sizeof frame) == 0);
            return 0;
        }
        check_accepted(data, &frame);
        data += NSP_FRAME_HEADER_SIZE;
        size -= NSP_FRAME_HEADER_SIZE;
        if (frame.length > size)
            return 0;
        struct halves before = channels[frame.channel];
        if (apply(&channels[frame.channel], &frame, data, &err) < 0) {
            FUZZ_CHECK(err.code == NSP_E_PROTOCOL && err.msg[0] != '\0');
            return 0;
        }
        check_order(&before, &channels[frame.channel]);
        data += frame.length;
        size -= frame.length;
    }
    return 0;
}
