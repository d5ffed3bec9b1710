/* Signals to all that is left of the workload, at the end, and the question whether anything is. */
#ifndef AGENT_SWEEP_H
#define AGENT_SWEEP_H

#include <stdbool.h>

#include "agent/handover/exitlog.h"

struct sweep {
    const struct exitlog *log;
    pid_t agent;     /* spared; 0: none */
    bool everything; /* as PID 1: every process there is, but for kernel threads */
};

/* Otherwise the groups of all claimed processes, and every other child of ours (orphans that fell
 * to us). Stopped processes are continued, so that they can act on it. number 0 only counts.
 * Returns how many are alive, as /proc shows them; without /proc always 0 unless it was sent to a
 * claimed one. */
unsigned sweep_signal(const struct sweep *sweep, int number);

#endif
