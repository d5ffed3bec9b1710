/* Each step sets the stage, does one thing and, when it fails, reports and ends the child.
 *
 * The status descriptor is 3 from the CLOSE stage on, close-on-exec: a successful execve closes it,
 * which the other end sees as end of file without a report. */
#include "agent/os/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "agent/os/rawcall.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

enum { STATUS_FD = 3, FIRST_FREE_FD = 4, KERNEL_SIGSET_BYTES = 8, SIGNALS = 64, NOT_STARTED = 127 };

/* The kernel's own struct sigaction, all zero: SIG_DFL. Larger than any architecture's. */
struct default_action {
    uint64_t zero[8];
};

struct outcome {
    uint32_t stage;
    int sys_errno;
    const char *element; /* of the search path; NULL: argv[0] itself */
};

RAWCALL_CODE __attribute__((noreturn)) static void report(struct spawn_child_job *job, long result)
{
    struct spawn_child_report report = {
        .stage = job->stage, .sys_errno = (int32_t)-result, .resource = job->resource};
    rawcall_write_exit(job->status_fd, &report, sizeof report, NOT_STARTED);
}

/* Descriptors that would be overwritten on the way are moved out of the way first. */
RAWCALL_CODE static int move_up(struct spawn_child_job *job, int fd)
{
    if (fd >= FIRST_FREE_FD)
        return fd;
    long moved = rawcall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD, 0);
    if (moved < 0)
        report(job, moved);
    return (int)moved;
}

RAWCALL_CODE static int open_null(struct spawn_child_job *job)
{
    long fd = rawcall(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) {
        job->failed_path = "/dev/null";
        report(job, fd);
    }
    return move_up(job, (int)fd);
}

RAWCALL_CODE static void set_descriptors(struct spawn_child_job *job)
{
    int from[3], null_fd = -1;

    job->stage = SPAWN_STAGE_STDIO;
    job->status_fd = move_up(job, job->status_fd);
    for (int i = 0; i < 3; i++) {
        if (job->stdio[i] < 0 && null_fd < 0)
            null_fd = open_null(job);
        from[i] = job->stdio[i] < 0 ? null_fd : move_up(job, job->stdio[i]);
    }
    for (int i = 0; i < 3; i++) {
        long result = rawcall(SYS_dup3, from[i], i, 0, 0);
        if (result < 0)
            report(job, result);
    }
    long result = rawcall(SYS_dup3, job->status_fd, STATUS_FD, O_CLOEXEC, 0);
    if (result < 0)
        report(job, result);
    job->status_fd = STATUS_FD;
}

RAWCALL_CODE static void close_others(struct spawn_child_job *job)
{
    job->stage = SPAWN_STAGE_CLOSE;
    long result = -ENOSYS;
    if (job->way == CLONE_WAY_CLONE3)
        result = rawcall(SYS_close_range, FIRST_FREE_FD, (long)~0U, 0, 0);
    if (result == -ENOSYS || result == -EPERM) {
        for (unsigned fd = FIRST_FREE_FD; fd < job->close_ceiling; fd++)
            rawcall(SYS_close, (long)fd, 0, 0, 0);
        result = 0;
    }
    if (result < 0)
        report(job, result);
}

RAWCALL_CODE static void start_session(struct spawn_child_job *job)
{
    job->stage = SPAWN_STAGE_SESSION;
    long result = rawcall(SYS_setsid, 0, 0, 0, 0);
    if (result < 0)
        report(job, result);
}

/* execve keeps the mask and what is ignored (execve(2)), so both are set back here. */
RAWCALL_CODE static void reset_signals(struct spawn_child_job *job)
{
    static const struct default_action action;
    static const uint64_t none;

    job->stage = SPAWN_STAGE_SIGNALS;
    for (int signal = 1; signal <= SIGNALS; signal++) {
        if (job->way == CLONE_WAY_CLONE3 && !(job->ignored & (UINT64_C(1) << (signal - 1))))
            continue;
        if (signal == SIGKILL || signal == SIGSTOP)
            continue;
        long result = rawcall(SYS_rt_sigaction, signal, (long)&action, 0, KERNEL_SIGSET_BYTES);
        if (result < 0)
            report(job, result);
    }
    long result = rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, KERNEL_SIGSET_BYTES);
    if (result < 0)
        report(job, result);
}

