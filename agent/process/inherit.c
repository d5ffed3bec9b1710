#include "agent/process/inherit.h"

#include <stdlib.h>

static void sort_in(struct inherit *inherit, const struct store_item *item)
{
    unsigned kind = item->key.kind, slot = item->key.slot;
    if (kind < STOREWIRE_LISTENER)
        inherit->single[kind] = item->fd;
    if (slot >= TABLE_SLOTS)
        return;
    struct inherit_streams *streams = &inherit->streams[slot];
    if (kind == STOREWIRE_STDIN)
        streams->input = item->fd;
    else if (kind == STOREWIRE_STDOUT || kind == STOREWIRE_STDERR)
        streams->outputs[kind - STOREWIRE_STDOUT] = item->fd;
    else if (kind == STOREWIRE_STATUS)
        streams->status = item->fd;
}

struct inherit *inherit_new(const struct store_item *items, unsigned count)
{
    struct inherit *inherit = malloc(sizeof *inherit);
    if (!inherit)
        return NULL;
    for (unsigned i = 0; i < STOREWIRE_LISTENER; i++)
        inherit->single[i] = -1;
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        inherit->streams[i] = (struct inherit_streams){-1, {-1, -1}, -1};
    for (unsigned i = 0; i < count; i++)
        sort_in(inherit, &items[i]);
    return inherit;
}
