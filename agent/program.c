#include "agent/program.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/boot/network.h"
#include "agent/boot/settings.h"
#include "agent/boot/steps.h"
#include "agent/boot/surroundings.h"
#include "agent/machine/cgroup.h"
#include "agent/methods.h"
#include "agent/os/hostclock.h"
#include "agent/os/hostinfo.h"
#include "agent/os/oomshield.h"
#include "agent/os/rlimit.h"
#include "agent/process/store_items.h"
#include "agent/process/workgroup.h"
#include "agent/session/farewell.h"
#include "agent/session/session.h"
#include "agent/transport/listener.h"
#include "config.h"
#include "protocol/cleanup.h"

static const char *const features[] = {"process",  "text-mode", "credit",
                                       "reattach", "recovery",  NULL};

enum { FAREWELL_SPARE_MS = 500 };

enum exit_status {
    STATUS_ENDED = 0,
    STATUS_CANNOT_START = 1,
    STATUS_WRONG_OPTIONS = 2,
    STATUS_NEEDS_SUCCESSOR = 3,
};

struct program {
    struct settings settings;
    struct bootreport *report; /* NULL: there is none */
    uint64_t started_ns;
    struct loop *loop;
    struct store store;
    struct io *supervisor, *wake;
    struct processes *processes;
    struct dispatch *dispatch;
    struct system_service *system;
    struct logs_service *logs;
    struct process_service process_service;
    struct guest_service guest;
    struct services *services;
    struct service_control service_control;
    struct steps *steps;
    struct workgroup *workgroup; /* of a guest; NULL: none */
    struct farewell *farewell;
    struct system_stats stats[2];
    struct session_server *sessions;
    struct token token;
    char boot_id[HOSTINFO_BOOT_ID_SIZE];
    char **environment;
    const char *directory;
    int cgroup_fd; /* of a guest, for its processes; -1: none */
    struct loop_deferred stop;
    int status;
};

static void on_fatal(void *arg, const char *what, const struct nsp_error *err)
{
    struct program *program = arg;
    log_error(LOG_ERROR, what, err);
    program->status = STATUS_NEEDS_SUCCESSOR;
    loop_stop(program->loop);
}

static void on_wake(void *arg, unsigned ready)
{
    (void)ready;
    struct program *program = arg;
    uint64_t count;
    if (read(STOREWIRE_FD_WAKE, &count, sizeof count) > 0)
        processes_on_wake(program->processes);
    logs_on_wake(program->logs);
}

static void on_stop(void *arg)
{
    loop_stop(((struct program *)arg)->loop);
}

/* Nothing new from now on; what runs may still be looked at, and the supervisor ends it. */
static void close_gate(struct program *program)
{
    log_info("shutting down", NULL);
    dispatch_set_gate(program->dispatch, DISPATCH_SHUTTING_DOWN);
    services_halt(program->services);
}

static void say_farewell(struct program *program, unsigned limit_ms)
{
    struct nsp_error err = NSP_ERROR_INIT;
    bool is_guest = program->settings.role == ROLE_GUEST;
    session_server_stop_accepting(program->sessions);
    processes_on_wake(program->processes);
    limit_ms = limit_ms > 2 * FAREWELL_SPARE_MS ? limit_ms - FAREWELL_SPARE_MS : limit_ms / 2;
    if (program->farewell)
        return;
    if (farewell_start(program->loop, program->sessions, is_guest, limit_ms, on_stop, program,
                       &program->farewell, &err) < 0) {
        log_error(LOG_WARN, "no farewell", &err);
        loop_defer(program->loop, &program->stop);
    }
}

static void on_supervisor(void *arg, unsigned ready)
{
    (void)ready;
    struct program *program = arg;
    struct storewire_message message;
    int fds[STOREWIRE_BATCH];
    struct nsp_error err = NSP_ERROR_INIT;
    int got = storewire_receive(STOREWIRE_FD_SOCKET, &message, fds, &err);
    if (got <= 0) {
        log_warn("the supervisor is gone", NULL);
        dispatch_set_gate(program->dispatch, DISPATCH_SHUTTING_DOWN);
        session_server_stop_accepting(program->sessions);
        loop_defer(program->loop, &program->stop);
    } else if (message.op == STOREWIRE_SHUTDOWN) {
        close_gate(program);
    } else if (message.op == STOREWIRE_END) {
        say_farewell(program, message.argument);
    }
}

