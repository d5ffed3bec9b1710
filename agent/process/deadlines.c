#include "agent/process/deadlines.h"

#include <signal.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/process/launch.h"
#include "agent/process/processes.h"
#include "agent/process/reader.h"
#include "agent/process/signals.h"

enum { KILL_AGAIN_MS = 100 };

static uint64_t launch_deadline(const struct process *process)
{
    const struct table_record *record = process->record;
    if (record->state != TABLE_STARTING || process->is_failed)
        return 0;
    return record->started_ns + NSP_LIMIT_SPAWN_TIME * CLOCK_NS_PER_MS;
}

static void earlier(uint64_t *next, uint64_t deadline)
{
    if (deadline != 0 && (*next == 0 || deadline < *next))
        *next = deadline;
}

static uint64_t next_deadline(const struct process *process)
{
    const struct table_record *record = process->record;
    uint64_t next = launch_deadline(process);
    earlier(&next, record->timeout_at);
    earlier(&next, record->kill_at);
    earlier(&next, record->drain_at);
    for (unsigned i = 0; i < NSP_LIMIT_READERS; i++)
        if (record->holds[i].state == TABLE_HOLD_DEPARTED)
            earlier(&next, record->holds[i].deadline_ns ? record->holds[i].deadline_ns : 1);
    return next;
}

/* Each deadline is cleared after it was acted on: a successor that finds it acts once more, which
 * does no harm, while one that was cleared first would be lost with the agent. */
static bool is_due(uint64_t deadline, uint64_t now)
{
    return deadline != 0 && deadline <= now;
}

static void time_out(struct process *process, uint64_t now)
{
    struct table_record *record = process->record;
    record->timed_out = true;
    struct nsp_error err = NSP_ERROR_INIT;
    if (signals_kill(process, SIGTERM, SIGNALS_GROUP, record->grace_ms, &err) < 0) {
        log_error(LOG_WARN, "could not end a process at its timeout", &err);
        record->kill_at = now;
    }
    TABLE_IN_ORDER();
    record->timeout_at = 0;
}

/* What fails for want of memory or descriptors is tried again; what is not allowed stays so. */
static void kill_now(struct process *process, uint64_t now)
{
    unsigned sent;
    struct nsp_error err = NSP_ERROR_INIT;
    if (signals_send(process, SIGKILL, process->record->kill_scope, &sent, &err) < 0) {
        log_error(LOG_WARN, "could not kill a process", &err);
        if (err.code != NSP_E_PERMISSION) {
            process->record->kill_at = now + KILL_AGAIN_MS * CLOCK_NS_PER_MS;
            return;
        }
    }
    process->record->kill_at = 0;
    proctree_done(&process->tree);
}

static void give_outputs_up(struct process *process)
{
    for (unsigned i = 0; i < process_output_count(process); i++) {
        output_pump(&process->outputs[i]);
        output_close(&process->outputs[i], true);
    }
    process->record->drain_at = 0;
}

static void on_deadline(void *arg)
{
    struct process *process = arg;
    struct table_record *record = process->record;
    uint64_t now = clock_now_ns();
    uint64_t launch = launch_deadline(process);
    if (launch != 0 && launch <= now)
        launch_expire(process);
    if (is_due(record->timeout_at, now))
        time_out(process, now);
    if (is_due(record->kill_at, now))
        kill_now(process, now);
    if (is_due(record->drain_at, now))
        give_outputs_up(process);
    reader_expire_holds(process, now);
    deadlines_arm(process);
}

int deadlines_start(struct process *process, struct nsp_error *err)
{
    uint64_t next = next_deadline(process);
    if (next == 0) {
        if (process->timer)
            timer_cancel(process->timer);
        return 0;
    }
    if (!process->timer &&
        timer_new(processes_loop(process->set), on_deadline, process, &process->timer, err) < 0)
        return -1;
    uint64_t now = clock_now_ns();
    return timer_set(process->timer, next > now ? next - now : 0, err);
}

void deadlines_arm(struct process *process)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (deadlines_start(process, &err) < 0)
        processes_fatal(process->set, "cannot set a deadline", &err);
}
