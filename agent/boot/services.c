/* A process tells its end from inside a notification, where it must not be forgotten yet: the next
 * life always begins from a timer or another turn of the loop. Whatever changes a state leaves the
 * rest - who is next, is it the end - to on_advance. */
#include "agent/boot/services.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/boot/services_impl.h"
#include "agent/os/environment.h"
#include "agent/process/launch.h"
#include "agent/process/signals.h"
#include "protocol/cleanup.h"

static const char id_prefix[] = "service.";

static bool is_active(const struct service *service)
{
    return service->record->state < SERVICE_STOPPED;
}

void services_set_state(struct service *service, enum service_state state)
{
    log_debug("service", "name=%s old=%s new=%s", service->record->name,
              service_state_name(service->record->state), service_state_name(state));
    /* The state goes last: all that belongs to it is in the record when a successor sees it. */
    TABLE_IN_ORDER();
    service->record->state = state;
    TABLE_IN_ORDER();
}

void services_advance(struct services *services)
{
    if (services->is_begun && !services->is_halted)
        loop_defer(services->loop, &services->advance);
}

static void end_step(struct service *service, enum bootreport_state state,
                     const struct nsp_error *err)
{
    if (service->step)
        bootreport_end(service->step, state, NULL, err);
    service->step = NULL;
}

static void leave_process(struct service *service)
{
    if (service->process)
        process_unobserve(service->process, &service->observer);
    service->process = NULL;
}

static void on_due(void *arg)
{
    struct service *service = arg;
    if (service->record->state == SERVICE_BACKOFF)
        services_start_life(service);
}

static int set_timer(struct service *service, uint64_t delay_ns, struct nsp_error *err)
{
    if (!service->timer &&
        timer_new(service->services->loop, on_due, service, &service->timer, err) < 0)
        return -1;
    return timer_set(service->timer, delay_ns, err);
}

static void arm(struct service *service)
{
    uint64_t now = clock_now_ns(), due = service->record->due_ns;
    struct nsp_error err = NSP_ERROR_INIT;
    if (set_timer(service, due > now ? due - now : 0, &err) < 0) {
        log_error(LOG_ERROR, "a service cannot be started again", &err);
        services_set_state(service, SERVICE_FAILED);
    }
}

static uint64_t delay_ms(const struct service *service)
{
    uint64_t delay = (uint64_t)service->config->restart_delay_ms;
    for (uint32_t i = 1; i < service->record->streak && delay < SERVICES_DELAY_MAX_MS; i++)
        delay *= 2;
    return delay < SERVICES_DELAY_MAX_MS ? delay : SERVICES_DELAY_MAX_MS;
}

static void back_off(struct service *service, uint64_t delay)
{
    service->record->due_ns = clock_now_ns() + delay * CLOCK_NS_PER_MS;
    services_set_state(service, SERVICE_BACKOFF);
    arm(service);
}

/* What comes after a life. */
static void decide(struct service *service, bool is_failure)
{
    const struct config_service *config = service->config;
    struct services_record *record = service->record;
    bool is_unable = record->failure[0] != '\0';
    if (record->state == SERVICE_STOPPING && !record->restart_wanted) {
        services_set_state(service, SERVICE_STOPPED);
    } else if (record->state == SERVICE_STOPPING) {
        record->streak = 0;
        back_off(service, 0);
    } else if (config->restart == CONFIG_RESTART_NEVER ||
               (config->restart == CONFIG_RESTART_ON_FAILURE && !is_failure)) {
        services_set_state(service, is_unable ? SERVICE_FAILED : SERVICE_ENDED);
    } else if (config->restart_max > 0 && record->streak >= (uint64_t)config->restart_max) {
        log_warn("service given up", "name=%s restarts=%u", record->name, record->streak);
        services_set_state(service, SERVICE_FAILED);
    } else {
        record->streak++;
        record->restarts++;
        back_off(service, delay_ms(service));
    }
    services_advance(service->services);
}

static void on_unable(struct service *service, const struct nsp_error *err)
{
    leave_process(service);
    end_step(service, BOOTREPORT_FAILED, err);
    snprintf(service->record->failure, sizeof service->record->failure, "%s", err->msg);
    char detail[256];
    log_warn("service cannot be started", "name=%s error=%s detail=%s", service->record->name,
             nsp_error_name(err->code),
             log_quote(detail, sizeof detail, err->msg, strlen(err->msg)));
    decide(service, true);
}

