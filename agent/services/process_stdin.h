/* process.stdin and process.close_stdin: bytes for a process's standard input in one call. */
#ifndef AGENT_SERVICES_PROCESS_STDIN_H
#define AGENT_SERVICES_PROCESS_STDIN_H

#include <stdbool.h>

#include "agent/process/process.h"
#include "agent/rpc/call.h"

/* offset: of the first byte, -1 for the present end. Bytes before the delivered offset are left
 * out, a hole is OFFSET. Answers {offset} when all is in the pipe. */
void process_stdin_begin(struct call *call, struct process *process, const void *bytes,
                         size_t length, int64_t offset, bool close);

#endif
