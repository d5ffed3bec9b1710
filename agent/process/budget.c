#include "agent/process/budget.h"

#include <sys/sysinfo.h>

#include "agent/process/process.h"
#include "agent/process/reader.h"

/* Where the size of the memory cannot be told. */
static const uint64_t budget_blind = UINT64_C(64) << 20;

uint64_t budget_default(void)
{
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return budget_blind;
    return (uint64_t)info.totalram * info.mem_unit / 8;
}

static void count_dropped(struct table_output *output)
{
    uint64_t from = output->released > output->ring.tail ? output->released : output->ring.tail;
    if (output->ring.head > from)
        output->dropped += output->ring.head - from;
}

static void evict(struct arena *arena, struct output *output)
{
    const struct process *process = output->process;
    struct table_output *state = &process->record->outputs[output->number];
    uint64_t touched = output_touched(output);
    if (touched == 0 || output->fd >= 0)
        return;
    count_dropped(state);
    ring_drop(&output->ring, state->ring.head);
    state->is_evicted = true;
    arena_punch(arena, process->slot, output->number, touched);
}

bool budget_reserve(struct arena *arena, struct process *oldest, uint64_t bytes)
{
    struct process *victim = oldest;
    for (; victim && arena_left(arena) < bytes; victim = victim->newer) {
        unsigned count = reader_count(victim) > 0 ? 0 : process_output_count(victim);
        for (unsigned i = 0; i < count; i++)
            evict(arena, &victim->outputs[i]);
    }
    return arena_left(arena) >= bytes;
}