static void on_ended(struct service *service)
{
    struct services_record *record = service->record;
    const struct table_record *life = service->process->record;
    bool was_signalled = life->exit.code != CLD_EXITED;
    bool is_failure = was_signalled || life->exit.status != 0;
    uint64_t started = life->started_ns, ended = life->exit.exited_ns;
    record->has_exit = true;
    record->was_signalled = was_signalled;
    record->code = life->exit.status;
    record->life_ms = ended > started ? (ended - started) / CLOCK_NS_PER_MS : 0;
    record->exited_unix_ms = life->exit.exited_unix_ms;
    if (record->life_ms >= SERVICES_STEADY_MS)
        record->streak = 0;
    bool is_surprise = is_failure && record->state != SERVICE_STOPPING;
    log_write(is_surprise ? LOG_WARN : LOG_INFO, "service ended", "name=%s %s=%d life_ms=%llu",
              record->name, was_signalled ? "signal" : "code", record->code,
              (unsigned long long)record->life_ms);
    leave_process(service);
    decide(service, is_failure);
}

static void on_started(struct service *service)
{
    end_step(service, BOOTREPORT_DONE, NULL);
    service->record->failure[0] = '\0';
    if (service->record->state == SERVICE_STARTING)
        services_set_state(service, SERVICE_RUNNING);
}

static void on_event(void *arg, struct process *process, enum process_event event)
{
    struct service *service = arg;
    if (event == PROCESS_STARTED)
        on_started(service);
    else if (event == PROCESS_FAILED)
        on_unable(service, &process->failure);
    else if (event == PROCESS_EXITED)
        on_ended(service);
    else if (event == PROCESS_FORGOTTEN)
        leave_process(service);
}

/* The process of the present life, in whatever state it is. */
static void follow(struct service *service, struct process *process)
{
    service->process = process;
    service->observer = (struct process_observer){.event = on_event, .arg = service};
    process_observe(process, &service->observer);
    if (process->record->state != TABLE_STARTING)
        on_started(service);
    if (process_is_exited(process))
        on_ended(service);
}

/* False when the id belongs to a process that is none of the service's. */
static bool is_own(const struct service *service, const struct process *process)
{
    size_t length = strlen(service->id);
    const char *key = process->record->key;
    return strncmp(key, service->id, length) == 0 && key[length] == '.';
}

static void forget_last_life(struct service *service)
{
    unsigned sent;
    struct process *last = processes_find(service->services->config.set, service->id);
    if (!last || !is_own(service, last) || !process_is_exited(last))
        return;
    (void)signals_send(last, SIGKILL, SIGNALS_TREE, &sent, NULL);
    (void)process_forget(last, NULL);
}

static void key_of(const struct service *service, char target[NSP_LIMIT_ID + 1])
{
    snprintf(target, NSP_LIMIT_ID + 1, "%s.%u", service->id, service->record->life);
}

static int launch(const struct service *service, struct process **ret_process,
                  struct nsp_error *err)
{
    const struct services_config *all = &service->services->config;
    const struct config_service *config = service->config;
    char key[NSP_LIMIT_ID + 1];
    char *shell[] = {"/bin/sh", "-c", (char *)config->command, NULL};
    bool is_repeated;
    AUTO_FREE char **environment = environment_merge(all->environment, config->environment.items);
    if (!environment)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory to start a service");
    key_of(service, key);
    const struct launch_options options = {
        .id = service->id,
        .key = key,
        .argv = config->command ? shell : config->argv.items,
        .argc = config->command ? 3 : config->argv.count,
        .environment = environment,
        .cwd = config->cwd ? config->cwd : all->directory,
        .grace_ms = NSP_LIMIT_GRACE_DEFAULT,
        .drain_ms = -1,
    };
    return launch_start(all->set, &options, ret_process, &is_repeated, err);
}

/* By the number of the life: names are cut in the report, and two may look the same there. */
static void note_step(struct service *service)
{
    if (service->record->life == 1 && !service->step)
        service->step = bootreport_begin(service->services->config.report, service->id, true);
}

/* The life's number is in the record already. */
static void begin_life(struct service *service)
{
    struct process *process;
    struct nsp_error err = NSP_ERROR_INIT;
    forget_last_life(service);
    note_step(service);
    if (launch(service, &process, &err) < 0)
        on_unable(service, &err);
    else
        follow(service, process);
}

void services_start_life(struct service *service)
{
    struct services *services = service->services;
    if (services->is_halted)
        return;
    if (service->timer)
        timer_cancel(service->timer);
    if (!services->is_begun) {
        services_set_state(service, SERVICE_WAITING);
        return;
    }
    service->record->restart_wanted = false;
    service->record->life++;
    services_set_state(service, SERVICE_STARTING);
    begin_life(service);
}

static void conclude(struct services *services)
{
    bool is_idle = services->count > 0;
    const struct service *last = NULL;
    for (size_t i = 0; i < services->count; i++) {
        const struct service *service = &services->list[i];
        bool has_ended = service->record->state > SERVICE_STOPPED;
        is_idle = is_idle && !is_active(service);
        if (has_ended)
            last = service;
        if (has_ended && service->config->on_exit != CONFIG_EXIT_NOTHING) {
            services->config.end(services->config.arg, service->config->on_exit,
                                 service->record->name);
            return;
        }
    }
    if (is_idle && last && services->config.shutdown_when_idle)
        services->config.end(services->config.arg, CONFIG_EXIT_POWEROFF, last->record->name);
}

