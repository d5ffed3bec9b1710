#include "agent/process/arrivals.h"

#include <stdatomic.h>

_Static_assert(ARRIVALS_MAX * sizeof(struct arrival) == ARRIVALS_BYTES,
               "arrivals fill their part of the region");

/* Leaves the length of an arrival room to grow without passing 32 bits. */
enum { LENGTH_MAX = 1 << 30 };

void arrivals_append(const struct arrivals *arrivals, uint32_t output, uint64_t offset,
                     uint64_t length)
{
    if (*arrivals->count > 0) {
        struct arrival *last = &arrivals->latest[(*arrivals->count - 1) % ARRIVALS_MAX];
        if (last->output == output && last->offset + last->length == offset &&
            last->length + length <= LENGTH_MAX) {
            last->length += (uint32_t)length;
            return;
        }
    }
    arrivals->latest[*arrivals->count % ARRIVALS_MAX] =
        (struct arrival){.offset = offset, .length = (uint32_t)length, .output = output};
    /* An arrival counts only once it is whole, also for a successor. */
    atomic_signal_fence(memory_order_seq_cst);
    ++*arrivals->count;
}

bool arrivals_get(const struct arrivals *arrivals, uint64_t *n, struct arrival *ret_arrival)
{
    if (*n >= *arrivals->count)
        return false;
    if (*arrivals->count - *n > ARRIVALS_MAX)
        *n = *arrivals->count - ARRIVALS_MAX;
    *ret_arrival = arrivals->latest[*n % ARRIVALS_MAX];
    return true;
}
