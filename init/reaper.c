#include "init/reaper.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/handover/storewire.h"

/* So that a workload that forks and exits in a loop does not keep us from signals and the agent. */
enum { PASS_MAX = 1024 };

/* libc's waitid has no rusage argument, and only the kernel's gives that of one child, also with
 * WNOWAIT. 0: nothing has exited. */
static pid_t look(idtype_t type, pid_t pid, int flags, siginfo_t *info, struct rusage *usage)
{
    long result;
    info->si_pid = 0;
    do
        result = syscall(SYS_waitid, type, pid, info, WEXITED | WNOHANG | __WALL | flags, usage);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -1 : info->si_pid;
}

static void take_away(pid_t pid)
{
    siginfo_t info;
    if (look(P_PID, pid, 0, &info, NULL) != pid)
        log_debug("child not there to reap", "pid=%d errno=%d", (int)pid, errno);
}

static void take_agent(const siginfo_t *info, struct reaper_pass *pass)
{
    pass->agent_gone = true;
    pass->agent_exit = *info;
    take_away(info->si_pid);
}

/* False when the zombie has to stay. */
static bool take_child(struct reaper *reaper, const siginfo_t *info, const struct rusage *usage)
{
    switch (exitlog_record(reaper->log, info, usage)) {
    case EXITLOG_FULL:
        return false;
    case EXITLOG_RECORDED:
        reaper->recorded++;
        storewire_kick(reaper->wake_fd);
        break;
    case EXITLOG_UNTRACKED:
        reaper->untracked++;
        break;
    }
    take_away(info->si_pid);
    return true;
}

void reaper_drain(struct reaper *reaper, pid_t agent, struct reaper_pass *ret_pass)
{
    struct reaper_pass pass = {.more = true};
    siginfo_t info;
    struct rusage usage;

    while (pass.reaped < PASS_MAX) {
        pid_t pid = look(P_ALL, 0, WNOWAIT, &info, &usage);
        if (pid <= 0) {
            pass.more = false;
            break;
        }
        if (pid == agent && !pass.agent_gone) {
            take_agent(&info, &pass);
            continue;
        }
        if (!take_child(reaper, &info, &usage)) {
            pass.stalled = true;
            pass.more = false;
            break;
        }
        pass.reaped++;
    }
    /* A zombie that stays hides those behind it, of which the agent must not be one. */
    if (pass.stalled && agent > 0 && !pass.agent_gone &&
        look(P_PID, agent, WNOWAIT, &info, NULL) == agent)
        take_agent(&info, &pass);
    *ret_pass = pass;
}
