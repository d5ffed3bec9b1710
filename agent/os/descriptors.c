#include "agent/os/descriptors.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum { FIRST_OTHER_FD = 3, OLD_KERNEL_FDS = 1024 };

/* Where /dev is not there yet a directory will do: it can neither be read nor written. */
void descriptors_open_standard(void)
{
    for (int fd = 0; fd < FIRST_OTHER_FD; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (open("/dev/null", O_RDWR) < 0 && open("/", O_RDONLY | O_DIRECTORY) < 0)
            return;
    }
}

void descriptors_unblock_terminal(void)
{
    if (!isatty(STDERR_FILENO))
        return;
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    dup2(fd, STDERR_FILENO);
    close(fd);
}

void descriptors_close_others_on_exec(void)
{
    if (syscall(SYS_close_range, FIRST_OTHER_FD, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = FIRST_OTHER_FD; fd < OLD_KERNEL_FDS; fd++) /* before Linux 5.11 */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int descriptors_place(const int *fds, int count, int first)
{
    int moved[DESCRIPTORS_ABOVE];
    for (int i = 0; i < count; i++) {
        moved[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, DESCRIPTORS_ABOVE);
        if (fds[i] >= 0 && moved[i] < 0)
            return -1;
    }
    for (int i = 0; i < count; i++)
        if (moved[i] >= 0 && dup2(moved[i], first + i) < 0)
            return -1;
    return 0;
}
