/* Deadlines of a process, all from its record, so that they survive the agent: launch, timeout
 * (TERM to the group), kill, end of the drain, and departed readers' places. One timer a process,
 * set to the earliest. */
#ifndef AGENT_DEADLINES_H
#define AGENT_DEADLINES_H

#include "protocol/error.h"

struct process;

/* The first time, for a new process. */
int deadlines_start(struct process *process, struct nsp_error *err);
/* Call whenever one of them may have changed. */
void deadlines_arm(struct process *process);

#endif
