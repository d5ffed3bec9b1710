/* Methods about the machine that we are the first process of: how it came up, and its end. */
#ifndef AGENT_SERVICES_GUEST_H
#define AGENT_SERVICES_GUEST_H

#include "agent/handover/bootreport.h"
#include "agent/machine/power.h"
#include "agent/machine/role.h"
#include "agent/rpc/method.h"

struct guest_service {
    const struct bootreport *report; /* NULL: there is none */
    enum role role;
    /* Asks the supervisor for the end, once the answer has been queued. grace_ms: UINT32_MAX as
     * configured. */
    int (*end)(void *arg, enum power_action action, uint32_t grace_ms, struct nsp_error *err);
    void *arg;
};

/* Each handler gets a struct guest_service. */
const struct method *guest_methods(size_t *ret_count);

#endif