RAWCALL_CODE static void set_limits(struct spawn_child_job *job)
{
    if (job->has_umask)
        rawcall(SYS_umask, job->umask, 0, 0, 0);
    job->stage = SPAWN_STAGE_RLIMIT;
    for (size_t i = 0; i < job->rlimit_count; i++) {
        const struct spawn_rlimit *entry = &job->rlimits[i];
        long result = rawcall(SYS_prlimit64, 0, entry->resource, (long)&entry->limit, 0);
        if (result < 0) {
            job->resource = entry->resource;
            report(job, result);
        }
    }
}

RAWCALL_CODE static void change_directory(struct spawn_child_job *job)
{
    if (!job->cwd)
        return;
    job->stage = SPAWN_STAGE_CWD;
    long result = rawcall(SYS_chdir, (long)job->cwd, 0, 0, 0);
    if (result < 0)
        report(job, result);
}

/* Returns only when it failed. "No such file" for a file that is there means its interpreter. */
RAWCALL_CODE static struct outcome try_path(struct spawn_child_job *job, const char *path)
{
    long result = rawcall(SYS_execve, (long)path, (long)job->argv, (long)job->environment, 0);
    struct outcome outcome = {.stage = SPAWN_STAGE_EXEC, .sys_errno = (int)-result};
    if ((result == -ENOENT || result == -ENOTDIR) &&
        rawcall(SYS_faccessat, AT_FDCWD, (long)path, F_OK, 0) == 0)
        outcome.stage = SPAWN_STAGE_INTERPRETER;
    return outcome;
}

/* element, a slash and argv[0] into job->path. An empty element is the working directory. Returns
 * where the element ends; *ret_fits is false when the whole is longer than a path can be. */
RAWCALL_CODE static const char *join(struct spawn_child_job *job, const char *element,
                                     bool *ret_fits)
{
    size_t length = 0, limit = sizeof job->path - 1;
    const char *end = element;
    while (*end && *end != ':')
        end++;
    for (const char *from = element; from < end && length < limit; from++)
        job->path[length++] = *from;
    if (length > 0 && length < limit)
        job->path[length++] = '/';
    const char *name = job->argv[0];
    while (*name && length < limit)
        job->path[length++] = *name++;
    job->path[length] = '\0';
    *ret_fits = *name == '\0' && length < limit;
    return end;
}

RAWCALL_CODE static bool goes_on_after(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case ESTALE:
    case ENODEV:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

/* Cheaper to ask than to let execve find out, which prepares a new address space first. */
RAWCALL_CODE static bool is_missing(const struct spawn_child_job *job)
{
    long result = rawcall(SYS_faccessat, AT_FDCWD, (long)job->path, F_OK, 0);
    return result == -ENOENT || result == -ENOTDIR;
}

/* As execvp(3) does it: the first that can be executed; else the first that is there but cannot. */
RAWCALL_CODE static struct outcome search(struct spawn_child_job *job)
{
    struct outcome best = {.stage = SPAWN_STAGE_EXEC, .sys_errno = ENOENT};
    const char *element = job->search_path;

    for (;;) {
        bool fits;
        const char *end = join(job, element, &fits);
        if (fits && !is_missing(job)) {
            struct outcome outcome = try_path(job, job->path);
            outcome.element = element;
            if (!goes_on_after(outcome.sys_errno))
                return outcome;
            bool there = outcome.sys_errno == EACCES || outcome.stage == SPAWN_STAGE_INTERPRETER;
            if (there && !best.element)
                best = outcome;
        }
        if (!*end)
            return best;
        element = end + 1;
    }
}

RAWCALL_CODE __attribute__((noreturn)) static void execute(struct spawn_child_job *job)
{
    struct outcome outcome;

    job->stage = SPAWN_STAGE_EXEC;
    if (job->search_path)
        outcome = search(job);
    else
        outcome = try_path(job, job->argv[0]);
    job->failed_path = job->argv[0];
    if (outcome.element) {
        bool fits;
        join(job, outcome.element, &fits);
        job->failed_path = job->path;
    }
    job->stage = outcome.stage;
    report(job, -outcome.sys_errno);
}

/* Where this fails the child stays in our group, which beats not being started. */
RAWCALL_CODE static void join_group(const struct spawn_child_job *job)
{
    if (job->group_fd <= 0)
        return;
    long fd = rawcall(SYS_openat, job->group_fd, (long)"cgroup.procs", O_WRONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        rawcall(SYS_write, fd, (long)"0", 1, 0);
        rawcall(SYS_close, fd, 0, 0, 0);
    }
}

RAWCALL_CODE void spawn_child_run(void *arg)
{
    struct spawn_child_job *job = arg;

    join_group(job);
    set_descriptors(job);
    close_others(job);
    start_session(job);
    reset_signals(job);
    set_limits(job);
    change_directory(job);
    execute(job);
}
