#include "init/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/os/oomshield.h"
#include "agent/os/rlimit.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum { FIRST_OTHER_FD = 3, OLD_KERNEL_FDS = 1024 };

/* Otherwise a socket of ours could become somebody's standard output. Where /dev is not there yet a
 * directory will do: it can neither be read nor written. */
static void open_standard_descriptors(void)
{
    for (int fd = 0; fd < FIRST_OTHER_FD; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (open("/dev/null", O_RDWR) < 0 && open("/", O_RDONLY | O_DIRECTORY) < 0)
            return;
    }
}

static void close_others_on_exec(void)
{
    if (syscall(SYS_close_range, FIRST_OTHER_FD, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = FIRST_OTHER_FD; fd < OLD_KERNEL_FDS; fd++) /* before Linux 5.11 */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void setup_process(bool pid1)
{
    open_standard_descriptors();
    close_others_on_exec();
    if (!pid1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        log_warn("not a child subreaper", "errno=%s", nsp_errno_name(errno));
    rlimit_raise_nofile();
    oomshield_open(OOMSHIELD_PROTECTED, OOMSHIELD_EXPOSED);
    oomshield_close(); /* the value stays; the agent looks after its own */
}

int setup_signals(int *ret_signal_fd, sigset_t *ret_mask, struct nsp_error *err)
{
    struct sigaction hangup;
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    /* nohup(1) has it ignored, and that is to stay so. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&handled, SIGHUP);

    signal(SIGCHLD, SIG_DFL); /* ignored, the kernel itself would reap, without a record */
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &handled, ret_mask) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "sigprocmask", NULL);
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

int setup_wake(int *ret_fd, struct nsp_error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "eventfd", NULL);
    *ret_fd = fd;
    return 0;
}

int setup_arguments(int argc, char *const *argv, char *const **ret_argv, struct nsp_error *err)
{
    static char program[] = "nullspace-agent", role[] = "agent";
    char **all = calloc((size_t)argc + 3, sizeof *all);
    if (!all)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for %d arguments", argc);
    all[0] = program;
    all[1] = role;
    for (int i = 0; i < argc; i++)
        all[2 + i] = argv[i];
    *ret_argv = all;
    return 0;
}
