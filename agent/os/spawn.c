/* The parent's half: one block of memory that holds the child's job, stack, strings and buffers,
 * and the pipe that tells how it went.
 *
 * Invariant: from spawn_clone on, the block stays as it is until the status pipe has spoken. A
 * report or end of file means that the child does not touch our memory any more: after the report
 * it only makes system calls, and execve closes the pipe after it has left our memory. */
#include "agent/os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/os/clone.h"
#include "agent/os/oomshield.h"
#include "agent/os/rawcall.h"
#include "agent/os/rlimit.h"
#include "agent/os/spawn_child.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum {
    STACK_BYTES = 8192,
    KERNEL_SIGNALS = 64,
    KERNEL_SIGSET_BYTES = 8,
    LEGACY_CLOSE_CEILING = 65536, /* bounds the loop that stands in for close_range(2) */
};

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin";

struct spawn {
    alignas(16) unsigned char stack[STACK_BYTES];
    struct spawn_child_job job;
    struct spawn_rlimit rlimits[RLIM_NLIMITS + 1];
    int status_read, status_write;
    enum clone_way first_way;
    int cgroup_fd;
    bool parent_waits, exposed;
    char *pointers[]; /* argv, environment, then the bytes of both and of cwd */
};

static const char *const stage_names[] = {
#define SPAWN_STAGE_NAME(name, text) [SPAWN_STAGE_##name] = text,
    SPAWN_STAGES(SPAWN_STAGE_NAME)
#undef SPAWN_STAGE_NAME
};
_Static_assert(sizeof stage_names / sizeof stage_names[0] == SPAWN_STAGE_COUNT, "every stage");

/* Strings of a NULL-terminated list, and their bytes with the NULs. */
static void measure(char *const *strings, size_t *count, size_t *bytes)
{
    for (*count = 0; strings[*count]; ++*count)
        *bytes += strlen(strings[*count]) + 1;
}

static char *copy_string(char **cursor, const char *text)
{
    size_t length = strlen(text) + 1;
    char *copy = memcpy(*cursor, text, length);
    *cursor += length;
    return copy;
}

static void copy_list(char **target, char *const *strings, size_t count, char **cursor)
{
    for (size_t i = 0; i < count; i++)
        target[i] = copy_string(cursor, strings[i]);
    target[count] = NULL;
}

static const char *search_path_of(char *const *argv, char *const *environment)
{
    if (argv[0][0] == '\0' || strchr(argv[0], '/'))
        return NULL;
    for (size_t i = 0; environment[i]; i++)
        if (strncmp(environment[i], "PATH=", 5) == 0)
            return environment[i] + 5;
    return default_path;
}

/* The kernel's own structure, since libc hides two signals that whoever started us may have ignored
 * (32 and 33, nptl(7)). */
static bool is_ignored(int number)
{
    struct {
        uintptr_t handler;
        uint64_t rest[7];
    } action;
    return rawcall(SYS_rt_sigaction, number, 0, (long)&action, KERNEL_SIGSET_BYTES) == 0 &&
           action.handler == (uintptr_t)SIG_IGN;
}

static uint64_t ignored_signals(void)
{
    static bool known;
    static uint64_t ignored;
    for (int number = 1; !known && number <= KERNEL_SIGNALS; number++)
        if (is_ignored(number))
            ignored |= UINT64_C(1) << (number - 1);
    known = true;
    return ignored;
}

static unsigned close_ceiling(void)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur > LEGACY_CLOSE_CEILING)
        return LEGACY_CLOSE_CEILING;
    return (unsigned)now.rlim_cur;
}

static void copy_rlimits(struct spawn *spawn, const struct spawn_request *request)
{
    const struct rlimit *nofile = rlimit_original_nofile();
    size_t count = 0;
    /* First, so that one in the request prevails. */
    if (nofile)
        spawn->rlimits[count++] = (struct spawn_rlimit){RLIMIT_NOFILE, *nofile};
    for (size_t i = 0; i < request->rlimit_count; i++)
        spawn->rlimits[count++] = request->rlimits[i];
    spawn->job.rlimits = spawn->rlimits;
    spawn->job.rlimit_count = count;
}

static struct spawn *make_block(const struct spawn_request *request, size_t argc, size_t envc,
                                size_t bytes)
{
    size_t pointers = argc + 1 + envc + 1;
    struct spawn *spawn = malloc(sizeof *spawn + pointers * sizeof(char *) + bytes);
    if (!spawn)
        return NULL;
    char **argv = spawn->pointers, **environment = argv + argc + 1;
    char *cursor = (char *)(environment + envc + 1);
    copy_list(argv, request->argv, argc, &cursor);
    copy_list(environment, request->environment, envc, &cursor);
    spawn->status_read = spawn->status_write = -1;
    spawn->parent_waits = request->parent_waits;
    spawn->first_way = request->way;
    spawn->cgroup_fd = request->cgroup_fd;
    spawn->exposed = false;
    struct spawn_child_job job = {
        .argv = argv,
        .environment = environment,
        .cwd = request->cwd ? copy_string(&cursor, request->cwd) : NULL,
        .search_path = search_path_of(argv, environment),
        .stdio = {request->stdio[0], request->stdio[1], request->stdio[2]},
        .close_ceiling = close_ceiling(),
        .ignored = ignored_signals(),
        .has_umask = request->has_umask,
        .umask = request->umask,
        .stage = SPAWN_STAGE_CLONE,
    };
    memcpy(&spawn->job, &job, offsetof(struct spawn_child_job, path));
    copy_rlimits(spawn, request);
    return spawn;
}

