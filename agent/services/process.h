/* The process area: process.* methods over agent/process. The files process_*.c belong to it. */
#ifndef AGENT_SERVICES_PROCESS_H
#define AGENT_SERVICES_PROCESS_H

#include "agent/loop/loop.h"
#include "agent/process/processes.h"
#include "agent/rpc/method.h"

struct process_service {
    struct loop *loop;
    struct processes *set;
    const char *default_cwd;          /* absolute; borrowed */
    char *const *default_environment; /* NULL-terminated; borrowed */
};

/* The table; each handler gets a struct process_service. */
const struct method *process_methods(size_t *ret_count);

/* Members of stats about processes and rings. service: struct process_service. */
void process_stats(void *service, struct reply *reply);

#endif
