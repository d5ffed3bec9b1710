#include "agent/services/service.h"

#include "agent/os/signame.h"
#include "protocol/limits.h"

struct name_params {
    const char *name;
};

struct stop_params {
    const char *name;
    int64_t grace_ms;
};

static void write_exit(struct reply *reply, const struct service_status *status)
{
    char name[SIGNAME_SIZE];
    if (!status->has_exit) {
        reply_null(reply, "exit");
        return;
    }
    reply_open_object(reply, "exit");
    if (status->was_signalled) {
        reply_int(reply, "signal", status->code);
        reply_text(reply, "signal_name", signame_name(status->code, name));
    } else {
        reply_int(reply, "code", status->code);
    }
    reply_u64(reply, "wall_ms", status->life_ms);
    reply_int(reply, "exited_at_ms", status->exited_unix_ms);
    reply_close(reply);
}

static void write_status(struct reply *reply, const struct service_status *status)
{
    reply_text(reply, "name", status->name);
    reply_text(reply, "process", status->process_id);
    reply_text(reply, "state", service_state_name(status->state));
    if (status->pid > 0)
        reply_int(reply, "pid", status->pid);
    else
        reply_null(reply, "pid");
    reply_u64(reply, "starts", status->starts);
    reply_u64(reply, "restarts", status->restarts);
    reply_u64(reply, "restart_in_ms", status->restart_in_ms);
    write_exit(reply, status);
    reply_text(reply, "failure", status->failure);
}

static void on_list(void *arg, struct call *call, const void *decoded)
{
    const struct service_control *control = arg;
    struct service_status status;
    struct reply *reply = reply_new();
    (void)decoded;
    reply_open_array(reply, "services");
    for (unsigned i = 0; control->at(control->arg, i, &status); i++) {
        reply_open_object(reply, NULL);
        write_status(reply, &status);
        reply_close(reply);
    }
    reply_close(reply);
    call_reply(call, reply);
}

/* What was asked for has been done, or not. */
static void answer(const struct service_control *control, struct call *call, const char *name,
                   int result, struct nsp_error *err)
{
    struct service_status status;
    if (result < 0 || control->find(control->arg, name, &status, err) < 0) {
        call_fail(call, err);
        return;
    }
    struct reply *reply = reply_new();
    write_status(reply, &status);
    call_reply(call, reply);
}

static void on_start(void *arg, struct call *call, const void *decoded)
{
    const struct service_control *control = arg;
    const char *name = ((const struct name_params *)decoded)->name;
    struct nsp_error err = NSP_ERROR_INIT;
    answer(control, call, name, control->start(control->arg, name, &err), &err);
}

static void on_stop(void *arg, struct call *call, const void *decoded)
{
    const struct service_control *control = arg;
    const struct stop_params *params = decoded;
    struct nsp_error err = NSP_ERROR_INIT;
    int result = control->stop(control->arg, params->name, (uint64_t)params->grace_ms, &err);
    answer(control, call, params->name, result, &err);
}

static void on_restart(void *arg, struct call *call, const void *decoded)
{
    const struct service_control *control = arg;
    const struct stop_params *params = decoded;
    struct nsp_error err = NSP_ERROR_INIT;
    int result = control->restart(control->arg, params->name, (uint64_t)params->grace_ms, &err);
    answer(control, call, params->name, result, &err);
}

#define NAME_FIELD(struct_)                                                                        \
    {                                                                                              \
        .name = "name", .type = PARAM_STRING, .offset = offsetof(struct struct_, name),            \
        .flags = PARAM_REQUIRED, .min = 1, .max = NSP_LIMIT_ID, .doc = "The service.",             \
    }

static const struct param_field name_fields[] = {NAME_FIELD(name_params)};

static const struct param_field stop_fields[] = {
    NAME_FIELD(stop_params),
    {.name = "grace_ms",
     .type = PARAM_INT,
     .offset = offsetof(struct stop_params, grace_ms),
     .max = INT32_MAX,
     .fallback = NSP_LIMIT_GRACE_DEFAULT,
     .doc = "Time between TERM and KILL."},
};

#define FIELDS(name_)                                                                              \
    .fields = name_##_fields, .field_count = sizeof name_##_fields / sizeof *name_##_fields,       \
    .params_size = sizeof(struct name_##_params)
#define STATUS                                                                                     \
    "name, process (its id), state, pid, starts, restarts, restart_in_ms, exit (code or signal, "  \
    "wall_ms, exited_at_ms; of its last life), failure (why it could not be started)."

static const struct method methods[] = {
    {.name = "service.list",
     .handler = on_list,
     .doc = "The services of the configuration, in its order.",
     .returns = "services: of each " STATUS},
    {.name = "service.start",
     FIELDS(name),
     .flags = METHOD_CHANGES,
     .handler = on_start,
     .doc = "Starts a service that does not run, and begins its count of restarts anew.",
     .returns = STATUS,
     .errors = METHOD_ERROR(NOT_FOUND)},
    {.name = "service.stop",
     FIELDS(stop),
     .flags = METHOD_CHANGES,
     .handler = on_stop,
     .doc = "Ends all processes of a service, which is then not started again by itself; does not "
            "wait for their end.",
     .returns = STATUS,
     .errors = METHOD_ERROR(NOT_FOUND) | METHOD_ERROR(PERMISSION) | METHOD_ERROR(SYSTEM)},
    {.name = "service.restart",
     FIELDS(stop),
     .flags = METHOD_CHANGES,
     .handler = on_restart,
     .doc = "Ends all processes of a service and starts it once they have ended; does not wait for "
            "that.",
     .returns = STATUS,
     .errors = METHOD_ERROR(NOT_FOUND) | METHOD_ERROR(PERMISSION) | METHOD_ERROR(SYSTEM)},
};

const struct method *service_methods(size_t *ret_count)
{
    *ret_count = sizeof methods / sizeof *methods;
    return methods;
}
