/* The agent program: wires loop, store, processes, services, sessions and listeners together, and
 * runs until the supervisor says so or is gone. */
#ifndef AGENT_PROGRAM_H
#define AGENT_PROGRAM_H

#include "agent/boot/options.h"

/* Returns the exit status: 0 after an ordered end, 1 when it could not start, 3 when only a
 * successor can go on. The descriptors of os/storewire.h are inherited. */
int program_run(const struct options *options);

#endif
