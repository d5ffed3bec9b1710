/* The services of the configuration: programs that are started at boot, one after the other, as
 * tracked processes with the id "service.NAME", and started again as their policy says.
 *
 * The states are those of schema/service.h; they live in shared memory (services_record.h), so that
 * an agent that takes over goes on where the last one was: no service is started twice, none is
 * forgotten, and none begins its count of restarts again. A life of 10 s or more is a steady one:
 * after it the count and the delay begin anew. Before a new life begins what is left of the
 * processes of the last one is killed and that process is forgotten, with its output.
 */
#ifndef AGENT_BOOT_SERVICES_H
#define AGENT_BOOT_SERVICES_H

#include "agent/boot/config.h"
#include "agent/handover/bootreport.h"
#include "agent/process/processes.h"
#include "agent/schema/service.h"

enum { SERVICES_STEADY_MS = 10000, SERVICES_DELAY_MAX_MS = 30000 };

/* All pointers are borrowed and outlive the services. */
struct services_config {
    struct processes *set;
    int record_fd;             /* what the fd store has as SERVICES, taken over; -1: nothing */
    struct bootreport *report; /* each service's first start is noted there; NULL: nowhere */
    const struct config_service *list;
    size_t count;
    bool shutdown_when_idle;
    char *const *environment; /* default of the services, complete */
    const char *directory;    /* where they start unless they say otherwise */
    /* The guest is to end: after a service with on_exit has ended for good, or (POWEROFF) the last
     * of all with shutdown_when_idle. name: the service. Called from the loop. */
    void (*end)(void *arg, enum config_on_exit how, const char *name);
    void *arg;
};

struct services;

/* Finds the running ones again; starts none. A service whose name is used twice or does not fit is
 * left out with a word in the log. */
int services_new(const struct services_config *config, struct services **ret_services,
                 struct nsp_error *err);
/* Stops looking after them; the processes go on. NULL is fine. */
void services_free(struct services *services);

/* From now on they are started. */
void services_begin(struct services *services);
/* Nothing is started any more: the guest shuts down. */
void services_halt(struct services *services);

/* For calls about services; valid until services_free. */
struct service_control services_control(struct services *services);

#endif
