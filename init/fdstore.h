/* The fd store: descriptors that outlive an agent, by kind and slot (agent/handover/storewire.h).
 *
 * A fixed table, no memory. Closing never waits: the kinds are memories, pipe ends and listening
 * sockets.
 */
#ifndef INIT_FDSTORE_H
#define INIT_FDSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/handover/exitlog.h"
#include "agent/handover/storewire.h"

enum {
#define FDSTORE_SLOTS(kind, per_slot, in, dropped)                                                 \
    FDSTORE_SLOTS_##kind = (per_slot) ? (int)EXITLOG_SLOTS : 1,
    STOREWIRE_KINDS(FDSTORE_SLOTS)
#undef FDSTORE_SLOTS
#define FDSTORE_SUM(kind, per_slot, in, dropped) +FDSTORE_SLOTS_##kind
        FDSTORE_ENTRIES = STOREWIRE_KINDS(FDSTORE_SUM),
#undef FDSTORE_SUM
};

/* All zero is an empty store. */
struct fdstore {
    int entries[FDSTORE_ENTRIES]; /* descriptor plus one; 0: empty */
    unsigned count;
    bool listing;
    struct storewire_key cursor; /* the next entry that a listing looks at */
};

/* Takes fd over. A key that there cannot be: closes it and returns -1. */
int fdstore_put(struct fdstore *store, struct storewire_key key, int fd);
void fdstore_drop(struct fdstore *store, struct storewire_key key);
/* Borrowed; -1 when there is none. */
int fdstore_get(const struct fdstore *store, struct storewire_key key);

/* Starts to send all entries, from the beginning if a listing is under way. */
void fdstore_list(struct fdstore *store);
/* A listing that nobody is there to read. */
void fdstore_list_stop(struct fdstore *store);
/* Goes on sending to the non-blocking socket: 0 when nothing is left to send, 1 when the socket is
 * full (call again when it is writable), -1 when the socket is broken. */
int fdstore_list_send(struct fdstore *store, int socket);

void fdstore_close(struct fdstore *store);

#endif
