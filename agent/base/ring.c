#include "agent/base/ring.h"

#include <stdatomic.h>

/* Stores reach a later process in program order as long as the compiler keeps that order: the only
 * reader after us is one that starts when we are dead. */
#define IN_ORDER() atomic_signal_fence(memory_order_seq_cst)

static bool is_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

void ring_init_state(struct ring_state *state, uint64_t size_max)
{
    *state = (struct ring_state){.size = RING_START, .size_max = size_max};
}

bool ring_state_valid(const struct ring_state *state)
{
    return is_power_of_two(state->size) && is_power_of_two(state->size_max) &&
           state->size >= RING_START && state->size <= state->size_max &&
           state->tail <= state->head && state->head - state->tail <= state->size;
}

uint64_t ring_room(const struct ring *ring, uint64_t keep)
{
    return ring->state->size - (ring->state->head - keep);
}

bool ring_can_grow(const struct ring *ring)
{
    return ring->state->head <= ring->state->size && ring->state->size < ring->state->size_max;
}

void ring_grow(const struct ring *ring)
{
    if (ring_can_grow(ring))
        ring->state->size *= 2;
}

static int slices(const struct ring *ring, uint64_t from, uint64_t length, struct iovec pieces[2])
{
    uint64_t start = from & (ring->state->size - 1);
    uint64_t first = ring->state->size - start;
    if (first > length)
        first = length;
    if (first == 0)
        return 0;
    pieces[0] = (struct iovec){ring->data + start, first};
    if (first == length)
        return 1;
    pieces[1] = (struct iovec){ring->data, length - first};
    return 2;
}

int ring_write_slices(const struct ring *ring, uint64_t max, struct iovec pieces[2])
{
    return slices(ring, ring->state->head, max < ring->state->size ? max : ring->state->size,
                  pieces);
}

void ring_set_head(const struct ring *ring, uint64_t head)
{
    struct ring_state *state = ring->state;
    /* The tail moves first: a successor must never believe overwritten bytes. */
    if (head > state->size && state->tail < head - state->size)
        state->tail = head - state->size;
    IN_ORDER();
    state->head = head;
}

void ring_commit(const struct ring *ring, uint64_t length)
{
    ring_set_head(ring, ring->state->head + length);
}

int ring_read_slices(const struct ring *ring, uint64_t from, uint64_t max, struct iovec pieces[2])
{
    uint64_t length = ring->state->head - from;
    return slices(ring, from, length < max ? length : max, pieces);
}

void ring_drop(const struct ring *ring, uint64_t offset)
{
    if (offset > ring->state->tail)
        ring->state->tail = offset;
}
