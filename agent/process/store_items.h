/* All that the fd store holds, as a list: what a new agent takes over. */
#ifndef AGENT_STORE_ITEMS_H
#define AGENT_STORE_ITEMS_H

#include "agent/process/store.h"

struct store_items {
    struct store_item *list;
    unsigned count, capacity;
    bool is_cut; /* no memory for some, which were closed */
};

/* Asks the supervisor for everything. The descriptors are the caller's, one by one. Errors as
 * store_load; EXHAUSTED. */
int store_items_load(struct store *store, struct store_items *ret_items, struct nsp_error *err);

/* The descriptor of that key; -1: there is none. */
int store_items_find(const struct store_items *items, enum storewire_kind kind, unsigned slot);

/* Frees the list, and closes nothing. */
void store_items_done(struct store_items *items);

#endif
