#include "agent/process/launch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/os/random.h"
#include "agent/process/deadlines.h"
#include "agent/process/ends.h"
#include "agent/process/pipe.h"
#include "agent/process/processes.h"
#include "protocol/cleanup.h"

/* The child's ends while a launch is under way; -1: none. */
struct child_ends {
    int stdio[3];
};

static void close_ends(struct child_ends *ends)
{
    /* stderr may be the same descriptor as stdout. */
    if (ends->stdio[2] >= 0 && ends->stdio[2] != ends->stdio[1])
        close(ends->stdio[2]);
    for (int i = 0; i < 2; i++)
        if (ends->stdio[i] >= 0)
            close(ends->stdio[i]);
}

static bool is_id(const char *text)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(text);
    return length >= 1 && length <= NSP_LIMIT_ID && strspn(text, allowed) == length;
}

static int choose_id(const struct processes *set, const struct launch_options *options,
                     char ret_id[NSP_LIMIT_ID + 1], struct nsp_error *err)
{
    if (!options->id || !options->id[0])
        return random_hex(ret_id, 10, err);
    if (!is_id(options->id))
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "id",
                           "an id has 1 to %d of the characters A-Z a-z 0-9 . _ -", NSP_LIMIT_ID);
    if (processes_find(set, options->id))
        return nsp_fail_on(err, NSP_E_ALREADY_EXISTS, options->id,
                           "a process with this id is kept already");
    memcpy(ret_id, options->id, strlen(options->id) + 1);
    return 0;
}

static int check_size(const struct launch_options *options, struct nsp_error *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < options->argc; i++)
        bytes += strlen(options->argv[i]) + 1;
    for (char *const *variable = options->environment; *variable; variable++)
        bytes += strlen(*variable) + 1;
    if (bytes > NSP_LIMIT_ARGUMENT_BYTES)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "argument_bytes",
                           "arguments and environment have %zu bytes, the limit is %d", bytes,
                           NSP_LIMIT_ARGUMENT_BYTES);
    return 0;
}

static uint64_t ring_size(uint64_t wanted)
{
    uint64_t size = NSP_LIMIT_RING_MIN;
    while (size < wanted && size < NSP_LIMIT_RING_MAX)
        size *= 2;
    return size;
}

static void describe(struct table_record *record, const struct launch_options *options)
{
    size_t used = 0;
    for (size_t i = 0; i < options->argc && !record->argv_cut; i++) {
        size_t length = strlen(options->argv[i]) + 1;
        size_t room = sizeof record->argv - used;
        record->argv_cut = length > room;
        memcpy(record->argv + used, options->argv[i], length < room ? length : room);
        used += length < room ? length : room;
    }
    record->argv_length = (uint16_t)used;
    const char *cwd = options->cwd ? options->cwd : "";
    size_t length = strlen(cwd);
    record->cwd_length = (uint16_t)(length < sizeof record->cwd ? length : sizeof record->cwd);
    memcpy(record->cwd, cwd, record->cwd_length);
}

static void fill_record(struct table_record *record, const struct launch_options *options)
{
    record->merged = options->merge;
    record->policy = (uint8_t)options->policy;
    record->grace_ms = options->grace_ms;
    /* 0 means none in the record, so that a zeroed record is right. */
    record->drain_ms = options->drain_ms < 0 ? 0 : (uint32_t)options->drain_ms + 1;
    record->started_ns = clock_now_ns();
    record->started_unix_ms = clock_unix_ms();
    if (options->timeout_ms > 0)
        record->timeout_at = record->started_ns + options->timeout_ms * CLOCK_NS_PER_MS;
    record->input = options->input ? TABLE_INPUT_OPEN : TABLE_INPUT_NULL;
    uint64_t size = ring_size(options->ring_bytes ? options->ring_bytes : NSP_LIMIT_RING_DEFAULT);
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        ring_init_state(&record->outputs[i].ring, size);
    describe(record, options);
}

static int map_rings(struct process *process, struct nsp_error *err)
{
    struct table_record *record = process->record;
    uint64_t needed = (uint64_t)process_output_count(process) * NSP_LIMIT_RING_MIN;
    if (!processes_reserve(process->set, needed))
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "rings", "no memory is left for output rings");
    if (arena_map(processes_arena(process->set), process->slot, record->outputs[0].ring.size_max,
                  record->merged, &process->region, err) < 0)
        return -1;
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        process->outputs[i].ring =
            (struct ring){&record->outputs[i].ring, process->region.rings[i]};
    return 0;
}

static int open_output(struct process *process, unsigned number, struct child_ends *ends,
                       struct nsp_error *err)
{
    int pipe[2];
    if (pipe_new(pipe, err) < 0)
        return -1;
    ends->stdio[number + 1] = pipe[1];
    if (output_open(&process->outputs[number], pipe[0], err) < 0) {
        close(pipe[0]);
        return -1;
    }
    process->record->outputs[number].is_open = true;
    return 0;
}

static int open_input(struct process *process, struct child_ends *ends, struct nsp_error *err)
{
    int pipe[2];
    if (pipe_new(pipe, err) < 0)
        return -1;
    ends->stdio[0] = pipe[0];
    if (input_open(&process->input, pipe[1], err) < 0) {
        close(pipe[1]);
        return -1;
    }
    return 0;
}

