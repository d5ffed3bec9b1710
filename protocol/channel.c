#include "protocol/channel.h"

enum half_event { DATA, END, RESET, HALF_EVENTS };

enum { REFUSED = -1 };

/* state x event -> state. DATA in ENDED is refused; END there is a repetition (same offset). */
static const int transitions[][HALF_EVENTS] = {
    [NSP_HALF_OPEN] = {[DATA] = NSP_HALF_OPEN, [END] = NSP_HALF_ENDED, [RESET] = NSP_HALF_DEAD},
    [NSP_HALF_ENDED] = {[DATA] = REFUSED, [END] = NSP_HALF_ENDED, [RESET] = NSP_HALF_DEAD},
    [NSP_HALF_DEAD] = {[DATA] = REFUSED, [END] = REFUSED, [RESET] = NSP_HALF_DEAD},
};
_Static_assert(sizeof transitions / sizeof *transitions == NSP_HALF_STATES, "one row a state");

static int step(enum nsp_half_state *state, enum half_event event, struct nsp_error *err)
{
    int next = transitions[*state][event];
    if (next == REFUSED)
        return nsp_fail(err, NSP_E_PROTOCOL, "%s on a channel that has ended",
                        event == DATA ? "data" : "end");
    *state = (enum nsp_half_state)next;
    return 0;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void nsp_send_half_init(struct nsp_send_half *half, uint64_t from, uint64_t window)
{
    *half = (struct nsp_send_half){
        .next = from, .consumed = from, .limit = saturating_add(from, window)};
}

void nsp_recv_half_init(struct nsp_recv_half *half, uint64_t from, uint64_t window)
{
    *half = (struct nsp_recv_half){.next = from,
                                   .consumed = from,
                                   .told = from,
                                   .limit = saturating_add(from, window),
                                   .window = window};
}

uint64_t nsp_send_half_allowance(const struct nsp_send_half *half)
{
    if (half->state != NSP_HALF_OPEN || half->next >= half->limit)
        return 0;
    return half->limit - half->next;
}

void nsp_send_half_data(struct nsp_send_half *half, uint64_t length)
{
    half->next = saturating_add(half->next, length);
}

void nsp_send_half_gap(struct nsp_send_half *half, uint64_t length)
{
    half->next = saturating_add(half->next, length);
    half->limit = saturating_add(half->limit, length);
}

void nsp_send_half_end(struct nsp_send_half *half)
{
    (void)step(&half->state, END, NULL);
}

int nsp_send_half_credit(struct nsp_send_half *half, uint64_t consumed, uint64_t limit,
                         struct nsp_error *err)
{
    if (consumed > half->next)
        return nsp_fail(err, NSP_E_PROTOCOL, "credit says %llu bytes were consumed, sent were %llu",
                        (unsigned long long)consumed, (unsigned long long)half->next);
    if (limit < consumed)
        return nsp_fail(err, NSP_E_PROTOCOL, "credit limit %llu is below its own consumed offset",
                        (unsigned long long)limit);
    if (consumed > half->consumed)
        half->consumed = consumed;
    if (limit > half->limit)
        half->limit = limit;
    return 0;
}

int nsp_recv_half_data(struct nsp_recv_half *half, uint64_t offset, uint64_t length,
                       uint64_t *ret_skip, struct nsp_error *err)
{
    if (offset > half->next)
        return nsp_fail(err, NSP_E_PROTOCOL, "data at %llu leaves a hole after %llu",
                        (unsigned long long)offset, (unsigned long long)half->next);
    if (length > UINT64_MAX - offset || offset + length > half->limit)
        return nsp_fail(err, NSP_E_PROTOCOL, "data up to %llu is beyond the credit of %llu",
                        (unsigned long long)saturating_add(offset, length),
                        (unsigned long long)half->limit);
    uint64_t skip = half->next - offset;
    if (skip >= length) {
        *ret_skip = length;
        return 0;
    }
    if (step(&half->state, DATA, err) < 0)
        return -1;
    *ret_skip = skip;
    half->next = offset + length;
    return 0;
}

int nsp_recv_half_gap(struct nsp_recv_half *half, uint64_t offset, uint64_t to,
                      struct nsp_error *err)
{
    if (offset != half->next || to <= offset)
        return nsp_fail(err, NSP_E_PROTOCOL, "gap %llu..%llu does not follow %llu",
                        (unsigned long long)offset, (unsigned long long)to,
                        (unsigned long long)half->next);
    if (step(&half->state, DATA, err) < 0)
        return -1;
    half->next = to;
    half->consumed = saturating_add(half->consumed, to - offset);
    half->limit = saturating_add(half->limit, to - offset);
    return 0;
}

int nsp_recv_half_end(struct nsp_recv_half *half, uint64_t offset, struct nsp_error *err)
{
    if (offset != half->next)
        return nsp_fail(err, NSP_E_PROTOCOL, "end at %llu, received were %llu",
                        (unsigned long long)offset, (unsigned long long)half->next);
    return step(&half->state, END, err);
}

bool nsp_recv_half_consume(struct nsp_recv_half *half, uint64_t length)
{
    half->consumed += length;
    if (half->state != NSP_HALF_OPEN || half->consumed - half->told < half->window / 4)
        return false;
    half->told = half->consumed;
    half->limit = saturating_add(half->consumed, half->window);
    return true;
}

bool nsp_recv_half_is_final(struct nsp_recv_half *half)
{
    if (half->state != NSP_HALF_ENDED || half->consumed != half->next || half->told == half->next)
        return false;
    half->told = half->consumed;
    return true;
}
