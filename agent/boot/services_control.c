#include <signal.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/boot/services_impl.h"
#include "agent/process/signals.h"

static struct service *find(const struct services *services, const char *name,
                            struct nsp_error *err)
{
    for (size_t i = 0; i < services->count; i++)
        if (strcmp(services->list[i].record->name, name) == 0)
            return &services->list[i];
    nsp_fail_on(err, NSP_E_NOT_FOUND, name, "no service of this name is configured");
    return NULL;
}

static void describe(const struct service *service, struct service_status *ret_status)
{
    const struct services_record *record = service->record;
    uint64_t now = clock_now_ns();
    bool is_due_later = record->state == SERVICE_BACKOFF && record->due_ns > now;
    *ret_status = (struct service_status){
        .name = record->name,
        .process_id = service->id,
        .state = record->state,
        .starts = record->life,
        .restarts = record->restarts,
        .pid = service->process ? service->process->record->pid : 0,
        .restart_in_ms = is_due_later ? (record->due_ns - now) / CLOCK_NS_PER_MS : 0,
        .has_exit = record->has_exit,
        .was_signalled = record->was_signalled,
        .code = record->code,
        .life_ms = record->life_ms,
        .exited_unix_ms = record->exited_unix_ms,
        .failure = record->failure[0] ? record->failure : NULL,
    };
}

static bool at(void *arg, unsigned number, struct service_status *ret_status)
{
    const struct services *services = arg;
    if (number >= services->count)
        return false;
    describe(&services->list[number], ret_status);
    return true;
}

static int status(void *arg, const char *name, struct service_status *ret_status,
                  struct nsp_error *err)
{
    const struct service *service = find(arg, name, err);
    if (!service)
        return -1;
    describe(service, ret_status);
    return 0;
}

static void start_service(struct service *service)
{
    struct services_record *record = service->record;
    if (record->state == SERVICE_STARTING || record->state == SERVICE_RUNNING)
        return;
    record->streak = 0;
    if (record->state == SERVICE_STOPPING)
        record->restart_wanted = true;
    else
        services_start_life(service);
}

static void set_stopped(struct service *service)
{
    if (service->timer)
        timer_cancel(service->timer);
    services_set_state(service, SERVICE_STOPPED);
    services_advance(service->services);
}

/* is_again: to be started once it has ended. */
static int stop_service(struct service *service, uint64_t grace_ms, bool is_again,
                        struct nsp_error *err)
{
    struct services_record *record = service->record;
    if (!service->process) {
        if (record->state < SERVICE_STOPPED)
            set_stopped(service);
        return 0;
    }
    if (signals_kill(service->process, SIGTERM, SIGNALS_TREE, grace_ms, err) < 0)
        return -1;
    record->restart_wanted = is_again;
    services_set_state(service, SERVICE_STOPPING);
    return 0;
}

static int start(void *arg, const char *name, struct nsp_error *err)
{
    struct service *service = find(arg, name, err);
    if (!service)
        return -1;
    start_service(service);
    return 0;
}

static int stop(void *arg, const char *name, uint64_t grace_ms, struct nsp_error *err)
{
    struct service *service = find(arg, name, err);
    return service ? stop_service(service, grace_ms, false, err) : -1;
}

static int restart(void *arg, const char *name, uint64_t grace_ms, struct nsp_error *err)
{
    struct service *service = find(arg, name, err);
    if (!service)
        return -1;
    if (service->process)
        return stop_service(service, grace_ms, true, err);
    start_service(service);
    return 0;
}

struct service_control services_control(struct services *services)
{
    return (struct service_control){
        .arg = services,
        .at = at,
        .find = status,
        .start = start,
        .stop = stop,
        .restart = restart,
    };
}
