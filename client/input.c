#include "client/input.h"

#include "protocol/limits.h"

void nsp_input_init(struct nsp_input *input, bool enabled)
{
    *input = (struct nsp_input){.enabled = enabled};
    nsp_buf_init(&input->bytes, NSP_LIMIT_STDIN_QUEUE);
}

void nsp_input_done(struct nsp_input *input)
{
    nsp_buf_done(&input->bytes);
}

/* Drops what lies before offset; beyond the end when another client has written there. */
static void advance(struct nsp_input *input, uint64_t offset)
{
    uint64_t length = nsp_buf_length(&input->bytes);
    uint64_t taken = offset - input->base;
    nsp_buf_consume(&input->bytes, taken < length ? taken : length);
    input->base = offset;
}

int nsp_input_started(struct nsp_input *input, uint64_t offset, uint64_t window,
                      struct nsp_error *err)
{
    if (!input->enabled)
        return 0;
    if (!input->known)
        input->base = offset;
    if (offset < input->base)
        return nsp_fail(err, NSP_E_PROTOCOL, "input goes back from %llu to %llu",
                        (unsigned long long)input->base, (unsigned long long)offset);
    input->known = true;
    advance(input, offset);
    nsp_send_half_init(&input->half, offset, window);
    input->open = true;
    return 0;
}

void nsp_input_lost(struct nsp_input *input)
{
    input->open = false;
}

int nsp_input_credit(struct nsp_input *input, uint64_t consumed, uint64_t limit,
                     struct nsp_error *err)
{
    if (!input->open)
        return nsp_fail(err, NSP_E_PROTOCOL, "credit for an input that is not there");
    if (nsp_send_half_credit(&input->half, consumed, limit, err) < 0)
        return -1;
    if (consumed > input->base)
        advance(input, consumed);
    return 0;
}

void nsp_input_reader_gone(struct nsp_input *input)
{
    input->dead = true;
    input->open = false;
    nsp_buf_consume(&input->bytes, nsp_buf_length(&input->bytes));
    nsp_buf_shrink(&input->bytes, 0);
}

bool nsp_input_pull(struct nsp_input *input, size_t max, struct nsp_frame *ret_frame,
                    const uint8_t **ret_payload)
{
    if (!input->open || input->half.state != NSP_HALF_OPEN)
        return false;
    uint64_t sent = input->half.next - input->base;
    uint64_t length = nsp_buf_length(&input->bytes) - sent;
    uint64_t allowed = nsp_send_half_allowance(&input->half);
    struct nsp_frame frame = {.channel = NSP_CHANNEL_STDIN, .offset = input->half.next};
    if (length == 0) {
        if (!input->closing)
            return false;
        frame.type = NSP_FRAME_END;
        nsp_send_half_end(&input->half);
        *ret_frame = frame;
        return true;
    }
    length = length < allowed ? length : allowed;
    length = length < max ? length : max;
    if (length == 0)
        return false;
    frame.type = NSP_FRAME_DATA;
    frame.length = (uint32_t)length;
    *ret_payload = nsp_buf_bytes(&input->bytes) + sent;
    *ret_frame = frame;
    nsp_send_half_data(&input->half, length);
    return true;
}

size_t nsp_input_room(const struct nsp_input *input)
{
    if (!input->enabled || input->closing || input->dead)
        return 0;
    return input->bytes.ceiling - nsp_buf_length(&input->bytes);
}

size_t nsp_input_write(struct nsp_input *input, const void *bytes, size_t length)
{
    size_t room = nsp_input_room(input);
    if (length > room)
        length = room;
    return nsp_buf_append(&input->bytes, bytes, length, NULL) < 0 ? 0 : length;
}

void nsp_input_close(struct nsp_input *input)
{
    input->closing = true;
}
