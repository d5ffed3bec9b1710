/* The memory of all output rings: one sparse memfd that outlives the agent, a region a slot.
 *
 * A region holds the arrivals and the rings of one process; it is mapped while the slot is in use,
 * and only touched pages cost memory. Slots are used again in the order last freed, first used, so
 * a small region's mapping and pages stay for the next process; larger ones are given back at once
 * (fallocate(2), FALLOC_FL_PUNCH_HOLE).
 *
 * Layout of a region: arrivals (ARRIVALS_BYTES), then output 0, then output 1, RING_MAX of address
 * space each in the file, but mapped only as far as the process's rings may grow.
 */
#ifndef AGENT_ARENA_H
#define AGENT_ARENA_H

#include <stdint.h>

#include "agent/process/arrivals.h"
#include "agent/process/table.h"
#include "protocol/error.h"

struct arena;

/* A mapped region: arrivals and both rings' data. rings[1] is NULL when output 1 is unused. */
struct arena_region {
    struct arrival *arrivals;
    uint8_t *rings[TABLE_OUTPUTS];
};

/* budget: the most bytes that all rings together may have touched (see arena_charge). fd -1: makes
 * the memory. The descriptor stays the arena's; arena_fd for the store. */
int arena_new(int fd, uint64_t budget, struct arena **ret_arena, struct nsp_error *err);
void arena_free(struct arena *arena);
int arena_fd(const struct arena *arena);
uint64_t arena_budget(const struct arena *arena);

/* Maps the slot's region for rings of up to ring_max bytes each (one ring when merged). */
int arena_map(struct arena *arena, unsigned slot, uint64_t ring_max, bool merged,
              struct arena_region *ret_region, struct nsp_error *err);
/* The slot is free again: nothing of its region is needed. touched: bytes that its rings used. */
void arena_release(struct arena *arena, unsigned slot, uint64_t touched);
/* Gives the ring's pages back while the slot stays in use: its bytes are dropped already. */
void arena_punch(struct arena *arena, unsigned slot, unsigned output, uint64_t touched);

/* What may still be promised. Charged is what was touched; promised, what rings may touch besides
 * without asking again. The arrivals of a process count for neither. */
uint64_t arena_left(const struct arena *arena);
void arena_promise(struct arena *arena, uint64_t before, uint64_t now);
void arena_charge(struct arena *arena, uint64_t bytes);
void arena_discharge(struct arena *arena, uint64_t bytes);
uint64_t arena_charged(const struct arena *arena);

#endif
