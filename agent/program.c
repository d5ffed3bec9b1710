#include "agent/program.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/methods.h"
#include "agent/os/hostinfo.h"
#include "agent/os/oomshield.h"
#include "agent/os/rlimit.h"
#include "agent/session/session.h"
#include "agent/transport/listener.h"
#include "config.h"
#include "protocol/cleanup.h"

extern char **environ;

static const char *const features[] = {"process",  "text-mode", "credit",
                                       "reattach", "recovery",  NULL};

enum exit_status {
    STATUS_ENDED = 0,
    STATUS_CANNOT_START = 1,
    STATUS_WRONG_OPTIONS = 2,
    STATUS_NEEDS_SUCCESSOR = 3,
};

struct items {
    struct store_item *list;
    unsigned count, capacity;
    bool failed;
};

struct program {
    const struct options *options;
    uint64_t started_ns;
    struct loop *loop;
    struct store store;
    struct io *supervisor, *wake;
    struct processes *processes;
    struct dispatch *dispatch;
    struct system_service *system;
    struct process_service process_service;
    struct system_stats stats[1];
    struct session_server *sessions;
    struct token token;
    char boot_id[HOSTINFO_BOOT_ID_SIZE];
    char **environment;
    const char *directory;
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

static void take_item(void *arg, const struct store_item *item)
{
    struct items *items = arg;
    if (items->count == items->capacity) {
        unsigned capacity = items->capacity ? 2 * items->capacity : 64;
        struct store_item *list = reallocarray(items->list, capacity, sizeof *list);
        if (!list) {
            items->failed = true;
            close(item->fd);
            return;
        }
        items->list = list;
        items->capacity = capacity;
    }
    items->list[items->count++] = *item;
}

static int listener_item(const struct items *items, unsigned number)
{
    for (unsigned i = 0; i < items->count; i++)
        if (items->list[i].key.kind == STOREWIRE_LISTENER && items->list[i].key.slot == number)
            return items->list[i].fd;
    return -1;
}

static void on_wake(void *arg, unsigned ready)
{
    (void)ready;
    struct program *program = arg;
    uint64_t count;
    if (read(STOREWIRE_FD_WAKE, &count, sizeof count) > 0)
        processes_on_wake(program->processes);
}

static void on_stop(void *arg)
{
    loop_stop(((struct program *)arg)->loop);
}

static void on_supervisor(void *arg, unsigned ready)
{
    (void)ready;
    struct program *program = arg;
    struct storewire_message message;
    int fds[STOREWIRE_BATCH];
    struct nsp_error err = NSP_ERROR_INIT;
    int got = storewire_receive(STOREWIRE_FD_SOCKET, &message, fds, &err);
    if (got > 0 && message.op != STOREWIRE_SHUTDOWN)
        return;
    if (got <= 0)
        log_warn("the supervisor is gone", NULL);
    else
        log_info("shutting down", NULL);
    dispatch_set_gate(program->dispatch, DISPATCH_SHUTTING_DOWN);
    session_server_stop_accepting(program->sessions);
    loop_defer(program->loop, &program->stop);
}

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static const char *default_directory(const struct options *options)
{
    const char *home = getenv("HOME");
    if (is_directory(options->workspace))
        return options->workspace;
    return home && home[0] == '/' && is_directory(home) ? home : "/";
}

/* Ours, with what every program expects. */
static char **default_environment(void)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static char home[] = "HOME=/";
    size_t count = 0;
    while (environ[count])
        count++;
    char **environment = calloc(count + 3, sizeof *environment);
    if (!environment)
        return NULL;
    memcpy(environment, environ, count * sizeof *environment);
    if (!getenv("PATH"))
        environment[count++] = path;
    if (!getenv("HOME"))
        environment[count++] = home;
    return environment;
}

static int load_token(struct program *program, struct nsp_error *err)
{
    const char *path = program->options->token_file;
    if (!path)
        return 0;
    if (access(path, F_OK) == 0)
        return token_read(path, &program->token, err);
    return token_create(path, &program->token, err);
}

