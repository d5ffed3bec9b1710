/* The supervisor: PID 1, or a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER).
 *
 * It starts the agent and starts it again when it dies, is the only process that waits, keeps the
 * fd store, and ends everything in order. It parses nothing that came from a client and allocates
 * nothing once the agent runs.
 */
#ifndef INIT_SUPERVISOR_H
#define INIT_SUPERVISOR_H

#include <stdint.h>

struct supervisor_options {
    int argc; /* the agent's own options, without a program name */
    char *const *argv;
    int binary_fd;           /* executed as the agent; -1: our own binary */
    uint32_t agent_ms;       /* time that the agent has to end in order */
    uint32_t grace_ms;       /* time between TERM and KILL for all that is left then */
    uint32_t restart_max_ms; /* longest pause before a restart */
};

enum {
    SUPERVISOR_AGENT_MS = 3000,
    SUPERVISOR_GRACE_MS = 5000,
    SUPERVISOR_RESTART_MAX_MS = 2000,
};

/* Takes over signal mask, SIGCHLD and SIGPIPE of the process, and starts the agent as
 * `nullspace-agent agent OPTIONS...`. Runs until SIGTERM, SIGINT, SIGHUP or a request of the agent;
 * a second signal shortens all waiting. Returns the exit status: 0, the agent's own when it refused
 * to start in the first place (PID 1 goes on trying then), or 1 when the supervisor could not
 * start. As PID 1 it does not return: the machine is powered off. */
int supervisor_run(const struct supervisor_options *options);

#endif
