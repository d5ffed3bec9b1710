#include "agent/services/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/os/environment.h"
#include "agent/os/rlimit.h"
#include "agent/process/launch.h"
#include "agent/process/signals.h"
#include "agent/services/process_attach.h"
#include "agent/services/process_record.h"
#include "agent/services/process_stdin.h"
#include "agent/services/process_wait.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

struct start_params {
    struct param_strings argv;
    struct param_strings env;
    const char *command, *cwd, *id, *key;
    bool clear_env, merge, attach;
    int stdin_kind, policy;
    int64_t ring_bytes, timeout_ms, grace_ms, drain_ms, umask;
    struct param_limits rlimits;
    struct process_attach_params attachment;
};

struct attach_params {
    const char *id;
    struct process_attach_params attachment;
};

struct id_params {
    const char *id;
};

struct stdin_params {
    const char *id;
    struct param_bytes data;
    int64_t offset;
    bool close;
};

struct signal_params {
    const char *id;
    int signal, scope;
    int64_t grace_ms;
};

struct list_params {
    int64_t after;
};

/* Records of one answer: as many as fit into JSON_MESSAGE at their longest. */
enum { LIST_PAGE = 128 };

static const char *const stdin_choices[] = {"null", "pipe", NULL};
static const char *const policy_choices[] = {"auto", "block", "drop", NULL};
static const char *const scope_choices[] = {"leader", "group", "tree", NULL};

static struct process *find(const struct process_service *service, struct call *call,
                            const char *id)
{
    struct process *process = processes_find(service->set, id);
    if (!process) {
        struct nsp_error err = NSP_ERROR_INIT;
        nsp_fail_on(&err, NSP_E_NOT_FOUND, id, "no process of this id is kept");
        call_fail(call, &err);
    }
    return process;
}

/* cwd relative to the default one; *ret_owned is to be freed. NULL: keep the agent's. */
static int resolve_cwd(const struct process_service *service, const char *cwd, char **ret_owned,
                       const char **ret_cwd, struct nsp_error *err)
{
    *ret_owned = NULL;
    *ret_cwd = cwd ? cwd : service->default_cwd;
    if (!cwd || cwd[0] == '/')
        return 0;
    if (strlen(service->default_cwd) + 1 + strlen(cwd) > NSP_LIMIT_PATH)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "cwd", "the path is longer than %d bytes",
                           NSP_LIMIT_PATH);
    char *joined;
    if (asprintf(&joined, "%s/%s", service->default_cwd, cwd) < 0)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the working directory");
    *ret_owned = joined;
    *ret_cwd = joined;
    return 0;
}

static int convert_limits(const struct param_limits *limits, struct spawn_rlimit *target,
                          struct nsp_error *err)
{
    for (size_t i = 0; i < limits->count; i++) {
        const struct param_limit *limit = &limits->items[i];
        int resource = rlimit_by_name(limit->name);
        if (resource < 0)
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "rlimits",
                               "no resource limit is named %s", limit->name);
        if (limit->soft > limit->hard)
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "rlimits",
                               "the soft limit of %s is above the hard one", limit->name);
        target[i] = (struct spawn_rlimit){resource, {limit->soft, limit->hard}};
    }
    return 0;
}

static int check_program(const struct start_params *params, struct nsp_error *err)
{
    if (params->argv.count > 0 && params->command)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "command",
                           "argv and command exclude each other");
    if (params->argv.count == 0 && !params->command)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "argv", "argv or command is needed");
    return 0;
}

static int launch(const struct process_service *service, const struct start_params *params,
                  struct process **ret_process, bool *ret_repeated, struct nsp_error *err)
{
    static char *const nothing[] = {NULL};
    char *shell[] = {"/bin/sh", "-c", (char *)params->command, NULL};
    AUTO_FREE char *cwd = NULL;
    AUTO_FREE struct spawn_rlimit *limits =
        calloc(params->rlimits.count + 1, sizeof(struct spawn_rlimit));
    AUTO_FREE char **environment = environment_merge(
        params->clear_env ? nothing : service->default_environment, params->env.items);
    if (!limits || !environment)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory to start a process");
    struct launch_options options = {
        .id = params->id,
        .key = params->key,
        .argv = params->command ? shell : params->argv.items,
        .argc = params->command ? 3 : params->argv.count,
        .environment = environment,
        .input = params->stdin_kind == 1,
        .merge = params->merge,
        .policy = (enum table_policy)params->policy,
        .ring_bytes = (uint64_t)params->ring_bytes,
        .timeout_ms = (uint64_t)params->timeout_ms,
        .grace_ms = (uint32_t)params->grace_ms,
        .drain_ms = params->drain_ms,
        .has_umask = params->umask >= 0,
        .umask = (mode_t)params->umask,
        .rlimits = limits,
        .rlimit_count = params->rlimits.count,
    };
    if (check_program(params, err) < 0 || convert_limits(&params->rlimits, limits, err) < 0 ||
        resolve_cwd(service, params->cwd, &cwd, &options.cwd, err) < 0)
        return -1;
    return launch_start(service->set, &options, ret_process, ret_repeated, err);
}

