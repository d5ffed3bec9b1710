#include "agent/os/procstat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum { STAT_BYTES = 512, KERNEL_THREAD = 0x00200000 /* PF_KTHREAD */ };

/* The command name may hold anything, so the fields are counted from the last parenthesis. */
int procstat_read(int proc_fd, const char *name, struct procstat *ret_status, struct nsp_error *err)
{
    char path[32], text[STAT_BYTES];
    struct procstat status;
    snprintf(path, sizeof path, "%.16s/stat", name);
    AUTO_FD int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = -1;
    while (fd >= 0 && (length = read(fd, text, sizeof text - 1)) < 0 && errno == EINTR)
        continue;
    if (length < 0 && errno != ENOENT && errno != ESRCH && errno != EACCES && errno != EPERM)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, fd < 0 ? "openat" : "read", path);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest + 1, " %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld",
               &status.state, &status.parent, &status.group, &status.session, &status.flags,
               &status.threads) != 6)
        return 0;
    *ret_status = status;
    return 1;
}

bool procstat_is_dead(const struct procstat *status)
{
    return status->state == 'X' || (status->state == 'Z' && status->threads <= 1);
}

bool procstat_is_kernel_thread(const struct procstat *status)
{
    return (status->flags & KERNEL_THREAD) != 0;
}
