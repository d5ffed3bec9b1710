/* What a client is told of a process. */
#ifndef AGENT_SERVICES_PROCESS_RECORD_H
#define AGENT_SERVICES_PROCESS_RECORD_H

#include "agent/process/process.h"
#include "agent/rpc/reply.h"

/* Writes the members of process.get's record into the open object. */
void process_record_write(struct reply *reply, const struct process *process);

/* Writes `exit`: an object once it has exited, otherwise null. */
void process_record_exit(struct reply *reply, const struct process *process);

/* Writes the members of the exit into the open object. */
void process_record_exit_members(struct reply *reply, const struct process *process);

#endif
