#include "init/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/os/descriptors.h"
#include "agent/os/memfd.h"
#include "agent/os/oomshield.h"
#include "agent/os/rlimit.h"
#include "protocol/cleanup.h"

enum { FIRST_OTHER_FD = 3 };

void setup_process(bool pid1)
{
    descriptors_open_standard();
    descriptors_unblock_terminal();
    descriptors_close_others_on_exec();
    if (pid1)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* out of reach of ptrace(2) for all but root */
    else if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        log_warn("not a child subreaper", "errno=%s", nsp_errno_name(errno));
    rlimit_raise_nofile();
    oomshield_open(OOMSHIELD_PROTECTED, OOMSHIELD_EXPOSED);
    oomshield_close(); /* the value stays; the agent looks after its own */
}

int setup_signals(bool pid1, int *ret_signal_fd, sigset_t *ret_mask, struct nsp_error *err)
{
    struct sigaction hangup;
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGPWR);
    sigaddset(&handled, SIGUSR1);
    /* nohup(1) has it ignored, and that is to stay so. */
    if (pid1)
        signal(SIGHUP, SIG_IGN);
    else if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&handled, SIGHUP);

    signal(SIGCHLD, SIG_DFL); /* ignored, the kernel itself would reap, without a record */
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &handled, ret_mask) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "sigprocmask", NULL);
    if (pid1) /* what it was started with is nobody's wish */
        sigemptyset(ret_mask);
    int fd = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "signalfd", NULL);
    *ret_signal_fd = fd;
    return 0;
}

int setup_binary(int binary_fd, int *ret_fd, struct nsp_error *err)
{
    int fd = binary_fd >= 0 ? fcntl(binary_fd, F_DUPFD_CLOEXEC, FIRST_OTHER_FD)
                            : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", "/proc/self/exe");
    *ret_fd = fd;
    return 0;
}

int setup_log(void)
{
    AUTO_FD int fd = -1;
    struct nsp_error err = NSP_ERROR_INIT;
    if (memfd_new("log", LOG_SHARED_BYTES, &fd, &err) < 0 ||
        log_share(fd, LOG_AREA_SUPERVISOR, &err) < 0) {
        log_error(LOG_WARN, "the log does not outlive an agent", &err);
        return -1;
    }
    return STEAL_FD(fd);
}
