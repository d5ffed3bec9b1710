#include "agent/process/inherit.h"

#include <stdlib.h>

static void sort_in(struct inherit *inherit, const struct store_item *item)
{
    unsigned kind = item->key.kind, slot = item->key.slot;
    if (kind < STOREWIRE_LISTENER)
        inherit->single[kind] = item->fd;
    if (slot >= TABLE_SLOTS)
        return;
    for (unsigned end = 0; end < ENDS; end++)
        if (kind == ends_kind(end))
            inherit->ends[slot].fds[end] = item->fd;
}

struct inherit *inherit_new(const struct store_item *items, unsigned count)
{
    struct inherit *inherit = malloc(sizeof *inherit);
    if (!inherit)
        return NULL;
    for (unsigned i = 0; i < STOREWIRE_LISTENER; i++)
        inherit->single[i] = -1;
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        inherit->ends[i] = ENDS_NONE;
    for (unsigned i = 0; i < count; i++)
        sort_in(inherit, &items[i]);
    return inherit;
}
