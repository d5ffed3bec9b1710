/* The memory and pipes that outlive an agent and that all processes share: the table, the arena of
 * rings, and the two staging pipes. Made by the first agent, kept in the fd store, found there by
 * the next.
 */
#ifndef AGENT_SHARED_H
#define AGENT_SHARED_H

#include "agent/process/arena.h"
#include "agent/process/inherit.h"
#include "agent/process/stage.h"
#include "agent/process/table.h"

struct shared {
    struct table table;
    int table_fd;
    struct arena *arena;
    struct stage output_stage, input_stage;
};

/* The inherited descriptors become the shared's; what is missing is made and stored. On error
 * shared_close is still due. */
int shared_open(struct shared *shared, const struct inherit *inherit, uint64_t ring_budget,
                struct store *store, struct nsp_error *err);
void shared_close(struct shared *shared);

#endif