static void on_start(void *arg, struct call *call, const void *decoded)
{
    const struct process_service *service = arg;
    const struct start_params *params = decoded;
    struct nsp_error err = NSP_ERROR_INIT;
    struct process *process;
    bool repeated;
    if (launch(service, params, &process, &repeated, &err) < 0) {
        call_fail(call, &err);
        return;
    }
    if (!params->attach) {
        process_wait_begin(call, process, PROCESS_WAIT_STARTED);
        return;
    }
    struct process_attach_params attachment = params->attachment;
    attachment.stdin_writer = params->stdin_kind == 1;
    process_attach_begin(service, call, process, &attachment);
}

static void on_attach(void *arg, struct call *call, const void *decoded)
{
    const struct process_service *service = arg;
    const struct attach_params *params = decoded;
    struct process *process = find(service, call, params->id);
    if (process)
        process_attach_begin(service, call, process, &params->attachment);
}

static void on_wait(void *arg, struct call *call, const void *decoded)
{
    struct process *process = find(arg, call, ((const struct id_params *)decoded)->id);
    if (process)
        process_wait_begin(call, process, PROCESS_WAIT_EXITED);
}

static void on_get(void *arg, struct call *call, const void *decoded)
{
    const struct process *process = find(arg, call, ((const struct id_params *)decoded)->id);
    if (!process)
        return;
    struct reply *reply = reply_new();
    process_record_write(reply, process);
    call_reply(call, reply);
}

static int by_start(const void *left, const void *right)
{
    uint64_t a = (*(struct process *const *)left)->record->started_ns;
    uint64_t b = (*(struct process *const *)right)->record->started_ns;
    return a < b ? -1 : a > b;
}

/* All processes in the order of their start; NULL without memory. */
static struct process **sorted(const struct process_service *service, unsigned *ret_count)
{
    struct process **all = calloc(TABLE_SLOTS + 1, sizeof *all);
    unsigned cursor = 0, count = 0;
    while (all && (all[count] = processes_next(service->set, &cursor)))
        count++;
    if (all)
        qsort(all, count, sizeof *all, by_start);
    *ret_count = count;
    return all;
}

static void on_list(void *arg, struct call *call, const void *decoded)
{
    const struct list_params *params = decoded;
    unsigned count;
    AUTO_FREE struct process **all = sorted(arg, &count);
    if (!all) {
        call_reply(call, NULL);
        return;
    }
    unsigned first = 0;
    while (first < count && all[first]->record->started_ns <= (uint64_t)params->after)
        first++;
    unsigned end = count - first > LIST_PAGE ? first + LIST_PAGE : count;
    struct reply *reply = reply_new();
    reply_open_array(reply, "processes");
    for (unsigned i = first; i < end; i++) {
        reply_open_object(reply, NULL);
        process_record_write(reply, all[i]);
        reply_close(reply);
    }
    reply_close(reply);
    if (end < count)
        reply_u64(reply, "next", all[end - 1]->record->started_ns);
    else
        reply_null(reply, "next");
    call_reply(call, reply);
}

static void on_stdin(void *arg, struct call *call, const void *decoded)
{
    const struct stdin_params *params = decoded;
    struct process *process = find(arg, call, params->id);
    if (process)
        process_stdin_begin(call, process, params->data.data, params->data.length, params->offset,
                            params->close);
}

static void on_close_stdin(void *arg, struct call *call, const void *decoded)
{
    struct process *process = find(arg, call, ((const struct id_params *)decoded)->id);
    if (process)
        process_stdin_begin(call, process, "", 0, -1, true);
}

static void on_signal(void *arg, struct call *call, const void *decoded)
{
    const struct signal_params *params = decoded;
    struct process *process = find(arg, call, params->id);
    if (!process)
        return;
    unsigned sent;
    struct nsp_error err = NSP_ERROR_INIT;
    if (signals_send(process, params->signal, (enum signals_scope)params->scope, &sent, &err) < 0) {
        call_fail(call, &err);
        return;
    }
    struct reply *reply = reply_new();
    reply_u64(reply, "sent", sent);
    call_reply(call, reply);
}

