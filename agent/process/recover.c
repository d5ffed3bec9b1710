#include "agent/process/recover.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/process/deadlines.h"
#include "agent/process/launch.h"
#include "agent/process/reader.h"

static int map_region(struct processes *set, unsigned slot, struct arena_region *ret_region,
                      struct nsp_error *err)
{
    const struct table_record *record = &processes_table(set)->records[slot];
    return arena_map(processes_arena(set), slot, record->outputs[0].ring.size_max, record->merged,
                     ret_region, err);
}

static bool is_used(struct processes *set, unsigned slot)
{
    const struct table_record *record = &processes_table(set)->records[slot];
    return slot < TABLE_SLOTS && record->state != TABLE_FREE && table_record_valid(record);
}

int recover_stages(struct processes *set, struct nsp_error *err)
{
    const struct stage *output = processes_output_stage(set);
    const struct stage *input = processes_input_stage(set);
    struct table_record *records = processes_table(set)->records;
    unsigned slot = output->journal->slot, number = output->journal->output;
    struct ring ring = {NULL, NULL};
    if (output->journal->phase != TABLE_STAGE_EMPTY && number < TABLE_OUTPUTS &&
        is_used(set, slot)) {
        struct arena_region region;
        if (map_region(set, slot, &region, err) < 0)
            return -1;
        ring = (struct ring){&records[slot].outputs[number].ring, region.rings[number]};
    }
    if (stage_recover_output(output, ring.data ? &ring : NULL, err) < 0)
        return -1;
    slot = input->journal->slot;
    return stage_recover_input(input, is_used(set, slot) ? &records[slot].input_offset : NULL, err);
}

/* Bytes that the dead agent had put into the ring without noting their arrival. */
static void complete_arrivals(struct process *process)
{
    struct arrivals arrivals = process_arrivals(process);
    for (unsigned output = 0; output < process_output_count(process); output++) {
        uint64_t noted = process->record->outputs[output].ring.tail;
        uint64_t head = process->record->outputs[output].ring.head;
        struct arrival arrival;
        for (uint64_t n = 0; arrivals_get(&arrivals, &n, &arrival); n++)
            if (arrival.output == output && arrival.offset + arrival.length > noted)
                noted = arrival.offset + arrival.length;
        if (noted < head)
            arrivals_append(&arrivals, output, noted, head - noted);
    }
}

static int attach_ends(struct process *process, struct ends *ends, struct nsp_error *err)
{
    for (unsigned i = 0; i < process_output_count(process); i++) {
        struct table_output *state = &process->record->outputs[i];
        process->outputs[i].ring = (struct ring){&state->ring, process->region.rings[i]};
        arena_charge(processes_arena(process->set), output_touched(&process->outputs[i]));
        int *fd = &ends->fds[ENDS_OUTPUT + i];
        if (state->is_open && *fd >= 0) {
            if (output_open(&process->outputs[i], *fd, err) < 0)
                return -1;
            *fd = -1;
        } else {
            state->is_open = false;
        }
    }
    if (process->record->input != TABLE_INPUT_OPEN)
        return 0;
    if (ends->fds[ENDS_INPUT] < 0) {
        process->record->input = TABLE_INPUT_CLOSED;
        return 0;
    }
    if (input_open(&process->input, ends->fds[ENDS_INPUT], err) < 0)
        return -1;
    ends->fds[ENDS_INPUT] = -1;
    return 0;
}

/* A pid that is still claimed after its pidfd was opened cannot have been used again. */
static void reopen_pidfd(struct process *process)
{
    const struct exitlog *exitlog = processes_exitlog(process->set);
    pid_t pid = exitlog_claimed(exitlog, process->slot);
    if (pid <= 0 || exitlog_generation(exitlog, process->slot) != process->record->generation)
        return;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0 && exitlog_claimed(exitlog, process->slot) != pid) {
        close(pidfd);
        pidfd = -1;
    }
    process->pidfd = pidfd;
}

/* STARTING without a clone: the agent died before it. Nobody was told, a repeated start is new. */
static bool was_never_cloned(struct process *process)
{
    const struct exitlog *exitlog = processes_exitlog(process->set);
    if (process->record->state != TABLE_STARTING)
        return false;
    if (exitlog_generation(exitlog, process->slot) != process->record->generation)
        return true;
    return exitlog_claimed(exitlog, process->slot) == 0 &&
           !exitlog_is_pending(exitlog, process->slot);
}

static int revive(struct process *process, struct ends *ends, struct nsp_error *err)
{
    if (map_region(process->set, process->slot, &process->region, err) < 0 ||
        attach_ends(process, ends, err) < 0)
        return -1;
    if (process->record->launch_failed) {
        /* Its client was told, or will start again; only the child's exit is still to come. */
        process->is_failed = true;
        processes_note_failure(process->set, process);
    } else if (ends->fds[ENDS_STATUS] >= 0 && process->record->state == TABLE_STARTING) {
        if (launch_watch(process, ends->fds[ENDS_STATUS], err) < 0)
            return -1;
        ends->fds[ENDS_STATUS] = -1;
    }
    complete_arrivals(process);
    reopen_pidfd(process);
    reader_depart_all(process);
    deadlines_arm(process);
    /* The dead agent may have had no time to look once more after the exit. */
    for (unsigned i = 0; i < process_output_count(process) && process_is_exited(process); i++)
        output_pump(&process->outputs[i]);
    if (process_is_exited(process))
        input_check(&process->input);
    return 0;
}

int recover_process(struct processes *set, unsigned slot, const struct ends *found,
                    struct nsp_error *err)
{
    struct store *store = processes_store(set);
    struct ends ends = *found;
    struct process *process = NULL;
    if (!is_used(set, slot)) {
        log_warn("a process record cannot be used", "slot=%u", slot);
        table_end(processes_table(set), slot);
        ends_discard(&ends, slot, store);
        return 0;
    }
    /* Failing, the agent ends: its successor finds in the store what it has not dropped. */
    if (processes_adopt(set, slot, &process, err) < 0 || revive(process, &ends, err) < 0)
        return -1;
    /* What is left the dead agent had not got round to dropping. */
    ends_discard(&ends, slot, store);
    if (was_never_cloned(process))
        processes_remove(set, process);
    return 0;
}