static int listen_on(struct program *program, const struct items *items, unsigned number,
                     struct nsp_error *err)
{
    const struct options *options = program->options;
    const struct listener_options listener_options = {
        .insecure_bind = options->insecure_bind,
        .any_cid = options->any_cid,
        .token = program->token.length > 0 ? &program->token : NULL,
    };
    struct address address;
    struct listener *listener;
    if (address_parse(options->listen[number], &address, err) < 0 ||
        listener_open(&address, &listener_options, listener_item(items, number), &listener, err) <
            0)
        return -1;
    const struct store_item item = {{STOREWIRE_LISTENER, number}, listener_fd(listener)};
    if (store_put(&program->store, &item, 1, err) < 0) {
        listener_free(listener);
        return -1;
    }
    return session_server_add(program->sessions, listener, err);
}

static int make_services(struct program *program, struct nsp_error *err)
{
    program->process_service = (struct process_service){
        .loop = program->loop,
        .set = program->processes,
        .default_cwd = program->directory,
        .default_environment = program->environment,
    };
    program->stats[0] = (struct system_stats){process_stats, &program->process_service};
    const struct system_facts facts = {
        .version = PACKAGE_VERSION,
        .boot_id = program->boot_id,
        .generation = processes_generation(program->processes),
        .mode = getppid() == 1 ? "pid1" : "subreaper",
        .supervisor = getppid(),
        .started_ns = program->started_ns,
        .directory = program->directory,
        .transports = program->options->listen,
        .features = features,
        .dispatch = program->dispatch,
        .sessions = program->sessions,
        .stats = program->stats,
        .stats_count = 1,
    };
    if (system_new(&facts, &program->system, err) < 0)
        return -1;
    return methods_add_all(program->dispatch, program->system, &program->process_service, err);
}

static int take_over(struct program *program, struct items *items, struct nsp_error *err)
{
    const struct processes_config config = {
        .loop = program->loop,
        .store = &program->store,
        .claims_fd = STOREWIRE_FD_CLAIMS,
        .exits_fd = STOREWIRE_FD_EXITS,
        .ring_budget = program->options->ring_budget,
        .fatal = on_fatal,
        .arg = program,
    };
    if (store_load(&program->store, take_item, items, err) < 0)
        return -1;
    if (items->failed)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for what the store holds");
    return processes_new(&config, items->list, items->count, &program->processes, err);
}

static int start(struct program *program, struct items *items, struct nsp_error *err)
{
    static const struct session_callbacks callbacks = {.request = dispatch_request};
    program->stop = (struct loop_deferred){.callback = on_stop, .arg = program};
    program->directory = default_directory(program->options);
    program->environment = default_environment();
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
        make_services(program, err) < 0 ||
        io_new(program->loop, STOREWIRE_FD_SOCKET, IO_READ, on_supervisor, program,
               &program->supervisor, err) < 0 ||
        io_new(program->loop, STOREWIRE_FD_WAKE, IO_READ, on_wake, program, &program->wake, err) <
            0)
        return -1;
    for (unsigned i = 0; i < program->options->listen_count; i++)
        if (listen_on(program, items, i, err) < 0)
            return -1;
    return store_ready(&program->store, err);
}

static void end(struct program *program)
{
    session_server_free(program->sessions);
    dispatch_free(program->dispatch);
    system_free(program->system);
    processes_free(program->processes);
    store_done(&program->store);
    io_free(program->supervisor);
    io_free(program->wake);
    loop_free(program->loop);
    free(program->environment);
}

static void become_agent(void)
{
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

int program_run(const struct options *options)
{
    struct program program = {
        .options = options,
        .started_ns = clock_now_ns(),
        .status = STATUS_ENDED,
    };
    AUTO_FREE struct store_item *list = NULL;
    struct items items = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    become_agent();
    int result = start(&program, &items, &err);
    list = items.list;
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
