#include "agent/process/store_items.h"

#include <stdlib.h>
#include <unistd.h>

enum { FIRST_CAPACITY = 64 };

static void take(void *arg, const struct store_item *item)
{
    struct store_items *items = arg;
    if (items->count == items->capacity) {
        unsigned capacity = items->capacity ? 2 * items->capacity : FIRST_CAPACITY;
        struct store_item *list = reallocarray(items->list, capacity, sizeof *list);
        if (!list) {
            items->is_cut = true;
            close(item->fd);
            return;
        }
        items->list = list;
        items->capacity = capacity;
    }
    items->list[items->count++] = *item;
}

int store_items_load(struct store *store, struct store_items *ret_items, struct nsp_error *err)
{
    *ret_items = (struct store_items){0};
    if (store_load(store, take, ret_items, err) < 0)
        return -1;
    if (ret_items->is_cut)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for what the store holds");
    return 0;
}

int store_items_find(const struct store_items *items, enum storewire_kind kind, unsigned slot)
{
    for (unsigned i = 0; i < items->count; i++)
        if (items->list[i].key.kind == kind && items->list[i].key.slot == slot)
            return items->list[i].fd;
    return -1;
}

void store_items_done(struct store_items *items)
{
    free(items->list);
    *items = (struct store_items){0};
}