static void on_advance(void *arg)
{
    struct services *services = arg;
    for (size_t i = 0; i < services->count; i++) {
        struct service *service = &services->list[i];
        if (service->record->state == SERVICE_WAITING)
            services_start_life(service);
        if (service->config->wait && is_active(service))
            break;
    }
    conclude(services);
}

/* The record is new, but the process is there: an agent with another layout has left it. */
static void find_life(struct service *service)
{
    const struct process *process = processes_find(service->services->config.set, service->id);
    if (service->record->life > 0 || !process || !is_own(service, process))
        return;
    service->record->life =
        (uint32_t)strtoul(process->record->key + strlen(service->id) + 1, NULL, 10);
    service->record->state = SERVICE_RUNNING;
}

/* From where the last agent was. */
static void take_over(struct service *service)
{
    char key[NSP_LIMIT_ID + 1];
    find_life(service);
    enum service_state state = service->record->state;
    if (state == SERVICE_BACKOFF)
        arm(service);
    if (state != SERVICE_STARTING && state != SERVICE_RUNNING && state != SERVICE_STOPPING)
        return;
    if (state == SERVICE_STARTING && service->record->life == 1)
        service->step = bootreport_resume(service->services->config.report, service->id);
    key_of(service, key);
    struct process *process = processes_find_key(service->services->config.set, key);
    if (process) {
        follow(service, process);
    } else if (state != SERVICE_STARTING) {
        /* It had started; only its end is unknown. */
        decide(service, true);
    }
}

void services_begin(struct services *services)
{
    services->is_begun = true;
    for (size_t i = 0; i < services->count; i++) {
        struct service *service = &services->list[i];
        /* The last agent died before the process was in the table. */
        if (service->record->state == SERVICE_STARTING && !service->process)
            begin_life(service);
    }
    services_advance(services);
}

void services_halt(struct services *services)
{
    services->is_halted = true;
    loop_undefer(services->loop, &services->advance);
    for (size_t i = 0; i < services->count; i++)
        if (services->list[i].timer)
            timer_cancel(services->list[i].timer);
}

static int open_records(struct services *services, struct nsp_error *err)
{
    AUTO_FD int inherited = services->config.record_fd;
    if (services->config.count == 0)
        return 0;
    if (inherited >= 0 && services_record_open(inherited, &services->records, NULL) == 0)
        return 0;
    AUTO_FD int fd = -1;
    if (services_record_create(&services->records, &fd, err) < 0)
        return -1;
    const struct store_item item = {{STOREWIRE_SERVICES, 0}, fd};
    return store_put(processes_store(services->config.set), &item, 1, err);
}

static bool is_known(const struct services *services, const struct services_record *record)
{
    for (size_t i = 0; i < services->count; i++)
        if (services->list[i].record == record)
            return true;
    return false;
}

static void add(struct services *services, const struct config_service *config)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct services_record *record = NULL;
    if (services_record_get(services->records, config->name, &record, &err) == 0 &&
        is_known(services, record))
        nsp_fail_on(&err, NSP_E_ALREADY_EXISTS, config->name, "two services have this name");
    if (err.code != NSP_E_NONE) {
        log_error(LOG_ERROR, "a service is left out", &err);
        return;
    }
    struct service *service = &services->list[services->count++];
    *service = (struct service){.services = services, .config = config, .record = record};
    snprintf(service->id, sizeof service->id, "%s%s", id_prefix, record->name);
}

int services_new(const struct services_config *config, struct services **ret_services,
                 struct nsp_error *err)
{
    struct services *services = calloc(1, sizeof *services);
    struct service *list = calloc(config->count + 1, sizeof *list);
    if (!services || !list) {
        free(list);
        free(services);
        if (config->record_fd >= 0)
            close(config->record_fd);
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the services");
    }
    services->config = *config;
    services->loop = processes_loop(config->set);
    services->list = list;
    services->advance = (struct loop_deferred){.callback = on_advance, .arg = services};
    if (open_records(services, err) < 0) {
        services_free(services);
        return -1;
    }
    for (size_t i = 0; i < config->count; i++)
        add(services, &config->list[i]);
    for (size_t i = 0; i < services->count; i++)
        take_over(&services->list[i]);
    *ret_services = services;
    return 0;
}

void services_free(struct services *services)
{
    if (!services)
        return;
    services_halt(services);
    for (size_t i = 0; i < services->count; i++) {
        leave_process(&services->list[i]);
        timer_free(services->list[i].timer);
    }
    services_record_close(services->records);
    free(services->list);
    free(services);
}
