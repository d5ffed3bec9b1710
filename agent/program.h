/* The agent program: wires loop, store, processes, services, sessions and listeners together, and
 * runs until the supervisor says so or is gone. */
#ifndef AGENT_PROGRAM_H
#define AGENT_PROGRAM_H

#include "agent/boot/options.h"

/* What the options say beyond their spelling: the addresses. INVALID_PARAMS. */
int program_check(const struct options *options, struct nsp_error *err);

/* Returns the exit status: 0 after an ordered end, 1 when it could not start, 2 when the options do
 * not allow it, 3 when only a successor can go on. The descriptors of handover/storewire.h are
 * inherited.
 */
int program_run(const struct options *options);

#endif
