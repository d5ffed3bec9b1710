/* Signals to all that is left of the workload, at the end. */
#ifndef INIT_SWEEP_H
#define INIT_SWEEP_H

#include "agent/os/exitlog.h"

/* As PID 1: every process there is. Otherwise the groups of all claimed processes, and every other
 * child of ours (orphans that fell to us, where /proc shows them) with its group if it leads one.
 * Stopped processes are continued, so that they can act on it. The agent must be gone
 * or dying. */
void sweep_signal(const struct exitlog *log, int number);

#endif