static int ask_for_end(void *arg, enum power_action action, uint32_t grace_ms,
                       struct nsp_error *err)
{
    struct program *program = arg;
    const struct storewire_message message = {
        .op = STOREWIRE_SHUTDOWN,
        .argument = action,
        .grace_ms = grace_ms != UINT32_MAX ? grace_ms : program->settings.grace_ms};
    if (storewire_try_send(STOREWIRE_FD_SOCKET, &message, NULL, err) < 0)
        return -1;
    storewire_kick(STOREWIRE_FD_KICK);
    /* What the peer asks for after our answer is too late already. */
    dispatch_set_gate(program->dispatch, DISPATCH_SHUTTING_DOWN);
    return 0;
}

static int load_token(struct program *program, struct nsp_error *err)
{
    const char *path = program->settings.token_file;
    if (!path)
        return 0;
    if (access(path, F_OK) == 0)
        return token_read(path, &program->token, err);
    return token_create(path, &program->token, err);
}

/* number: of the address, under which the fd store keeps the socket. */
static int listen_on(struct program *program, const struct store_items *items, const char *text,
                     unsigned number, struct nsp_error *err)
{
    const struct settings *settings = &program->settings;
    const struct listener_options listener_options = {
        .insecure_bind = settings->insecure_bind,
        .any_cid = settings->any_cid,
        .token = program->token.length > 0 ? &program->token : NULL,
    };
    struct address address;
    struct listener *listener;
    if (address_parse(text, &address, err) < 0 ||
        listener_open(&address, &listener_options,
                      store_items_find(items, STOREWIRE_LISTENER, number), &listener, err) < 0)
        return -1;
    const struct store_item item = {{STOREWIRE_LISTENER, number}, listener_fd(listener)};
    if (store_put(&program->store, &item, 1, err) < 0) {
        listener_free(listener);
        return -1;
    }
    return session_server_add(program->sessions, listener, err);
}

static void on_host_time(int64_t unix_ns)
{
    struct nsp_error err = NSP_ERROR_INIT;
    bool was_set = false;
    int64_t offset_ns = 0;
    if (hostclock_set(unix_ns, &was_set, &offset_ns, &err) < 0)
        log_error(LOG_WARN, "the clock is not set", &err);
    else if (was_set)
        log_info("clock set", "behind_ms=%lld", (long long)(offset_ns / (int64_t)CLOCK_NS_PER_MS));
}

/* A guest is to be reached as far as it can be: one address is enough, if need be the default. */
static int listen_everywhere(struct program *program, const struct store_items *items,
                             struct nsp_error *err)
{
    unsigned failed = 0;
    for (unsigned i = 0; i < program->settings.listen_count; i++) {
        if (listen_on(program, items, program->settings.listen[i], i, err) == 0)
            continue;
        if (program->settings.role != ROLE_GUEST)
            return -1;
        log_error(LOG_ERROR, "cannot listen", err);
        failed++;
    }
    if (failed < program->settings.listen_count)
        return 0;
    return listen_on(program, items, SETTINGS_GUEST_ADDRESS, failed, err);
}

static void on_services_end(void *arg, enum config_on_exit how, const char *name)
{
    struct nsp_error err = NSP_ERROR_INIT;
    enum power_action action = how == CONFIG_EXIT_REBOOT ? POWER_REBOOT : POWER_OFF;
    log_info("the end, since a service has ended", "service=%s action=%s", name,
             power_action_name(action));
    if (ask_for_end(arg, action, UINT32_MAX, &err) < 0)
        log_error(LOG_ERROR, "cannot ask for the end", &err);
}

static int make_supervision(struct program *program, const struct store_items *items,
                            struct nsp_error *err)
{
    const struct config *config = program->settings.config;
    const struct services_config services = {
        .set = program->processes,
        .record_fd = store_items_find(items, STOREWIRE_SERVICES, 0),
        .report = program->report,
        .list = config->services.items,
        .count = config->services.count,
        .shutdown_when_idle = config->shutdown_when_idle,
        .environment = program->environment,
        .directory = program->directory,
        .end = on_services_end,
        .arg = program,
    };
    if (services_new(&services, &program->services, err) < 0)
        return -1;
    program->service_control = services_control(program->services);
    return 0;
}

/* The port on which the host finds us; 0: on none. */
static uint32_t vsock_port(const struct settings *settings)
{
    struct address address;
    uint32_t port = 0;
    for (unsigned i = 0; i < settings->listen_count && port == 0; i++)
        if (address_parse(settings->listen[i], &address, NULL) == 0)
            port = address_vsock_port(&address);
    return port;
}

