#include "agent/process/process.h"

#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/os/spawn.h"
#include "agent/process/deadlines.h"
#include "agent/process/ends.h"
#include "agent/process/launch.h"
#include "agent/process/processes.h"

bool process_is_exited(const struct process *process)
{
    return process->record->state == TABLE_EXITED;
}

unsigned process_output_count(const struct process *process)
{
    return process->record->merged ? 1 : TABLE_OUTPUTS;
}

struct arrivals process_arrivals(const struct process *process)
{
    return (struct arrivals){&process->record->arrivals, process->region.arrivals};
}

bool process_is_drained(const struct process *process)
{
    for (unsigned i = 0; i < process_output_count(process); i++)
        if (!process->record->outputs[i].is_drained)
            return false;
    return process_is_exited(process);
}

void process_observe(struct process *process, struct process_observer *observer)
{
    observer->previous = NULL;
    observer->next = process->observers;
    if (observer->next)
        observer->next->previous = observer;
    process->observers = observer;
}

void process_unobserve(struct process *process, struct process_observer *observer)
{
    for (struct process_round *round = process->rounds; round; round = round->outer)
        if (round->next == observer)
            round->next = observer->next;
    if (observer->previous)
        observer->previous->next = observer->next;
    else if (process->observers == observer)
        process->observers = observer->next;
    if (observer->next)
        observer->next->previous = observer->previous;
    observer->next = observer->previous = NULL;
}

/* An observer may lead to another notification of the same process from inside its callback; the
 * inner round then runs to its end first. Whoever is taken out is skipped in all of them. */
void process_notify(struct process *process, enum process_event event)
{
    struct process_round round = {.next = process->observers, .outer = process->rounds};
    process->rounds = &round;
    while (round.next) {
        struct process_observer *observer = round.next;
        round.next = observer->next;
        observer->event(observer->arg, process, event);
    }
    process->rounds = round.outer;
}

void process_fail(struct process *process, const struct nsp_error *err)
{
    if (process->is_failed)
        return;
    process->record->launch_failed = true;
    TABLE_IN_ORDER();
    process->is_failed = true;
    process->failure = *err;
    processes_note_failure(process->set, process);
    process_notify(process, PROCESS_FAILED);
}

static void close_pidfd(struct process *process)
{
    if (process->pidfd >= 0)
        close(process->pidfd);
    process->pidfd = -1;
}

static void copy_exit(struct process *process, const struct exitlog_record *exit)
{
    struct table_record *record = process->record;
    record->exit = *exit;
    record->pid = exit->pid;
    if (record->drain_ms > 0)
        record->drain_at = exit->exited_ns + (record->drain_ms - 1) * CLOCK_NS_PER_MS;
    /* KILL still goes to what is left of the group when it was asked for; TERM does not. */
    record->timeout_at = 0;
    TABLE_IN_ORDER();
    record->state = TABLE_EXITED;
}

void process_on_exit(struct process *process, const struct exitlog_record *exit)
{
    if (process_is_exited(process))
        return;
    if (process->record->state == TABLE_STARTING)
        launch_check(process);
    if (process->is_failed || process->record->state == TABLE_STARTING) {
        /* A STARTING one whose outcome cannot be read was ended before its execve. */
        struct nsp_error err = NSP_ERROR_INIT;
        nsp_fail(&err, NSP_E_SPAWN, "the new process was ended before it could start");
        process_fail(process, &err);
        processes_remove(process->set, process);
        return;
    }
    copy_exit(process, exit);
    close_pidfd(process);
    processes_note_exit(process->set, process);
    log_debug("process exited", "id=%s pid=%d code=%d status=%d", process->record->id, exit->pid,
              exit->code, exit->status);
    process_notify(process, PROCESS_EXITED);
    for (unsigned i = 0; i < process_output_count(process); i++)
        output_pump(&process->outputs[i]);
    input_check(&process->input);
    deadlines_arm(process);
}

int process_forget(struct process *process, struct nsp_error *err)
{
    if (!process_is_exited(process))
        return nsp_fail_on(err, NSP_E_STATE, process->record->id, "the process is still running");
    processes_remove(process->set, process);
    return 0;
}

void process_release(struct process *process)
{
    const struct ends ends = ends_of(process);
    ends_drop(&ends, process->slot, processes_store(process->set));
    uint64_t touched = 0;
    for (unsigned i = 0; i < process_output_count(process); i++)
        if (process->outputs[i].ring.state)
            touched += output_touched(&process->outputs[i]);
    if (process->region.arrivals)
        arena_release(processes_arena(process->set), process->slot, touched);
    process_close(process);
}

void process_close(struct process *process)
{
    for (unsigned i = 0; i < process_output_count(process); i++)
        output_done(&process->outputs[i]);
    input_done(&process->input);
    if (process->spawn)
        io_free(process->status);
    else
        io_close(process->status);
    spawn_free(process->spawn);
    timer_free(process->timer);
    close_pidfd(process);
    proctree_done(&process->tree);
}
