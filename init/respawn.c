#include "init/respawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/handover/storewire.h"
#include "agent/os/descriptors.h"
#include "agent/os/rawcall.h"
#include "agent/os/rlimit.h"
#include "protocol/cleanup.h"

enum {
    NOT_STARTED = 127,
    KERNEL_SIGNALS = 64,
    KERNEL_SIGSET_BYTES = 8,
    /* Few enough messages in flight that their descriptors stay below the smallest RLIMIT_NOFILE in
     * use, 1,024: beyond it an unprivileged sender gets ETOOMANYREFS (unix(7)). */
    SEND_BUFFER_BYTES = 24576,
};

static int make_socketpair(int *ret_ours, int *ret_agents, struct nsp_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "socketpair", NULL);
    AUTO_FD int ours = ends[0];
    AUTO_FD int agents = ends[1];
    int size = SEND_BUFFER_BYTES;
    if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0 ||
        setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0 ||
        setsockopt(agents, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "setsockopt", NULL);
    *ret_ours = STEAL_FD(ours);
    *ret_agents = STEAL_FD(agents);
    return 0;
}

/* All of the kernel's signals, also the two that libc hides (nptl(7)). */
static void reset_signals(const sigset_t *mask)
{
    static const uint64_t default_action[8]; /* the kernel's structure: SIG_DFL, nothing else */
    for (int number = 1; number <= KERNEL_SIGNALS; number++)
        rawcall(SYS_rt_sigaction, number, (long)default_action, 0, KERNEL_SIGSET_BYTES);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

/* In the child. A session of its own keeps a terminal's signals from the agent: the supervisor
 * tells it when to end. */
__attribute__((noreturn)) static void become_agent(const struct respawn *respawn, int socket)
{
    const int fds[STOREWIRE_FD_COUNT] = {
        socket,           respawn->wake_fd, respawn->claims_fd, respawn->exits_fd,
        respawn->kick_fd, respawn->boot_fd, respawn->log_fd};
    const struct rlimit *nofile = rlimit_original_nofile();
    int binary_fd = fcntl(respawn->binary_fd, F_DUPFD_CLOEXEC, DESCRIPTORS_ABOVE);

    /* What is said from now on is the agent's, and the supervisor may be writing its own lines. */
    if (respawn->log_fd >= 0)
        log_share(respawn->log_fd, LOG_AREA_AGENT, NULL);
    setsid();
    if (binary_fd >= 0 && descriptors_place(fds, STOREWIRE_FD_COUNT, STOREWIRE_FD_SOCKET) == 0 &&
        (!nofile || setrlimit(RLIMIT_NOFILE, nofile) == 0)) {
        reset_signals(&respawn->signal_mask);
        syscall(SYS_execveat, binary_fd, "", respawn->argv, environ, AT_EMPTY_PATH);
    }
    log_write(LOG_ERROR, "the agent cannot be executed", "errno=%s", nsp_errno_name(errno));
    _exit(NOT_STARTED);
}

int respawn_start(const struct respawn *respawn, pid_t *ret_agent, int *ret_socket,
                  struct nsp_error *err)
{
    AUTO_FD int ours = -1;
    AUTO_FD int agents = -1;
    if (make_socketpair(&ours, &agents, err) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, errno, "fork", NULL);
    if (pid == 0)
        become_agent(respawn, agents);
    *ret_agent = pid;
    *ret_socket = STEAL_FD(ours);
    return 0;
}
