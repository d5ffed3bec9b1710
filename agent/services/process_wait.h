/* Calls that wait for one fact about a process: that it has started, or that it has exited. */
#ifndef AGENT_SERVICES_PROCESS_WAIT_H
#define AGENT_SERVICES_PROCESS_WAIT_H

#include "agent/process/process.h"
#include "agent/rpc/call.h"

enum process_wait_for { PROCESS_WAIT_STARTED, PROCESS_WAIT_EXITED };

/* Answers at once when it is a fact already: {id, pid, attached: false}, or {exit}. */
void process_wait_begin(struct call *call, struct process *process, enum process_wait_for what);

#endif
