#include "agent/boot/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/boot/announce.h"
#include "agent/boot/identity.h"
#include "agent/boot/mounts.h"
#include "agent/boot/nodes.h"
#include "agent/boot/sysctls.h"
#include "agent/machine/module.h"
#include "agent/process/errand.h"

enum { VOLUMES_MS = 60000 };

/* What a step has to say beyond its outcome. */
struct outcome {
    char detail[BOOTREPORT_DETAIL];
    struct nsp_error err;
};

enum step_when {
    STEP_GUEST = 1,       /* only where the guest is ours */
    STEP_EVERY_AGENT = 2, /* also when the report has it */
};

/* A step that a process of its own does. */
struct task {
    struct steps *steps;
    const char *name;
    struct errand *errand; /* kept when it has ended, until all is freed */
    struct bootreport_step *note;
    bool is_running;
};

struct steps {
    struct steps_config config;
    struct loop_deferred next;
    unsigned at; /* of the table */
    struct announce *announce;
    struct bootreport_step *announcing;
    struct task grow, volumes;
    const struct task *awaited; /* the steps after it wait; NULL: none do */
};

static void log_failure(const char *name, const struct nsp_error *err)
{
    char detail[256];
    log_warn("boot step failed", "name=%s error=%s detail=%s", name, nsp_error_name(err->code),
             log_quote(detail, sizeof detail, err->msg, strlen(err->msg)));
}

static enum bootreport_state verdict(int result)
{
    return result < 0 ? BOOTREPORT_FAILED : BOOTREPORT_DONE;
}

static enum bootreport_state step_mounts(struct steps *steps, struct outcome *outcome)
{
    const struct mounts_request request = {.root = "", .tmp = steps->config.config->mount_tmp};
    return verdict(mounts_apply(&request, outcome->detail, sizeof outcome->detail, &outcome->err));
}

static enum bootreport_state step_modules(struct steps *steps, struct outcome *outcome)
{
    const struct param_strings *modules = &steps->config.config->modules;
    enum bootreport_state state = modules->count > 0 ? BOOTREPORT_DONE : BOOTREPORT_SKIPPED;
    size_t used = 0;
    for (size_t i = 0; i < modules->count; i++) {
        struct nsp_error problem = NSP_ERROR_INIT;
        if (module_load(modules->items[i], &problem) == 0)
            continue;
        if (state == BOOTREPORT_DONE)
            outcome->err = problem;
        state = BOOTREPORT_FAILED;
        if (used < sizeof outcome->detail)
            used += (size_t)snprintf(outcome->detail + used, sizeof outcome->detail - used, "%s%s",
                                     used ? " " : "not loaded: ", modules->items[i]);
    }
    return state;
}

static enum bootreport_state step_nodes(struct steps *steps, struct outcome *outcome)
{
    static const struct nodes_request request = {
        .dev = "/dev", .class = "/sys/class/misc", .load = module_load};
    (void)steps;
    return verdict(nodes_apply(&request, outcome->detail, sizeof outcome->detail, &outcome->err));
}

static enum bootreport_state step_sysctls(struct steps *steps, struct outcome *outcome)
{
    const struct param_strings *settings = &steps->config.config->sysctl;
    if (settings->count == 0)
        return BOOTREPORT_SKIPPED;
    return verdict(sysctls_apply("/proc/sys", settings->items, settings->count, &outcome->err));
}

static enum bootreport_state step_identity(struct steps *steps, struct outcome *outcome)
{
    const struct config *config = steps->config.config;
    const struct identity_request request = {
        .etc = "/etc",
        .fallback = "/run/nullspace",
        .hostname = config->hostname,
        .domain = config->domain,
        .hosts = config->hosts.items,
    };
    return verdict(identity_apply(&request, &outcome->err));
}

static enum bootreport_state step_network(struct steps *steps, struct outcome *outcome)
{
    const struct steps_config *config = &steps->config;
    if (!config->network)
        return BOOTREPORT_SKIPPED;
    return verdict(config->network(config->config->network, &outcome->err));
}

/* Tasks */

static void on_task(void *arg, const struct nsp_error *failure, int status, const char *line)
{
    struct task *task = arg;
    struct steps *steps = task->steps;
    struct nsp_error err = failure ? *failure : NSP_ERROR_INIT;
    enum bootreport_state state = BOOTREPORT_FAILED;
    if (!failure && status == ERRAND_DONE)
        state = BOOTREPORT_DONE;
    else if (!failure && status == ERRAND_NOTHING)
        state = BOOTREPORT_SKIPPED;
    else if (!failure)
        nsp_fail_on(&err, NSP_E_SYSTEM, task->name, "exit status %d", status);
    bootreport_end(task->note, state, line, &err);
    if (state == BOOTREPORT_FAILED)
        log_failure(task->name, &err);
    task->is_running = false;
    if (steps->awaited == task) {
        steps->awaited = NULL;
        loop_defer(steps->config.loop, &steps->next);
    }
}

static enum bootreport_state start_task(struct steps *steps, struct task *task,
                                        const char *const *words, const char *id,
                                        uint64_t timeout_ms, struct outcome *outcome)
{
    const struct errand_config errand = {
        .set = steps->config.set,
        .id = id,
        .program = steps->config.program,
        .words = words,
        .environment = steps->config.environment,
        .timeout_ms = timeout_ms,
        .done = on_task,
        .arg = task,
    };
    if (errand_start(&errand, &task->errand, &outcome->err) < 0)
        return BOOTREPORT_FAILED;
    task->is_running = true;
    return BOOTREPORT_RUNNING;
}

