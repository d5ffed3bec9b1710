/* A process that the agent runs, and the set of all of them.
 *
 * struct process is what one agent knows in its own memory; the record in the shared table
 * (table.h) is the truth, from which a successor makes the struct again. Life:
 *
 *   launch_start -> STARTING --execve known--> RUNNING --exit log--> EXITED --forgotten--> (gone)
 *                        |
 *                        +-- failed: PROCESS_FAILED is told at once, the slot is free again when
 *                            the child's exit has been read
 *
 * Everything that happens is told to observers from the loop. Exit and the end of output are two
 * facts: PROCESS_EXITED comes when the kernel says so; PROCESS_DRAINED when all that was in the
 * pipes at that moment has been read; PROCESS_CLOSED for each output when its last writer is gone.
 */
#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/loop/loop.h"
#include "agent/os/proctree.h"
#include "agent/process/arena.h"
#include "agent/process/input.h"
#include "agent/process/output.h"
#include "agent/process/table.h"

struct processes;
struct process;
struct reader;
struct spawn;

enum process_event {
    PROCESS_STARTED,      /* execve has succeeded */
    PROCESS_FAILED,       /* it could not be started; process_failure says why */
    PROCESS_OUTPUT,       /* bytes came */
    PROCESS_INPUT_CLOSED, /* nobody reads its standard input any more */
    PROCESS_EXITED,
    PROCESS_DRAINED,
    PROCESS_CLOSED,    /* an output has ended */
    PROCESS_FORGOTTEN, /* the struct is freed right after */
};

/* Embedded in who wants to know. The callback may remove itself or others, and may end calls, but
 * must not forget the process. */
struct process_observer {
    struct process_observer *next, *previous;
    void (*event)(void *arg, struct process *process, enum process_event event);
    void *arg;
};

/* One round of a notification. */
struct process_round {
    struct process_observer *next;
    struct process_round *outer;
};

struct process {
    struct processes *set;
    unsigned slot;
    struct table_record *record;
    struct arena_region region;
    struct output outputs[TABLE_OUTPUTS];
    struct input input;
    int pidfd;                /* -1: none */
    struct spawn *spawn;      /* while the child may still use it */
    struct io *status;        /* while the outcome of execve is awaited */
    struct timer *timer;      /* the next deadline; made when first needed */
    struct nsp_error failure; /* code NONE: has not failed */
    bool is_failed;
    struct proctree tree; /* who a signal in scope TREE has found */
    struct process_observer *observers;
    struct process_round *rounds; /* notifications under way, innermost first */
    struct reader *readers;
    struct process *older, *newer; /* among the exited, by exit */
};

void process_observe(struct process *process, struct process_observer *observer);
void process_unobserve(struct process *process, struct process_observer *observer);

/* STATE while it has not exited. */
int process_forget(struct process *process, struct nsp_error *err);

bool process_is_exited(const struct process *process);
/* Everything that was in the pipes at the exit has been read. */
bool process_is_drained(const struct process *process);
unsigned process_output_count(const struct process *process); /* 1 when merged */
struct arrivals process_arrivals(const struct process *process);

/* For the other files of this folder. */
void process_notify(struct process *process, enum process_event event);
/* It could not be started: told to observers; the slot stays until the child's exit has been read,
 * if there is a child. */
void process_fail(struct process *process, const struct nsp_error *err);
void process_on_exit(struct process *process, const struct exitlog_record *exit);
/* Gives back everything but the struct itself and the slot. */
void process_release(struct process *process);
/* Closes what this agent has, and leaves what a successor needs. */
void process_close(struct process *process);

#endif
