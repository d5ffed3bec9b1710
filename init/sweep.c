#include "init/sweep.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum { READ_BYTES = 4096 };

static void signal_child(pid_t pid, int number)
{
    /* 0, 1 and -1 would reach others; the claims are not our own memory. */
    if (pid <= 1 || pid == getpid())
        return;
    pid_t target = getpgid(pid) == pid ? -pid : pid;
    kill(target, number);
    kill(target, SIGCONT);
}

static bool is_claimed(const struct exitlog *log, pid_t pid)
{
    for (unsigned slot = 0; slot < EXITLOG_SLOTS; slot++)
        if (exitlog_claimed(log, slot) == pid)
            return true;
    return false;
}

/* One signal each: who is in the group of a claimed process has had it. */
static void signal_orphan(const struct exitlog *log, pid_t pid, int number)
{
    if (pid > 1 && !is_claimed(log, pid) && !is_claimed(log, getpgid(pid)))
        signal_child(pid, number);
}

/* Numbers separated by spaces, however many; one may cross two reads. */
static void signal_orphans(const struct exitlog *log, int number)
{
    AUTO_FD int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    char text[READ_BYTES];
    ssize_t length;
    pid_t pid = 0;
    while (fd >= 0 && (length = read(fd, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < length; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else {
                signal_orphan(log, pid, number);
                pid = 0;
            }
        }
    }
    signal_orphan(log, pid, number);
}

void sweep_signal(const struct exitlog *log, int number)
{
    if (getpid() == 1) {
        kill(-1, number);
        kill(-1, SIGCONT);
        return;
    }
    for (unsigned slot = 0; slot < EXITLOG_SLOTS; slot++)
        signal_child(exitlog_claimed(log, slot), number);
    signal_orphans(log, number);
}