static void on_kill(void *arg, struct call *call, const void *decoded)
{
    const struct signal_params *params = decoded;
    struct process *process = find(arg, call, params->id);
    if (!process)
        return;
    struct nsp_error err = NSP_ERROR_INIT;
    if (signals_kill(process, params->signal, (enum signals_scope)params->scope,
                     (uint64_t)params->grace_ms, &err) < 0)
        call_fail(call, &err);
    else
        process_wait_begin(call, process, PROCESS_WAIT_EXITED);
}

static void on_forget(void *arg, struct call *call, const void *decoded)
{
    struct process *process = find(arg, call, ((const struct id_params *)decoded)->id);
    if (!process)
        return;
    struct nsp_error err = NSP_ERROR_INIT;
    if (process_forget(process, &err) < 0)
        call_fail(call, &err);
    else
        call_reply(call, reply_new());
}

void process_stats(void *service, struct reply *reply)
{
    struct processes_stats stats;
    processes_stats(((const struct process_service *)service)->set, &stats);
    reply_u64(reply, "processes_running", stats.running);
    reply_u64(reply, "processes_exited", stats.exited);
    reply_u64(reply, "processes_started", stats.started);
    reply_u64(reply, "processes_failed", stats.failed);
    reply_u64(reply, "ring_bytes", stats.ring_bytes);
    reply_u64(reply, "ring_budget", stats.ring_budget);
    reply_u64(reply, "bytes_dropped", stats.dropped);
}

#define FIELD(struct_, member_, type_, ...)                                                        \
    {                                                                                              \
        .name = #member_, .type = type_, .offset = offsetof(struct struct_, member_), __VA_ARGS__  \
    }
#define ID_FIELD(struct_)                                                                          \
    FIELD(struct_, id, PARAM_STRING, .flags = PARAM_REQUIRED, .min = 1, .max = NSP_LIMIT_ID,       \
          .doc = "The process.")

static const struct param_field start_fields[] = {
    FIELD(start_params, argv, PARAM_ARGUMENTS, .min = 1, .doc = "Program and arguments."),
    FIELD(start_params, command, PARAM_PATH, .max = NSP_LIMIT_ARGUMENT_BYTES, .min = 1,
          .doc = "Instead of argv: a command for /bin/sh -c."),
    FIELD(start_params, cwd, PARAM_PATH, .min = 1, .doc = "Working directory; must exist."),
    FIELD(start_params, env, PARAM_VARIABLES, .doc = "Variables added to the default environment."),
    FIELD(start_params, clear_env, PARAM_BOOL, .doc = "Start from an empty environment."),
    FIELD(start_params, id, PARAM_STRING, .min = 1, .max = NSP_LIMIT_ID, .doc = "The id to have."),
    FIELD(start_params, key, PARAM_STRING, .min = 1, .max = NSP_LIMIT_ID,
          .doc = "Idempotency key: a repeated start attaches to the first."),
    {.name = "stdin",
     .type = PARAM_ENUM,
     .offset = offsetof(struct start_params, stdin_kind),
     .choices = stdin_choices,
     .doc = "Standard input: nothing, or a pipe."},
    FIELD(start_params, merge, PARAM_BOOL, .doc = "Standard error goes into standard output."),
    FIELD(start_params, policy, PARAM_ENUM, .choices = policy_choices,
          .doc = "What happens when an output ring is full."),
    FIELD(start_params, ring_bytes, PARAM_INT, .min = NSP_LIMIT_RING_MIN, .max = NSP_LIMIT_RING_MAX,
          .fallback = NSP_LIMIT_RING_DEFAULT, .doc = "Size of each output ring."),
    FIELD(start_params, timeout_ms, PARAM_INT, .min = 1, .max = INT32_MAX,
          .doc = "After this time the group gets TERM, then KILL."),
    FIELD(start_params, grace_ms, PARAM_INT, .max = INT32_MAX, .fallback = NSP_LIMIT_GRACE_DEFAULT,
          .doc = "Time between TERM and KILL."),
    FIELD(start_params, drain_ms, PARAM_INT, .max = INT32_MAX, .fallback = -1,
          .doc = "This long after the exit the outputs are given up."),
    FIELD(start_params, umask, PARAM_INT, .max = 0777, .fallback = -1, .doc = "File mode mask."),
    FIELD(start_params, rlimits, PARAM_LIMITS, .doc = "Resource limits by name."),
    FIELD(start_params, attach, PARAM_BOOL, .doc = "Go on as process.attach on this stream."),
    PROCESS_ATTACH_FIELDS(struct start_params, attachment),
};

