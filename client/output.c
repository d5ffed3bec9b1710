#include "client/output.h"

void nsp_output_init(struct nsp_output *output, uint8_t channel, struct nsp_events *events)
{
    *output = (struct nsp_output){.channel = channel, .events = events};
}

int nsp_output_started(struct nsp_output *output, uint64_t from, uint64_t window,
                       struct nsp_error *err)
{
    if (!output->known)
        output->next = from;
    if (from > output->next) {
        if (nsp_events_gap(output->events, output->channel, output->next, from, err) < 0)
            return -1;
        output->next = from;
    }
    nsp_recv_half_init(&output->half, from, window);
    output->carry = output->queued;
    output->awaited = 0;
    output->known = true;
    output->open = true;
    return 0;
}

void nsp_output_lost(struct nsp_output *output)
{
    output->open = false;
}

/* length bytes of this connection were consumed: is a CREDIT frame due? An agent that can keep no
 * more waits for the last byte that it has sent, and not for the usual part of the window. */
static bool consume(struct nsp_output *output, uint64_t length)
{
    struct nsp_recv_half *half = &output->half;
    bool due = nsp_recv_half_consume(half, length);
    if (output->awaited == 0 || half->consumed < output->awaited)
        return due;
    output->awaited = 0;
    half->told = half->consumed;
    return true;
}

static int on_data(struct nsp_output *output, const struct nsp_frame *frame, const uint8_t *payload,
                   bool *ret_credit, struct nsp_error *err)
{
    uint64_t skip = 0;
    if (nsp_recv_half_data(&output->half, frame->offset, frame->length, &skip, err) < 0)
        return -1;
    uint64_t start = frame->offset + skip, end = frame->offset + frame->length;
    /* What an earlier connection brought is consumed at once, or its credit would never come back.
     */
    uint64_t old = start < output->next ? output->next - start : 0;
    if (old > end - start)
        old = end - start;
    if (old < end - start) {
        if (nsp_events_data(output->events, output->channel, start + old, payload + skip + old,
                            end - start - old, err) < 0)
            return -1;
        output->queued += end - start - old;
        output->next = end;
    }
    *ret_credit = old > 0 && consume(output, old);
    return 0;
}

static int on_gap(struct nsp_output *output, uint64_t offset, uint64_t to, bool *ret_credit,
                  struct nsp_error *err)
{
    uint64_t start = offset > output->next ? offset : output->next;
    if (nsp_recv_half_gap(&output->half, offset, to, err) < 0)
        return -1;
    if (to > start) {
        if (nsp_events_gap(output->events, output->channel, start, to, err) < 0)
            return -1;
        output->next = to;
    }
    /* The sender's limit does not move by itself when it skips bytes. */
    *ret_credit = consume(output, 0);
    return 0;
}

static int on_blocked(struct nsp_output *output, uint64_t offset, bool *ret_credit,
                      struct nsp_error *err)
{
    if (offset != output->half.next)
        return nsp_fail(err, NSP_E_PROTOCOL, "blocked at %llu, received were %llu",
                        (unsigned long long)offset, (unsigned long long)output->half.next);
    output->awaited = offset;
    *ret_credit = consume(output, 0);
    return 0;
}

static int on_end(struct nsp_output *output, const struct nsp_frame *frame, struct nsp_error *err)
{
    if (nsp_recv_half_end(&output->half, frame->offset, err) < 0)
        return -1;
    if (frame->offset < output->next)
        return nsp_fail(err, NSP_E_PROTOCOL, "end at %llu, received were %llu",
                        (unsigned long long)frame->offset, (unsigned long long)output->next);
    /* Every connection tells it again. */
    if (output->ended)
        return 0;
    if (nsp_events_end(output->events, output->channel, frame->offset,
                       (frame->flags & NSP_FLAG_TRUNCATED) != 0, err) < 0)
        return -1;
    output->ended = true;
    return 0;
}

int nsp_output_frame(struct nsp_output *output, const struct nsp_frame *frame,
                     const uint8_t *payload, bool *ret_credit, struct nsp_error *err)
{
    if (!output->open)
        return nsp_fail(err, NSP_E_PROTOCOL, "%s before process.started",
                        nsp_frame_type_name(frame->type));
    struct nsp_recv_half before = output->half;
    int result;
    switch (frame->type) {
    case NSP_FRAME_DATA:
        result = on_data(output, frame, payload, ret_credit, err);
        break;
    case NSP_FRAME_GAP:
        result = on_gap(output, frame->offset, nsp_frame_get_u64(payload), ret_credit, err);
        break;
    case NSP_FRAME_BLOCKED:
        result = on_blocked(output, frame->offset, ret_credit, err);
        break;
    default:
        result = on_end(output, frame, err);
        break;
    }
    /* What could not be queued has not arrived: the next connection asks for it again. */
    if (result < 0)
        output->half = before;
    return result;
}

bool nsp_output_take(struct nsp_output *output, uint64_t length)
{
    uint64_t old = length < output->carry ? length : output->carry;
    output->queued -= length;
    output->carry -= old;
    return output->open && consume(output, length - old);
}

void nsp_output_credit(const struct nsp_output *output, struct nsp_frame *ret_frame,
                       uint8_t ret_payload[8])
{
    nsp_frame_put_u64(ret_payload, output->half.limit);
    *ret_frame = (struct nsp_frame){.length = 8,
                                    .type = NSP_FRAME_CREDIT,
                                    .channel = output->channel,
                                    .offset = output->half.consumed};
}
