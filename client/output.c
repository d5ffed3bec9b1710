#include "client/output.h"

void nsp_output_init(struct nsp_output *output, uint8_t channel, struct nsp_events *events)
{
    *output = (struct nsp_output){.channel = channel, .events = events};
}

int nsp_output_started(struct nsp_output *output, uint64_t from, uint64_t window,
                       struct nsp_error *err)
{
    uint64_t start = from;
    if (output->known && from > output->half.next &&
        nsp_events_gap(output->events, output->channel, output->half.next, from, err) < 0)
        return -1;
    if (output->known && from < output->half.next)
        start = output->half.next;
    nsp_recv_half_init(&output->half, start, window);
    output->carry = output->queued;
    output->known = true;
    output->open = true;
    return 0;
}

void nsp_output_lost(struct nsp_output *output)
{
    output->open = false;
}

static int on_data(struct nsp_output *output, const struct nsp_frame *frame, const uint8_t *payload,
                   struct nsp_error *err)
{
    uint64_t skip = 0;
    if (nsp_recv_half_data(&output->half, frame->offset, frame->length, &skip, err) < 0)
        return -1;
    size_t length = frame->length - skip;
    if (length == 0)
        return 0;
    if (nsp_events_data(output->events, output->channel, frame->offset + skip, payload + skip,
                        length, err) < 0)
        return -1;
    output->queued += length;
    return 0;
}

static int on_gap(struct nsp_output *output, uint64_t offset, uint64_t to, bool *ret_credit,
                  struct nsp_error *err)
{
    if (nsp_recv_half_gap(&output->half, offset, to, err) < 0 ||
        nsp_events_gap(output->events, output->channel, offset, to, err) < 0)
        return -1;
    /* The sender's limit does not move by itself when it skips bytes. */
    *ret_credit = nsp_recv_half_consume(&output->half, 0);
    return 0;
}

static int on_end(struct nsp_output *output, const struct nsp_frame *frame, struct nsp_error *err)
{
    if (nsp_recv_half_end(&output->half, frame->offset, err) < 0)
        return -1;
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
    if (frame->type == NSP_FRAME_DATA)
        result = on_data(output, frame, payload, err);
    else if (frame->type == NSP_FRAME_GAP)
        result = on_gap(output, frame->offset, nsp_frame_get_u64(payload), ret_credit, err);
    else
        result = on_end(output, frame, err);
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
    return output->open && nsp_recv_half_consume(&output->half, length - old);
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
