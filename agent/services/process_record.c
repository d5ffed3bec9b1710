#include "agent/services/process_record.h"

#include <string.h>

#include "agent/base/clock.h"
#include "agent/os/signame.h"
#include "agent/process/reader.h"

static const char *const state_names[TABLE_STATES] = {
    [TABLE_FREE] = "free",
    [TABLE_STARTING] = "starting",
    [TABLE_RUNNING] = "running",
    [TABLE_EXITED] = "exited",
};

static const char *const policy_names[] = {
    [TABLE_POLICY_AUTO] = "auto",
    [TABLE_POLICY_BLOCK] = "block",
    [TABLE_POLICY_DROP] = "drop",
};

void process_record_exit_members(struct reply *reply, const struct process *process)
{
    const struct table_record *record = process->record;
    const struct exitlog_record *exit = &record->exit;
    if (exit->code == CLD_EXITED) {
        reply_int(reply, "code", exit->status);
    } else {
        char name[SIGNAME_SIZE];
        reply_int(reply, "signal", exit->status);
        reply_text(reply, "signal_name", signame_name(exit->status, name));
        reply_bool(reply, "core", exit->code == CLD_DUMPED);
    }
    reply_bool(reply, "timed_out", record->timed_out);
    uint64_t wall = exit->exited_ns > record->started_ns ? exit->exited_ns - record->started_ns : 0;
    reply_u64(reply, "wall_ms", wall / CLOCK_NS_PER_MS);
    reply_u64(reply, "user_ms", exit->user_us / 1000);
    reply_u64(reply, "system_ms", exit->system_us / 1000);
    reply_u64(reply, "max_rss_kib", exit->max_rss_kib);
    reply_int(reply, "exited_at_ms", exit->exited_unix_ms);
}

void process_record_exit(struct reply *reply, const struct process *process)
{
    if (!process_is_exited(process)) {
        reply_null(reply, "exit");
        return;
    }
    reply_open_object(reply, "exit");
    process_record_exit_members(reply, process);
    reply_close(reply);
}

static void write_argv(struct reply *reply, const struct table_record *record)
{
    reply_open_array(reply, "argv");
    size_t at = 0;
    while (at < record->argv_length) {
        size_t length = strnlen(record->argv + at, record->argv_length - at);
        reply_bytes(reply, NULL, record->argv + at, length);
        at += length + 1;
    }
    reply_close(reply);
    reply_bool(reply, "argv_cut", record->argv_cut);
}

static void write_output(struct reply *reply, const char *name, const struct table_output *output)
{
    reply_open_object(reply, name);
    reply_u64(reply, "start", output->ring.tail);
    reply_u64(reply, "end", output->ring.head);
    reply_bool(reply, "closed", !output->is_open);
    reply_bool(reply, "truncated", output->truncated);
    reply_u64(reply, "dropped", output->dropped);
    reply_close(reply);
}

void process_record_write(struct reply *reply, const struct process *process)
{
    const struct table_record *record = process->record;
    reply_text(reply, "id", record->id);
    reply_int(reply, "pid", record->pid);
    reply_text(reply, "state", state_names[record->state]);
    write_argv(reply, record);
    reply_bytes(reply, "cwd", record->cwd, record->cwd_length);
    reply_int(reply, "started_at_ms", record->started_unix_ms);
    reply_text(reply, "policy", policy_names[record->policy]);
    reply_bool(reply, "merged", record->merged);
    process_record_exit(reply, process);
    write_output(reply, "stdout", &record->outputs[0]);
    if (!record->merged)
        write_output(reply, "stderr", &record->outputs[1]);
    reply_open_object(reply, "stdin");
    reply_u64(reply, "offset", record->input_offset);
    reply_bool(reply, "closed", record->input != TABLE_INPUT_OPEN);
    reply_close(reply);
    reply_u64(reply, "readers", reader_count(process));
}