static const struct param_field attach_fields[] = {
    ID_FIELD(attach_params),
    PROCESS_ATTACH_FIELDS(struct attach_params, attachment),
    PROCESS_ATTACH_INPUT_FIELD(struct attach_params, attachment),
};

static const struct param_field id_fields[] = {ID_FIELD(id_params)};

static const struct param_field list_fields[] = {
    FIELD(list_params, after, PARAM_INT, .max = INT64_MAX,
          .doc = "The `next` of the answer before; 0 or absent for the first."),
};

static const struct param_field stdin_fields[] = {
    ID_FIELD(stdin_params),
    FIELD(stdin_params, data, PARAM_BYTES, .flags = PARAM_REQUIRED, .max = NSP_LIMIT_JSON_MESSAGE,
          .doc = "The bytes."),
    FIELD(stdin_params, offset, PARAM_INT, .max = INT64_MAX, .fallback = -1,
          .doc = "Offset of the first byte; what was delivered before is left out."),
    FIELD(stdin_params, close, PARAM_BOOL, .doc = "Close standard input after the bytes."),
};

static const struct param_field signal_fields[] = {
    ID_FIELD(signal_params),
    FIELD(signal_params, signal, PARAM_SIGNAL, .flags = PARAM_REQUIRED, .doc = "Number or name."),
    FIELD(signal_params, scope, PARAM_ENUM, .choices = scope_choices, .fallback = SIGNALS_GROUP,
          .doc = "Who gets it."),
};

static const struct param_field kill_fields[] = {
    ID_FIELD(signal_params),
    FIELD(signal_params, signal, PARAM_SIGNAL, .fallback = SIGTERM, .doc = "The first signal."),
    FIELD(signal_params, scope, PARAM_ENUM, .choices = scope_choices, .fallback = SIGNALS_GROUP,
          .doc = "Who gets it."),
    FIELD(signal_params, grace_ms, PARAM_INT, .max = INT32_MAX, .fallback = NSP_LIMIT_GRACE_DEFAULT,
          .doc = "Time until KILL."),
};

#define FIELDS(array, struct_)                                                                     \
    .fields = array, .field_count = sizeof array / sizeof *array, .params_size = sizeof(struct_)

static const struct method methods[] = {
    {"process.start", FIELDS(start_fields, struct start_params),
     .flags = METHOD_CHANGES | METHOD_STREAMS, .handler = on_start, .doc = "Starts a program.",
     .returns = "id and pid once it runs; with attach as process.attach."},
    {"process.attach", FIELDS(attach_fields, struct attach_params), .flags = METHOD_STREAMS,
     .handler = on_attach, .doc = "Follows a process's outputs and events, and feeds its input.",
     .returns = "Exit and offsets when the stream ends."},
    {"process.wait", FIELDS(id_fields, struct id_params), .handler = on_wait,
     .doc = "Waits for the exit; may be repeated.", .returns = "The exit."},
    {"process.get", FIELDS(id_fields, struct id_params), .handler = on_get,
     .doc = "The record of a process.", .returns = "The record."},
    {"process.list", FIELDS(list_fields, struct list_params), .handler = on_list,
     .doc = "Records in the order of their start, some at a time.",
     .returns = "An array of records, and where to go on."},
    {"process.stdin", FIELDS(stdin_fields, struct stdin_params), .flags = METHOD_CHANGES,
     .handler = on_stdin, .doc = "Writes to standard input.",
     .returns = "The delivered offset, once all is in the pipe."},
    {"process.close_stdin", FIELDS(id_fields, struct id_params), .flags = METHOD_CHANGES,
     .handler = on_close_stdin, .doc = "Closes standard input.",
     .returns = "The delivered offset."},
    {"process.signal", FIELDS(signal_fields, struct signal_params), .flags = METHOD_CHANGES,
     .handler = on_signal, .doc = "Sends a signal.", .returns = "How many it reached."},
    {"process.kill", FIELDS(kill_fields, struct signal_params), .flags = METHOD_CHANGES,
     .handler = on_kill, .doc = "Ends a process: signal, grace, KILL.", .returns = "The exit."},
    {"process.forget", FIELDS(id_fields, struct id_params), .flags = METHOD_CHANGES,
     .handler = on_forget, .doc = "Drops an exited process's record and output.",
     .returns = "Nothing."},
};
const struct method *process_methods(size_t *ret_count)
{
    *ret_count = sizeof methods / sizeof methods[0];
    return methods;
}