static int begin_steps(struct program *program, struct nsp_error *err)
{
    const struct steps_config steps = {
        .loop = program->loop,
        .report = program->report,
        .config = program->settings.config,
        .config_path = program->settings.config_path,
        .set = program->processes,
        .services = program->services,
        .is_guest = program->settings.role == ROLE_GUEST,
        .environment = program->environment,
        .boot_id = program->boot_id,
        .vsock_port = vsock_port(&program->settings),
        .network = network_apply,
    };
    return steps_start(&steps, &program->steps, err);
}

static void write_workgroup(void *arg, struct reply *reply)
{
    struct workgroup_stats stats;
    workgroup_stats(((const struct program *)arg)->workgroup, &stats);
    reply_u64(reply, "oom_kills", stats.oom_kills);
    reply_u64(reply, "refused_tasks", stats.refused_tasks);
}

/* What the kernel tells about the group of our processes; all else goes on without. */
static void watch_workgroup(struct program *program)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (program->cgroup_fd >= 0 &&
        workgroup_new(program->loop, CGROUP_WORK, &program->workgroup, &err) < 0)
        log_error(LOG_INFO, "the group of processes is not watched", &err);
}

static int make_services(struct program *program, struct nsp_error *err)
{
    program->process_service = (struct process_service){
        .loop = program->loop,
        .set = program->processes,
        .default_cwd = program->directory,
        .default_environment = program->environment,
    };
    program->guest = (struct guest_service){
        .report = program->report,
        .role = program->settings.role,
        .end = ask_for_end,
        .arg = program,
    };
    program->stats[0] = (struct system_stats){process_stats, &program->process_service};
    program->stats[1] = (struct system_stats){write_workgroup, program};
    const struct system_facts facts = {
        .version = PACKAGE_VERSION,
        .boot_id = program->boot_id,
        .generation = processes_generation(program->processes),
        .mode = role_name(program->settings.role),
        .supervisor = getppid(),
        .started_ns = program->started_ns,
        .directory = program->directory,
        .transports = program->settings.listen,
        .features = features,
        .dispatch = program->dispatch,
        .sessions = program->sessions,
        .stats = program->stats,
        .stats_count = 2,
        .host_time =
            program->settings.role == ROLE_GUEST && program->settings.config->clock_from_host
                ? on_host_time
                : NULL,
    };
    if (system_new(&facts, &program->system, err) < 0 ||
        logs_new(program->loop, &program->logs, err) < 0)
        return -1;
    const struct methods services = {
        .system = program->system,
        .process = &program->process_service,
        .logs = program->logs,
        .guest = &program->guest,
        .service = &program->service_control,
    };
    return methods_add_all(program->dispatch, &services, err);
}

static int take_over(struct program *program, struct store_items *items, struct nsp_error *err)
{
    const struct processes_config config = {
        .loop = program->loop,
        .store = &program->store,
        .claims_fd = STOREWIRE_FD_CLAIMS,
        .exits_fd = STOREWIRE_FD_EXITS,
        .cgroup_fd = program->cgroup_fd,
        .ring_budget = program->settings.ring_budget,
        .fatal = on_fatal,
        .arg = program,
    };
    if (store_items_load(&program->store, items, err) < 0)
        return -1;
    return processes_new(&config, items->list, items->count, &program->processes, err);
}

static int start(struct program *program, struct store_items *items, struct nsp_error *err)
{
    static const struct session_callbacks callbacks = {.request = dispatch_request};
    program->stop = (struct loop_deferred){.callback = on_stop, .arg = program};
    program->directory = surroundings_directory(program->settings.workspace);
    program->environment = surroundings_environment(program->settings.config->environment.items);
    if (hostinfo_boot_id(program->boot_id, err) < 0)
        return -1;
    if (!program->environment)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the environment");
    if (load_token(program, err) < 0 || loop_new(&program->loop, err) < 0 ||
        store_init(&program->store, program->loop, STOREWIRE_FD_SOCKET, STOREWIRE_FD_KICK, on_fatal,
                   program, err) < 0 ||
        take_over(program, items, err) < 0 || dispatch_new(&program->dispatch, err) < 0 ||
        session_server_new(program->loop, &callbacks, program->dispatch, &program->sessions, err) <
            0 ||
        make_supervision(program, items, err) < 0 || make_services(program, err) < 0 ||
        io_new(program->loop, STOREWIRE_FD_SOCKET, IO_READ, on_supervisor, program,
               &program->supervisor, err) < 0 ||
        io_new(program->loop, STOREWIRE_FD_WAKE, IO_READ, on_wake, program, &program->wake, err) <
            0)
        return -1;
    if (listen_everywhere(program, items, err) < 0)
        return -1;
    watch_workgroup(program);
    if (store_ready(&program->store, program->settings.variant, program->settings.grace_ms, err) <
        0)
        return -1;
    return begin_steps(program, err);
}

