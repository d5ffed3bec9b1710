/* Launching: from options to a running process.
 *
 * Order matters, so that an agent that dies anywhere leaves a state that recovery understands: the
 * record is written, the descriptors are in the store, the claim is made, and only then the clone;
 * the kernel stores the pid. What follows waits for the status pipe as for any other descriptor.
 */
#ifndef AGENT_LAUNCH_H
#define AGENT_LAUNCH_H

#include "agent/os/spawn.h"
#include "agent/process/process.h"

struct launch_options {
    const char *id;  /* NULL or empty: made here */
    const char *key; /* NULL or empty: none */
    char *const *argv;
    size_t argc;
    char *const *environment; /* complete */
    const char *cwd;          /* NULL: the agent's */
    bool input, merge;
    enum table_policy policy;
    uint64_t ring_bytes; /* 0: RING_DEFAULT */
    uint64_t timeout_ms; /* 0: none */
    uint32_t grace_ms;
    int64_t drain_ms; /* -1: none */
    bool has_umask;
    mode_t umask;
    const struct spawn_rlimit *rlimits;
    size_t rlimit_count;
};

/* Starts a program. On success the process is STARTING and its outcome comes as an event. With a
 * key that is known already *ret_process is the earlier one and *ret_repeated true. Errors:
 * ALREADY_EXISTS (id), INVALID_PARAMS, EXHAUSTED (processes, rings, descriptors, memory), SPAWN. */
int launch_start(struct processes *set, const struct launch_options *options,
                 struct process **ret_process, bool *ret_repeated, struct nsp_error *err);

/* For process.c and recover.c. Looks at the status descriptor, if the outcome is still awaited. */
void launch_check(struct process *process);
/* The outcome was not known in time: the child is killed, PROCESS_FAILED is told. */
void launch_expire(struct process *process);
/* Waits for the outcome on fd, which the process then owns unless spawn does. */
int launch_watch(struct process *process, int fd, struct nsp_error *err);

#endif
