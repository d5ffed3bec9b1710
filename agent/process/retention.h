/* Which of the exited processes are kept.
 *
 * They stand in a list in the order of their exits. Kept are the newest NSP_LIMIT_EXITED of them,
 * for NSP_LIMIT_EXITED_AGE seconds; beyond either the oldest are forgotten. Who is observed is
 * passed over until nobody looks any more, so the limits may be exceeded by so many. The list has
 * no memory of its own: a process carries its links (older, newer).
 */
#ifndef AGENT_RETENTION_H
#define AGENT_RETENTION_H

#include <stdbool.h>

#include "agent/loop/loop.h"
#include "protocol/error.h"

struct process;

struct retention {
    struct process *oldest, *newest;
    unsigned count;
    struct timer *timer; /* age of the oldest */
    void (*forget)(void *arg, struct process *process);
    void (*fatal)(void *arg, const char *what, const struct nsp_error *err);
    void *arg;
};

/* forget ends a process's entry, with retention_remove on its way; fatal hears that the timer
 * cannot be set. */
int retention_init(struct retention *retention, struct loop *loop,
                   void (*forget)(void *arg, struct process *process),
                   void (*fatal)(void *arg, const char *what, const struct nsp_error *err),
                   void *arg, struct nsp_error *err);
void retention_done(struct retention *retention);

/* The process has exited after all that are there: one that was added out of turn waits for
 * retention_sort. */
void retention_add(struct retention *retention, struct process *process);
void retention_remove(struct retention *retention, struct process *process);
int retention_sort(struct retention *retention, struct nsp_error *err);

/* Forgets the oldest that nobody looks at; false when there is none. */
bool retention_forget_oldest(struct retention *retention);
/* Forgets as many as are too many. */
void retention_limit(struct retention *retention);

#endif