static void end(struct program *program)
{
    farewell_free(program->farewell);
    steps_free(program->steps);
    services_free(program->services);
    workgroup_free(program->workgroup);
    session_server_free(program->sessions);
    dispatch_free(program->dispatch);
    system_free(program->system);
    logs_free(program->logs);
    processes_free(program->processes);
    store_done(&program->store);
    io_free(program->supervisor);
    io_free(program->wake);
    loop_free(program->loop);
    free(program->environment);
    if (program->cgroup_fd >= 0)
        close(program->cgroup_fd);
    bootreport_close(program->report);
    settings_done(&program->settings);
}

static void become_agent(void)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (log_share(STOREWIRE_FD_LOG, LOG_AREA_AGENT, &err) < 0)
        log_error(LOG_WARN, "the log ends with this agent", &err);
    close(STOREWIRE_FD_LOG);
    signal(SIGPIPE, SIG_IGN);
    rlimit_raise_nofile();
    oomshield_open(OOMSHIELD_PROTECTED, OOMSHIELD_EXPOSED);
}

int program_check(const struct options *options, struct nsp_error *err)
{
    struct address address;
    for (unsigned i = 0; i < options->listen_count; i++)
        if (address_parse(options->listen[i], &address, err) < 0)
            return -1;
    return 0;
}

/* Without a report there is no word about the boot, but all else. */
static void open_report(struct program *program)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (bootreport_open(STOREWIRE_FD_BOOT, &program->report, &err) < 0) {
        log_error(LOG_WARN, "no boot report", &err);
        program->report = NULL;
    }
    close(STOREWIRE_FD_BOOT);
    bootreport_interrupt(program->report);
}

/* Without its file a guest goes on as if there were none, so that the host can read why. */
static void report_config(const struct program *program)
{
    const struct nsp_error *why = &program->settings.config_error;
    bool is_refused = why->code != NSP_E_NONE;
    if (program->settings.role != ROLE_GUEST || bootreport_find(program->report, "config"))
        return;
    bootreport_end(bootreport_begin(program->report, "config", true),
                   is_refused ? BOOTREPORT_FAILED : BOOTREPORT_DONE, NULL, why);
    if (is_refused)
        log_error(LOG_ERROR, "the configuration is left out", why);
}

int program_run(const struct options *options)
{
    struct program program = {
        .started_ns = clock_now_ns(),
        .cgroup_fd = -1,
        .status = STATUS_ENDED,
    };
    struct store_items items = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    become_agent();
    open_report(&program);
    int result = settings_load(options, &program.settings, &err);
    if (result == 0) {
        log_init("agent", program.settings.log_level);
        report_config(&program);
        if (program.settings.role == ROLE_GUEST)
            program.cgroup_fd = cgroup_open(CGROUP_WORK);
        result = start(&program, &items, &err);
    }
    store_items_done(&items);
    if (result < 0 && err.code == NSP_E_SHUTTING_DOWN) {
        log_info("shutting down", NULL);
    } else if (result < 0) {
        log_error(LOG_ERROR, "the agent cannot start", &err);
        bool is_refused = err.code == NSP_E_INVALID_PARAMS || err.code == NSP_E_PERMISSION;
        program.status = is_refused ? STATUS_WRONG_OPTIONS : STATUS_CANNOT_START;
    } else {
        log_info("ready", "generation=%llu pid=%d",
                 (unsigned long long)processes_generation(program.processes), (int)getpid());
        if (loop_run(program.loop, &err) < 0)
            on_fatal(&program, "the loop failed", &err);
    }
    /* A child before its execve may still use our memory; nothing is to be tidied up for a
     * successor. */
    if (program.status == STATUS_NEEDS_SUCCESSOR)
        _exit(program.status);
    end(&program);
    return program.status;
}
