/* The one place that knows all services: their tables go into the dispatch. */
#ifndef AGENT_METHODS_H
#define AGENT_METHODS_H

#include "agent/rpc/dispatch.h"
#include "agent/services/guest.h"
#include "agent/services/logs.h"
#include "agent/services/net.h"
#include "agent/services/process.h"
#include "agent/services/service.h"
#include "agent/services/system.h"

/* What the handlers of each area get; all outlive the dispatch. */
struct methods {
    struct system_service *system;
    struct process_service *process;
    struct logs_service *logs;
    struct guest_service *guest;
    struct service_control *service;
};

int methods_add_all(struct dispatch *dispatch, const struct methods *services,
                    struct nsp_error *err);

#endif
