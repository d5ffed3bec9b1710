#include "agent/services/guest.h"

#include <stddef.h>
#include <string.h>

#include "agent/machine/mount.h"

enum { GRACE_MAX_MS = 3600000, MOUNTS_MAX = 4096 };

/* guest.boot */

static const char *code_name(int32_t code)
{
    return code > NSP_E_NONE && code < NSP_E_COUNT ? nsp_error_name((enum nsp_error_code)code)
                                                   : NULL;
}

static void write_step(struct reply *reply, const struct bootreport_step *step)
{
    reply_open_object(reply, NULL);
    reply_text(reply, "name", step->name);
    reply_text(reply, "state", bootreport_state_name((enum bootreport_state)step->state));
    reply_text(reply, "by", step->by_agent ? "agent" : "supervisor");
    reply_u64(reply, "started_us", step->started_ns / 1000);
    if (step->ended_ns >= step->started_ns)
        reply_u64(reply, "took_us", (step->ended_ns - step->started_ns) / 1000);
    if (step->detail[0])
        reply_text(reply, "detail", step->detail);
    if (code_name(step->code))
        reply_text(reply, "error", code_name(step->code));
    if (step->sys_errno != 0)
        reply_text(reply, "errno", nsp_errno_name(step->sys_errno));
    reply_close(reply);
}

static void on_boot(void *arg, struct call *call, const void *params)
{
    const struct guest_service *service = arg;
    struct reply *reply = reply_new();
    unsigned failed = 0, running = 0;
    (void)params;
    reply_text(reply, "role", role_name(service->role));
    reply_open_array(reply, "steps");
    for (unsigned i = 0; i < bootreport_count(service->report); i++) {
        const struct bootreport_step step = *bootreport_at(service->report, i);
        failed += step.state == BOOTREPORT_FAILED || step.state == BOOTREPORT_INTERRUPTED;
        running += step.state == BOOTREPORT_RUNNING;
        write_step(reply, &step);
    }
    reply_close(reply);
    reply_int(reply, "failed", failed);
    reply_int(reply, "running", running);
    reply_int(reply, "lost", bootreport_lost(service->report));
    call_reply(call, reply);
}

/* guest.mounts */

struct listing {
    struct reply *reply;
    unsigned count;
    bool is_cut;
};

static bool write_mount(void *arg, const struct mount_info *info)
{
    struct listing *listing = arg;
    reply_open_object(listing->reply, NULL);
    reply_bytes(listing->reply, "target", info->target, strlen(info->target));
    reply_text(listing->reply, "type", info->type);
    reply_bytes(listing->reply, "source", info->source, strlen(info->source));
    reply_bool(listing->reply, "read_only", info->is_read_only);
    reply_close(listing->reply);
    listing->is_cut = ++listing->count == MOUNTS_MAX;
    return !listing->is_cut;
}

static void on_mounts(void *arg, struct call *call, const void *params)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct listing listing = {.reply = reply_new()};
    (void)arg;
    (void)params;
    reply_open_array(listing.reply, "mounts");
    if (mount_each(write_mount, &listing, &err) < 0) {
        reply_free(listing.reply);
        call_fail(call, &err);
        return;
    }
    reply_close(listing.reply);
    reply_bool(listing.reply, "cut", listing.is_cut);
    call_reply(call, listing.reply);
}

/* guest.shutdown */

struct shutdown_params {
    int action;
    int64_t grace_ms;
};

static const char *const actions[] = {
    [POWER_OFF] = "poweroff", [POWER_REBOOT] = "reboot", [POWER_HALT] = "halt", NULL};

static const struct param_field shutdown_fields[] = {
    {.name = "action",
     .type = PARAM_ENUM,
     .offset = offsetof(struct shutdown_params, action),
     .fallback = POWER_OFF,
     .choices = actions,
     .doc = "What comes after the end; only a guest can do other than poweroff."},
    {.name = "grace_ms",
     .type = PARAM_INT,
     .offset = offsetof(struct shutdown_params, grace_ms),
     .min = -1,
     .max = GRACE_MAX_MS,
     .fallback = -1,
     .doc = "Time between TERM and KILL for all processes; -1: as configured."},
};

static void on_shutdown(void *arg, struct call *call, const void *params)
{
    const struct guest_service *service = arg;
    const struct shutdown_params *wanted = params;
    struct nsp_error err = NSP_ERROR_INIT;
    if (wanted->action != POWER_OFF && service->role != ROLE_GUEST) {
        nsp_fail_on(&err, NSP_E_UNSUPPORTED, "action", "not PID 1 of a machine, but a %s",
                    role_name(service->role));
        call_fail(call, &err);
        return;
    }
    uint32_t grace_ms = wanted->grace_ms < 0 ? UINT32_MAX : (uint32_t)wanted->grace_ms;
    if (service->end(service->arg, (enum power_action)wanted->action, grace_ms, &err) < 0)
        call_fail(call, &err);
    else
        call_reply(call, reply_new());
}

static const struct method methods[] = {
    {.name = "guest.boot",
     .handler = on_boot,
     .doc = "How the machine came up: each step that was taken, and what failed.",
     .returns = "role, steps (name, state, by, started_us since boot, took_us, detail, error, "
                "errno), failed, running, lost (steps that were not noted)."},
    {.name = "guest.mounts",
     .handler = on_mounts,
     .doc = "What is mounted.",
     .returns = "mounts: target, type, source, read_only; cut: there are more than 4,096.",
     .errors = METHOD_ERROR(SYSTEM)},
    {.name = "guest.shutdown",
     .fields = shutdown_fields,
     .field_count = sizeof shutdown_fields / sizeof shutdown_fields[0],
     .params_size = sizeof(struct shutdown_params),
     .flags = METHOD_CHANGES,
     .handler = on_shutdown,
     .doc = "Ends everything in order: TERM, grace, KILL, the last events, disks, the machine.",
     .returns = "Nothing; the connection ends with SHUTTING_DOWN when all else has ended.",
     .errors = METHOD_ERROR(UNSUPPORTED) | METHOD_ERROR(SYSTEM)},
};

const struct method *guest_methods(size_t *ret_count)
{
    *ret_count = sizeof methods / sizeof methods[0];
    return methods;
}
