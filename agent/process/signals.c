#include "agent/process/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/os/proctree.h"
#include "agent/process/deadlines.h"
#include "agent/process/processes.h"

static pid_t leader_pid(const struct process *process)
{
    return exitlog_pid(processes_exitlog(process->set), process->slot, process->record->generation);
}

/* The exit may be in the log already and still unread. */
static bool has_exited(const struct process *process)
{
    return process_is_exited(process) ||
           exitlog_claimed(processes_exitlog(process->set), process->slot) == 0;
}

/* 1 sent, 0 nobody there, -1 failed. */
static int outcome(int result, const char *call, const struct process *process,
                   struct nsp_error *err)
{
    if (result == 0)
        return 1;
    if (errno == ESRCH)
        return 0;
    return nsp_fail_errno(err, errno == EPERM ? NSP_E_PERMISSION : NSP_E_SYSTEM, errno, call,
                          process->record->id);
}

static int send_to_leader(const struct process *process, int signal_number, struct nsp_error *err)
{
    if (has_exited(process))
        return 0;
    if (process->pidfd >= 0)
        return outcome((int)syscall(SYS_pidfd_send_signal, process->pidfd, signal_number, NULL, 0),
                       "pidfd_send_signal", process, err);
    pid_t pid = leader_pid(process);
    return pid <= 1 ? 0 : outcome(kill(pid, signal_number), "kill", process, err);
}

/* True when the leader's number belongs to somebody else by now. A zombie is still the leader
 * itself: its exit is in the log before it is reaped. */
static bool is_reused(const struct process *process, pid_t pid)
{
    return has_exited(process) && (kill(pid, 0) == 0 || errno != ESRCH) && !proctree_is_zombie(pid);
}

static int send_to_group(const struct process *process, int signal_number, struct nsp_error *err)
{
    pid_t pid = leader_pid(process);
    if (pid <= 1 || is_reused(process, pid))
        return 0;
    int result = outcome(kill(-pid, signal_number), "kill", process, err);
    /* A new process may not have got round to leading its group yet. */
    return result == 0 ? send_to_leader(process, signal_number, err) : result;
}

/* The tree is kept for KILL: who survives the first signal may have lost all ties by then. */
static int send_to_tree(struct process *process, int signal_number, unsigned *ret_sent,
                        struct nsp_error *err)
{
    pid_t pid = leader_pid(process);
    return proctree_signal(&process->tree, is_reused(process, pid) ? 0 : pid, signal_number,
                           ret_sent, err);
}

static int send_to(struct process *process, int signal_number, enum signals_scope scope,
                   unsigned *ret_sent, struct nsp_error *err)
{
    unsigned sent = 0;
    int result;
    if (scope == SIGNALS_TREE) {
        result = send_to_tree(process, signal_number, &sent, err);
    } else {
        result = scope == SIGNALS_GROUP ? send_to_group(process, signal_number, err)
                                        : send_to_leader(process, signal_number, err);
        sent = result > 0;
    }
    if (result < 0)
        return -1;
    *ret_sent = sent;
    return 0;
}

int signals_send(struct process *process, int signal_number, enum signals_scope scope,
                 unsigned *ret_sent, struct nsp_error *err)
{
    int result = send_to(process, signal_number, scope, ret_sent, err);
    if (process->record->kill_at == 0)
        proctree_done(&process->tree);
    return result;
}

/* The wider scope and the earlier time prevail. */
static void set_kill(struct table_record *record, enum signals_scope scope, uint64_t kill_at)
{
    if (record->kill_at == 0 || scope > record->kill_scope)
        record->kill_scope = (uint8_t)scope;
    TABLE_IN_ORDER();
    if (record->kill_at == 0 || kill_at < record->kill_at)
        record->kill_at = kill_at;
}

int signals_kill(struct process *process, int signal_number, enum signals_scope scope,
                 uint64_t grace_ms, struct nsp_error *err)
{
    unsigned sent;
    struct table_record *record = process->record;
    uint64_t before = record->kill_at;
    if (signal_number != SIGKILL)
        set_kill(record, scope, clock_now_ns() + grace_ms * CLOCK_NS_PER_MS);
    /* Stored first: who dies between the two leaves the KILL to a successor. */
    TABLE_IN_ORDER();
    int result = send_to(process, signal_number, scope, &sent, err);
    if (result < 0 || (sent == 0 && process_is_exited(process)))
        record->kill_at = before;
    deadlines_arm(process);
    return result;
}
