/* The one place that knows all services: their tables go into the dispatch. */
#ifndef AGENT_METHODS_H
#define AGENT_METHODS_H

#include "agent/rpc/dispatch.h"
#include "agent/services/process.h"
#include "agent/services/system.h"

int methods_add_all(struct dispatch *dispatch, struct system_service *system,
                    struct process_service *process, struct nsp_error *err);

#endif