/* Services may be on a volume: they wait, but not for ever. */
static enum bootreport_state step_volumes(struct steps *steps, struct outcome *outcome)
{
    const char *const words[] = {"mount-volumes", steps->config.config_path, NULL};
    if (steps->config.config->mounts.count == 0)
        return BOOTREPORT_SKIPPED;
    enum bootreport_state state =
        start_task(steps, &steps->volumes, words, "boot.volumes", VOLUMES_MS, outcome);
    if (state == BOOTREPORT_RUNNING)
        steps->awaited = &steps->volumes;
    return state;
}

static enum bootreport_state step_grow(struct steps *steps, struct outcome *outcome)
{
    static const char *const words[] = {"grow-root", "/", NULL};
    if (!steps->config.config->grow_root)
        return BOOTREPORT_SKIPPED;
    return start_task(steps, &steps->grow, words, "boot.grow-root", 0, outcome);
}

static enum bootreport_state step_services(struct steps *steps, struct outcome *outcome)
{
    (void)outcome;
    if (!steps->config.services)
        return BOOTREPORT_SKIPPED;
    services_begin(steps->config.services);
    return BOOTREPORT_DONE;
}

static void on_announced(void *arg, unsigned attempts)
{
    struct steps *steps = arg;
    char detail[BOOTREPORT_DETAIL];
    snprintf(detail, sizeof detail, "after %u attempts", attempts);
    if (steps->announcing)
        bootreport_end(steps->announcing, BOOTREPORT_DONE, detail, NULL);
    log_info("the host knows", "attempts=%u", attempts);
}

static enum bootreport_state step_announce(struct steps *steps, struct outcome *outcome)
{
    const struct steps_config *config = &steps->config;
    struct sockaddr_storage address;
    char line[ANNOUNCE_LINE];
    if (config->config->announce_port == 0)
        return BOOTREPORT_SKIPPED;
    announce_line(line, processes_generation(config->set), config->boot_id, config->vsock_port);
    const struct announce_config announce = {
        .loop = config->loop,
        .address = (const struct sockaddr *)&address,
        .address_length = announce_host(&address, (uint32_t)config->config->announce_port),
        .line = line,
        .done = on_announced,
        .arg = steps,
    };
    if (announce_start(&announce, &steps->announce, &outcome->err) < 0)
        return BOOTREPORT_FAILED;
    return BOOTREPORT_RUNNING;
}

static const struct step {
    const char *name;
    /* Answers RUNNING when it will be finished later. */
    enum bootreport_state (*function)(struct steps *steps, struct outcome *outcome);
    unsigned when;
    size_t later; /* offset of where the noted step is kept while it is RUNNING */
} table[] = {
    {"announce", step_announce, STEP_EVERY_AGENT, offsetof(struct steps, announcing)},
    {"mounts", step_mounts, STEP_GUEST, 0},
    {"modules", step_modules, STEP_GUEST, 0},
    {"nodes", step_nodes, STEP_GUEST, 0},
    {"sysctl", step_sysctls, STEP_GUEST, 0},
    {"identity", step_identity, STEP_GUEST, 0},
    {"network", step_network, STEP_GUEST, 0},
    {"volumes", step_volumes, STEP_GUEST, offsetof(struct steps, volumes.note)},
    {"grow", step_grow, STEP_GUEST, offsetof(struct steps, grow.note)},
    {"services", step_services, STEP_EVERY_AGENT, 0},
};

enum { STEP_COUNT = sizeof table / sizeof table[0] };

static bool is_due(const struct steps *steps, const struct step *step)
{
    if ((step->when & STEP_GUEST) && !steps->config.is_guest)
        return false;
    return (step->when & STEP_EVERY_AGENT) || !bootreport_find(steps->config.report, step->name);
}

static void run(struct steps *steps, const struct step *step)
{
    struct outcome outcome = {.err = NSP_ERROR_INIT};
    struct bootreport_step *note = bootreport_resume(steps->config.report, step->name);
    if (!bootreport_find(steps->config.report, step->name))
        note = bootreport_begin(steps->config.report, step->name, true);
    enum bootreport_state state = step->function(steps, &outcome);
    if (state == BOOTREPORT_RUNNING) {
        *(struct bootreport_step **)((char *)steps + step->later) = note;
        return;
    }
    bootreport_end(note, state, outcome.detail, state == BOOTREPORT_FAILED ? &outcome.err : NULL);
    if (state == BOOTREPORT_FAILED)
        log_failure(step->name, &outcome.err);
    else
        log_debug("boot step", "name=%s state=%s", step->name, bootreport_state_name(state));
}

static void on_next(void *arg)
{
    struct steps *steps = arg;
    while (steps->at < STEP_COUNT && !is_due(steps, &table[steps->at]))
        steps->at++;
    if (steps->at == STEP_COUNT)
        return;
    run(steps, &table[steps->at++]);
    if (!steps->awaited)
        loop_defer(steps->config.loop, &steps->next);
}

int steps_start(const struct steps_config *config, struct steps **ret_steps, struct nsp_error *err)
{
    struct steps *steps = calloc(1, sizeof *steps);
    if (!steps)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the boot steps");
    steps->config = *config;
    steps->next = (struct loop_deferred){.callback = on_next, .arg = steps};
    steps->grow = (struct task){.steps = steps, .name = "grow"};
    steps->volumes = (struct task){.steps = steps, .name = "volumes"};
    loop_defer(config->loop, &steps->next);
    *ret_steps = steps;
    return 0;
}

bool steps_are_done(const struct steps *steps)
{
    return steps->at == STEP_COUNT && !steps->grow.is_running && !steps->volumes.is_running;
}

void steps_free(struct steps *steps)
{
    if (!steps)
        return;
    loop_undefer(steps->config.loop, &steps->next);
    errand_free(steps->grow.errand);
    errand_free(steps->volumes.errand);
    announce_free(steps->announce);
    free(steps);
}