static int make_status_pipe(struct spawn *spawn, struct nsp_error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return nsp_fail_errno(err, NSP_E_SPAWN, errno, "pipe2", NULL);
    spawn->status_read = fds[0];
    spawn->status_write = fds[1];
    spawn->job.status_fd = fds[1];
    return 0;
}

int spawn_prepare(const struct spawn_request *request, struct spawn **ret_spawn,
                  struct nsp_error *err)
{
    size_t argc, envc, bytes = 0;
    if (!request->argv[0])
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "argv is empty");
    if (request->rlimit_count > RLIM_NLIMITS)
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "more than %d rlimits", RLIM_NLIMITS);
    measure(request->argv, &argc, &bytes);
    measure(request->environment, &envc, &bytes);
    if (bytes > NSP_LIMIT_ARGUMENT_BYTES)
        return nsp_fail_errno(err, NSP_E_SPAWN, E2BIG, stage_names[SPAWN_STAGE_EXEC],
                              request->argv[0]);
    if (request->cwd)
        bytes += strlen(request->cwd) + 1;
    struct spawn *spawn = make_block(request, argc, envc, bytes);
    if (!spawn)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for %zu bytes of arguments", bytes);
    if (make_status_pipe(spawn, err) < 0) {
        spawn_free(spawn);
        return -1;
    }
    *ret_spawn = spawn;
    return 0;
}

int spawn_status_fd(const struct spawn *spawn)
{
    return spawn->status_read;
}

int spawn_clone(struct spawn *spawn, pid_t *pid_slot, int *ret_pidfd, struct nsp_error *err)
{
    struct clone_request request = {
        .entry = spawn_child_run,
        .arg = &spawn->job,
        .stack = spawn->stack,
        .stack_size = sizeof spawn->stack,
        .pid_slot = pid_slot,
        .parent_waits = spawn->parent_waits,
        .cgroup_fd = spawn->cgroup_fd,
        .way = spawn->first_way,
        .now = &spawn->job.way,
    };
    oomshield_lower();
    pid_t pid = clone_child(&request, ret_pidfd);
    if (pid == -EAGAIN && spawn->cgroup_fd > 0) {
        /* pids.max of the group, perhaps: a host must be able to start what ends a fork bomb. The
         * limit does not hold for those who move in. */
        request.cgroup_fd = 0;
        spawn->job.group_fd = spawn->cgroup_fd;
        pid = clone_child(&request, ret_pidfd);
    }
    if (pid < 0) {
        oomshield_raise();
        return nsp_fail_errno(err, NSP_E_SPAWN, -pid, stage_names[SPAWN_STAGE_CLONE], NULL);
    }
    spawn->exposed = true;
    close(STEAL_FD(spawn->status_write));
    return 0;
}

static bool shares_memory(const struct spawn *spawn)
{
    return spawn->job.way != CLONE_WAY_COPY;
}

static const char *object_of(const struct spawn *spawn, const struct spawn_child_report *report)
{
    if (report->stage == SPAWN_STAGE_RLIMIT)
        return rlimit_name(report->resource);
    if (!spawn)
        return NULL;
    switch (report->stage) {
    case SPAWN_STAGE_EXEC:
    case SPAWN_STAGE_INTERPRETER:
        return shares_memory(spawn) ? spawn->job.failed_path : spawn->job.argv[0];
    case SPAWN_STAGE_STDIO:
        return spawn->job.failed_path;
    case SPAWN_STAGE_CWD:
        return spawn->job.cwd;
    default:
        return NULL;
    }
}

/* End of file: execve has succeeded, unless the child had not got that far when it was killed. */
static enum spawn_result judge_end(const struct spawn *spawn, struct nsp_error *ret_failure)
{
    if (!spawn || !shares_memory(spawn) || spawn->job.stage == SPAWN_STAGE_EXEC)
        return SPAWN_EXECUTED;
    nsp_fail(ret_failure, NSP_E_SPAWN, "killed before execve, at %s", spawn_stage_name(spawn));
    snprintf(ret_failure->op, sizeof ret_failure->op, "%s", spawn_stage_name(spawn));
    return SPAWN_FAILED;
}

enum spawn_result spawn_outcome(int status_fd, const struct spawn *spawn,
                                struct nsp_error *ret_failure)
{
    struct spawn_child_report report;
    ssize_t count;
    do
        count = read(status_fd, &report, sizeof report);
    while (count < 0 && errno == EINTR);

    /* EAGAIN. With any other error the child may still use the block, so it is no outcome either:
     * the caller's deadline is one. */
    if (count < 0)
        return SPAWN_PENDING;
    if (count == 0)
        return judge_end(spawn, ret_failure);
    if (count != sizeof report || report.stage >= SPAWN_STAGE_COUNT) {
        nsp_fail(ret_failure, NSP_E_INTERNAL, "malformed status of a new process");
        return SPAWN_FAILED;
    }
    const char *object = object_of(spawn, &report);
    nsp_fail_errno(ret_failure, NSP_E_SPAWN, report.sys_errno, stage_names[report.stage], object);
    if (report.stage == SPAWN_STAGE_INTERPRETER)
        snprintf(ret_failure->msg, sizeof ret_failure->msg,
                 "execve: %.120s: its interpreter is missing", object ? object : "the program");
    return SPAWN_FAILED;
}

const char *spawn_stage_name(const struct spawn *spawn)
{
    uint32_t stage = spawn->job.stage;
    return stage < SPAWN_STAGE_COUNT ? stage_names[stage] : "?";
}

void spawn_free(struct spawn *spawn)
{
    if (!spawn)
        return;
    if (spawn->exposed)
        oomshield_raise();
    if (spawn->status_read >= 0)
        close(spawn->status_read);
    if (spawn->status_write >= 0)
        close(spawn->status_write);
    free(spawn);
}
