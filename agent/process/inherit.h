/* What a new agent finds in the fd store, sorted by what it is for. */
#ifndef AGENT_INHERIT_H
#define AGENT_INHERIT_H

#include "agent/process/ends.h"

struct inherit {
    int single[STOREWIRE_LISTENER]; /* by kind; -1: not there */
    struct ends ends[TABLE_SLOTS];
};

/* NULL without memory; free(3) it. Listeners are left out. */
struct inherit *inherit_new(const struct store_item *items, unsigned count);

#endif
