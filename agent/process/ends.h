/* The agent's ends of a process's pipes: write end of its standard input, read ends of its outputs,
 * and the status pipe that tells how its execve went.
 *
 * The fd store keeps a copy of each from before the clone until it is closed here, so that a
 * successor goes on with it. One table (ends.c) says under which kind.
 */
#ifndef AGENT_ENDS_H
#define AGENT_ENDS_H

#include "agent/process/store.h"
#include "agent/process/table.h"

struct process;

/* ENDS_OUTPUT + n: output n. */
enum { ENDS_INPUT, ENDS_OUTPUT, ENDS_STATUS = ENDS_OUTPUT + TABLE_OUTPUTS, ENDS };

struct ends {
    int fds[ENDS]; /* -1: not there */
};

#define ENDS_NONE ((struct ends){{-1, -1, -1, -1}})

enum storewire_kind ends_kind(unsigned end);

/* What the process has now; borrowed. */
struct ends ends_of(const struct process *process);

int ends_put(const struct ends *ends, unsigned slot, struct store *store, struct nsp_error *err);
/* The store's copies of those that are there. */
void ends_drop(const struct ends *ends, unsigned slot, struct store *store);
/* Nobody needs them any more: closed here, dropped there. */
void ends_discard(struct ends *ends, unsigned slot, struct store *store);

#endif
