#include "agent/machine/sweep.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/os/procstat.h"
#include "protocol/cleanup.h"

enum { ENTRIES_BYTES = 8192 };

/* What the kernel's getdents64(2) gives. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static bool is_claimed(const struct exitlog *log, pid_t pid)
{
    for (unsigned slot = 0; pid > 1 && slot < EXITLOG_SLOTS; slot++)
        if (exitlog_claimed(log, slot) == pid)
            return true;
    return false;
}

static bool is_left(const struct sweep *sweep, pid_t pid, const struct procstat *status)
{
    if (pid <= 1 || pid == getpid() || pid == sweep->agent || procstat_is_dead(status) ||
        procstat_is_kernel_thread(status))
        return false;
    return sweep->everything || status->parent == getpid() || is_claimed(sweep->log, pid) ||
           is_claimed(sweep->log, status->group);
}

static unsigned signal_one(const struct sweep *sweep, int proc, const char *name, int number)
{
    struct procstat status;
    pid_t pid = (pid_t)strtol(name, NULL, 10);
    if (name[0] < '0' || name[0] > '9' || procstat_read(proc, name, &status, NULL) <= 0 ||
        !is_left(sweep, pid, &status))
        return 0;
    /* An orphan takes the group that it leads with it. */
    pid_t target = !sweep->everything && status.group == pid ? -pid : pid;
    if (number != 0) {
        kill(target, number);
        kill(target, SIGCONT);
    }
    return 1;
}

static unsigned signal_claimed(const struct sweep *sweep, int number)
{
    unsigned sent = 0;
    for (unsigned slot = 0; slot < EXITLOG_SLOTS; slot++) {
        pid_t pid = exitlog_claimed(sweep->log, slot);
        if (pid > 1 && kill(-pid, number) == 0)
            sent++;
    }
    return sent;
}

/* Mounted, and that of our own PID namespace: in another's the numbers are of other processes. */
static bool is_our_proc(int fd)
{
    char text[16];
    ssize_t length = readlinkat(fd, "self", text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    return length > 0 && strtol(text, NULL, 10) == getpid();
}

unsigned sweep_signal(const struct sweep *sweep, int number)
{
    char entries[ENTRIES_BYTES] __attribute__((aligned(8)));
    unsigned found = 0;
    long length;
    AUTO_FD int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !is_our_proc(fd))
        return signal_claimed(sweep, number);
    while ((length = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0)
        for (long at = 0; at < length;) {
            const struct entry *entry = (const struct entry *)(entries + at);
            found += signal_one(sweep, fd, entry->name, number);
            at += entry->length;
        }
    return found;
}