static int open_streams(struct process *process, const struct launch_options *options,
                        struct child_ends *ends, struct nsp_error *err)
{
    if (options->input && open_input(process, ends, err) < 0)
        return -1;
    for (unsigned i = 0; i < process_output_count(process); i++)
        if (open_output(process, i, ends, err) < 0)
            return -1;
    if (options->merge)
        ends->stdio[2] = ends->stdio[1];
    return 0;
}

static int run(struct process *process, const struct launch_options *options,
               const struct child_ends *ends, struct nsp_error *err)
{
    struct spawn_request request = {
        .argv = options->argv,
        .environment = options->environment,
        .cwd = options->cwd,
        .stdio = {ends->stdio[0], ends->stdio[1], ends->stdio[2]},
        .parent_waits = true,
        .has_umask = options->has_umask,
        .umask = options->umask,
        .rlimits = options->rlimits,
        .rlimit_count = options->rlimit_count,
        .cgroup_fd = processes_cgroup(process->set),
    };
    struct exitlog *exitlog = processes_exitlog(process->set);
    if (spawn_prepare(&request, &process->spawn, err) < 0 ||
        launch_watch(process, spawn_status_fd(process->spawn), err) < 0)
        return -1;
    const struct ends ours = ends_of(process);
    if (ends_put(&ours, process->slot, processes_store(process->set), err) < 0)
        return -1;
    pid_t *pid_slot = exitlog_claim(exitlog, process->slot, process->record->generation);
    if (spawn_clone(process->spawn, pid_slot, &process->pidfd, err) < 0) {
        exitlog_unclaim(exitlog, process->slot);
        return -1;
    }
    return 0;
}

int launch_start(struct processes *set, const struct launch_options *options,
                 struct process **ret_process, bool *ret_repeated, struct nsp_error *err)
{
    const char *key = options->key ? options->key : "";
    struct process *process = key[0] ? processes_find_key(set, key) : NULL;
    *ret_repeated = process != NULL;
    if (process) {
        *ret_process = process;
        return 0;
    }
    char id[NSP_LIMIT_ID + 1];
    if (key[0] && !is_id(key))
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "key", "a key is spelled as an id is");
    if (check_size(options, err) < 0 || choose_id(set, options, id, err) < 0 ||
        processes_allocate(set, id, key, &process, err) < 0)
        return -1;
    fill_record(process->record, options);
    struct child_ends ends = {{-1, -1, -1}};
    int result = map_rings(process, err);
    if (result == 0)
        result = open_streams(process, options, &ends, err);
    if (result == 0)
        result = deadlines_start(process, err);
    if (result == 0)
        result = run(process, options, &ends, err);
    close_ends(&ends);
    if (result < 0) {
        processes_remove(set, process);
        return -1;
    }
    *ret_process = process;
    return 0;
}

static void forget_status(struct process *process)
{
    if (process->spawn)
        io_free(process->status);
    else
        io_close(process->status);
    process->status = NULL;
    spawn_free(process->spawn);
    process->spawn = NULL;
    store_drop(processes_store(process->set), STOREWIRE_STATUS, process->slot);
}

static void set_running(struct process *process)
{
    struct table_record *record = process->record;
    pid_t pid = exitlog_pid(processes_exitlog(process->set), process->slot, record->generation);
    record->pid = pid;
    TABLE_IN_ORDER();
    record->state = TABLE_RUNNING;
}

static void kill_child(const struct process *process)
{
    pid_t pid = exitlog_claimed(processes_exitlog(process->set), process->slot);
    if (process->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
    else if (pid > 0)
        (void)kill(pid, SIGKILL);
}

static void announce(struct process *process)
{
    deadlines_arm(process);
    log_debug("process started", "id=%s pid=%d", process->record->id, (int)process->record->pid);
    process_notify(process, PROCESS_STARTED);
}

/* A report that waits in the status pipe is gone once it is read: that it was one is stored before.
 */
static void note_report(struct process *process)
{
    int waiting = 0;
    if (ioctl(io_fd(process->status), FIONREAD, &waiting) < 0 || waiting == 0)
        return;
    process->record->launch_failed = true;
    TABLE_IN_ORDER();
}

void launch_check(struct process *process)
{
    if (!process->status)
        return;
    note_report(process);
    struct nsp_error failure = NSP_ERROR_INIT;
    enum spawn_result result = spawn_outcome(io_fd(process->status), process->spawn, &failure);
    if (result == SPAWN_PENDING)
        return;
    /* The state goes first: STARTING without a status in the store means "never executed" to the
     * next agent. */
    if (result == SPAWN_EXECUTED && !process->is_failed)
        set_running(process);
    forget_status(process);
    if (process->is_failed)
        return;
    if (result == SPAWN_EXECUTED)
        announce(process);
    else
        process_fail(process, &failure);
}

void launch_expire(struct process *process)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const char *stage = process->spawn ? spawn_stage_name(process->spawn) : "execve";
    nsp_fail_errno(&err, NSP_E_DEADLINE, ETIMEDOUT, stage, process->record->id);
    kill_child(process);
    process_fail(process, &err);
}

static void on_status(void *arg, unsigned ready)
{
    (void)ready;
    launch_check(arg);
}

int launch_watch(struct process *process, int fd, struct nsp_error *err)
{
    return io_new(processes_loop(process->set), fd, IO_READ, on_status, process, &process->status,
                  err);
}
