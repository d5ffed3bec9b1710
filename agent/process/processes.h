/* The set of all processes: what they share, finding them, their exits, and taking them over from
 * an agent that died.
 */
#ifndef AGENT_PROCESSES_H
#define AGENT_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/process/process.h"
#include "agent/process/stage.h"
#include "agent/process/store.h"

/* What a successor finds in the fd store, besides the processes' own descriptors. */
struct processes_config {
    struct loop *loop;
    struct store *store;
    int claims_fd, exits_fd; /* of the exit log; borrowed */
    int cgroup_fd;           /* group that processes are born into; borrowed; 0 or less: ours */
    uint64_t ring_budget;    /* bytes; 0: an eighth of the memory */
    /* Something failed that leaves the state only a successor can mend: the agent must end. */
    void (*fatal)(void *arg, const char *what, const struct nsp_error *err);
    void *arg;
};

struct processes_stats {
    unsigned running, exited;
    uint64_t started, failed; /* by this agent */
    uint64_t ring_bytes, ring_budget;
    uint64_t dropped; /* bytes, of the processes still kept */
};

/* Makes the shared state, or takes over what the store's items hold. items: the descriptors become
 * the set's, those of listeners are left alone. */
int processes_new(const struct processes_config *config, const struct store_item *items,
                  unsigned count, struct processes **ret_set, struct nsp_error *err);
void processes_free(struct processes *set);

/* The exit log may have something new. */
void processes_on_wake(struct processes *set);

struct process *processes_find(const struct processes *set, const char *id);
/* In no particular order. Start with *cursor = 0; NULL at the end. */
struct process *processes_next(const struct processes *set, unsigned *cursor);
unsigned processes_running(const struct processes *set);
uint64_t processes_generation(const struct processes *set); /* agent starts in this boot */
void processes_stats(const struct processes *set, struct processes_stats *ret_stats);

/* For the other files of this folder. */
struct loop *processes_loop(const struct processes *set);
struct store *processes_store(const struct processes *set);
struct arena *processes_arena(const struct processes *set);
struct exitlog *processes_exitlog(const struct processes *set);
struct table *processes_table(struct processes *set);
int processes_cgroup(const struct processes *set);
const struct stage *processes_output_stage(const struct processes *set);
const struct stage *processes_input_stage(const struct processes *set);
void processes_fatal(struct processes *set, const char *what, const struct nsp_error *err);
/* True when rings may touch so many bytes more, if need be after giving up the output of the oldest
 * exited processes. */
bool processes_reserve(struct processes *set, uint64_t bytes);

/* A free slot with a cleared record and a fresh struct, not yet findable. EXHAUSTED. */
int processes_allocate(struct processes *set, const char *id, const char *key,
                       struct process **ret_process, struct nsp_error *err);
/* The same for a record that an earlier agent left. */
int processes_adopt(struct processes *set, unsigned slot, struct process **ret_process,
                    struct nsp_error *err);
struct process *processes_find_key(const struct processes *set, const char *key);
/* The process has exited: it may be forgotten when there are too many. */
void processes_note_exit(struct processes *set, struct process *process);
void processes_note_failure(struct processes *set, struct process *process);
/* Ends the process's entry and frees everything of it. Not from inside its notifications. */
void processes_remove(struct processes *set, struct process *process);

#endif
