/* The agent's side of the supervisor's fd store (os/storewire.h): put, drop, load all.
 *
 * Puts and drops are messages in order and need no answer: the supervisor reads what a dead agent
 * had sent before it starts the next one. Sending waits for room in the socket, which the
 * supervisor always empties.
 */
#ifndef AGENT_STORE_H
#define AGENT_STORE_H

#include "agent/os/storewire.h"
#include "protocol/error.h"

/* socket: borrowed, blocking. */
struct store {
    int socket;
};

struct store_item {
    struct storewire_key key;
    int fd; /* borrowed by store_put; given to the callback of store_load */
};

/* At most STOREWIRE_BATCH items. */
int store_put(const struct store *store, const struct store_item *items, unsigned count,
              struct nsp_error *err);
void store_drop(const struct store *store, const struct storewire_key *keys, unsigned count);
void store_drop_one(const struct store *store, enum storewire_kind kind, unsigned slot);

/* Asks for everything and calls item once for each entry, whose fd it then owns. */
int store_load(const struct store *store, void (*item)(void *arg, const struct store_item *item),
               void *arg, struct nsp_error *err);

int store_ready(const struct store *store, struct nsp_error *err);

#endif
