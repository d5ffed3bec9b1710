/* The agent's side of the supervisor's fd store (handover/storewire.h): put, drop, load all.
 *
 * Puts and drops are messages in order and need no answer: the supervisor reads what a dead agent
 * had sent before it starts the next one. Drops wait here for company: they go out when there are
 * enough of them, or after a moment; one that a put of the same key makes superfluous is not sent
 * at all. The write end of a standard input is dropped at once, since the process waits for it. A
 * supervisor that does not read holds up nobody for long: a put then fails, drops go on waiting.
 * What a dying agent had not sent yet its successor drops (recover.h).
 */
#ifndef AGENT_STORE_H
#define AGENT_STORE_H

#include "agent/handover/storewire.h"
#include "agent/loop/loop.h"
#include "agent/machine/power.h"
#include "protocol/error.h"

struct store {
    int socket, kick_fd; /* borrowed; the socket blocks */
    struct timer *timer;
    struct storewire_key *drops; /* waiting; each key once, so that there is a most of them */
    unsigned drop_count;
    bool is_stuck; /* the supervisor did not read in time, the last we know */
    void (*fatal)(void *arg, const char *what, const struct nsp_error *err);
    void *arg;
};

struct store_item {
    struct storewire_key key;
    int fd; /* borrowed by store_put; given to the callback of store_load */
};

/* fatal hears that a drop could not be sent: the agent must end, and its successor drops it. */
int store_init(struct store *store, struct loop *loop, int socket, int kick_fd,
               void (*fatal)(void *arg, const char *what, const struct nsp_error *err), void *arg,
               struct nsp_error *err);
void store_done(struct store *store);

/* At most STOREWIRE_BATCH items. EXHAUSTED when the supervisor does not read. */
int store_put(struct store *store, const struct store_item *items, unsigned count,
              struct nsp_error *err);
void store_drop(struct store *store, enum storewire_kind kind, unsigned slot);

/* Asks for everything and calls item once for each entry, whose fd it then owns. */
int store_load(struct store *store, void (*item)(void *arg, const struct store_item *item),
               void *arg, struct nsp_error *err);

/* READY, with what the supervisor does not know yet: see handover/storewire.h. */
int store_ready(struct store *store, enum power_variant variant, uint32_t grace_ms,
                struct nsp_error *err);

#endif
