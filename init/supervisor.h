/* The supervisor: PID 1, or a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER).
 *
 * It starts the agent and starts it again when it dies, is the only process that waits, keeps the
 * fd store, and ends everything in order. It parses nothing that came from a client and allocates
 * nothing once the agent runs.
 */
#ifndef INIT_SUPERVISOR_H
#define INIT_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/machine/power.h"

struct supervisor_options {
    char *const *argv;       /* of the agent, complete: "nullspace-agent", "agent", options, NULL */
    int binary_fd;           /* executed as the agent; -1: our own binary */
    uint32_t agent_ms;       /* time that the agent has to end in order */
    uint32_t grace_ms;       /* time between TERM and KILL for all that is left then */
    uint32_t restart_max_ms; /* longest pause before a restart */
    int boot_fd;             /* the boot report, for the agent; -1: none */
    bool is_guest;           /* PID 1 of a machine: ends it instead of returning */
    bool has_reset_key;      /* power.h */
    enum power_variant variant;
    unsigned give_up_after; /* starts in a row of an agent that never got ready; 0: never */
    enum power_action give_up_action;
};

enum {
    SUPERVISOR_AGENT_MS = 3000,
    SUPERVISOR_GRACE_MS = 5000,
    SUPERVISOR_RESTART_MAX_MS = 2000,
};

/* Takes over signal mask, SIGCHLD and SIGPIPE of the process, and starts the agent as
 * `nullspace-agent agent OPTIONS...`. Runs until SIGTERM, SIGPWR (power off), SIGINT (reboot),
 * SIGHUP (not as PID 1) or a request of the agent; a second signal shortens all waiting; SIGUSR1
 * logs the state. Returns the exit status: 0, the agent's own when it refused to start in the first
 * place (PID 1 goes on trying then), or 1 when the supervisor could not start. A guest's does not
 * return: the machine ends. */
int supervisor_run(const struct supervisor_options *options);

#endif
