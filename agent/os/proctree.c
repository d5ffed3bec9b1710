/* A snapshot of all (pid, ppid, session) is taken, and those reachable from the root are marked
 * until nothing changes. Several snapshots, since processes come and go between readings. */
#include "agent/os/proctree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/os/procstat.h"
#include "protocol/cleanup.h"

enum { MOST_PROCESSES = 65536, ROUNDS = 4 };

struct entry {
    pid_t pid, parent, session;
    bool is_member;
};

struct snapshot {
    struct entry *entries;
    size_t count, capacity;
};

static int add(struct snapshot *snapshot, struct entry entry, struct nsp_error *err)
{
    if (snapshot->count == snapshot->capacity) {
        size_t capacity = snapshot->capacity ? 2 * snapshot->capacity : 256;
        struct entry *entries =
            capacity > MOST_PROCESSES
                ? NULL
                : reallocarray(snapshot->entries, capacity, sizeof *snapshot->entries);
        if (!entries)
            return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "too many processes to look at");
        snapshot->entries = entries;
        snapshot->capacity = capacity;
    }
    snapshot->entries[snapshot->count++] = entry;
    return 0;
}

/* 0 when the process is gone or hidden from us, 1 when it is there. */
static int read_entry(int proc, const char *name, struct entry *ret_entry, struct nsp_error *err)
{
    struct procstat status;
    int result = procstat_read(proc, name, &status, err);
    if (result > 0)
        *ret_entry =
            (struct entry){.pid = atoi(name), .parent = status.parent, .session = status.session};
    return result;
}

static int by_pid(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static bool is_member(const struct snapshot *snapshot, pid_t pid)
{
    const struct entry *entry = snapshot->count == 0
                                    ? NULL
                                    : bsearch(&(struct entry){.pid = pid}, snapshot->entries,
                                              snapshot->count, sizeof *entry, by_pid);
    return entry && entry->is_member;
}

static void sort(struct snapshot *snapshot)
{
    if (snapshot->count > 0)
        qsort(snapshot->entries, snapshot->count, sizeof *snapshot->entries, by_pid);
}

static int take_snapshot(struct snapshot *snapshot, struct nsp_error *err)
{
    DIR *directory = opendir("/proc");
    if (!directory)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "opendir", "/proc");
    snapshot->count = 0;
    int result = 0;
    const struct dirent *item;
    while (result == 0 && (item = readdir(directory))) {
        struct entry entry;
        if (item->d_name[0] < '1' || item->d_name[0] > '9')
            continue;
        result = read_entry(dirfd(directory), item->d_name, &entry, err);
        if (result > 0)
            result = add(snapshot, entry, err);
    }
    closedir(directory);
    sort(snapshot);
    return result;
}

static void mark(struct snapshot *snapshot, pid_t root)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < snapshot->count; i++) {
            struct entry *entry = &snapshot->entries[i];
            if (entry->is_member)
                continue;
            entry->is_member = entry->pid == root || entry->session == root ||
                               is_member(snapshot, entry->parent) ||
                               is_member(snapshot, entry->session);
            changed |= entry->is_member;
        }
    }
}

static void keep(struct proctree *kept, pid_t pid)
{
    if (!kept || kept->count >= PROCTREE_KEPT)
        return;
    int *pidfds = reallocarray(kept->pidfds, kept->count + 1, sizeof *pidfds);
    if (!pidfds)
        return;
    kept->pidfds = pidfds;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0)
        kept->pidfds[kept->count++] = pidfd;
}

static unsigned signal_kept(const struct proctree *kept, int signal_number)
{
    unsigned sent = 0;
    for (size_t i = 0; kept && i < kept->count; i++)
        sent += syscall(SYS_pidfd_send_signal, kept->pidfds[i], signal_number, NULL, 0) == 0;
    return sent;
}

void proctree_done(struct proctree *kept)
{
    for (size_t i = 0; i < kept->count; i++)
        close(kept->pidfds[i]);
    free(kept->pidfds);
    *kept = (struct proctree){0};
}

/* What one call of proctree_signal works on. */
struct hunt {
    struct snapshot now, seen;
    struct proctree *kept, found;
    int signal_number;
    unsigned sent;
    int refused; /* why somebody could not be reached; 0: all could */
};

/* Signals the members that were not seen before. Returns how many there were, -1 on error. */
static int signal_new(struct hunt *hunt, struct nsp_error *err)
{
    int found = 0;
    const struct snapshot before = hunt->seen;
    for (size_t i = 0; i < hunt->now.count; i++) {
        const struct entry *entry = &hunt->now.entries[i];
        const struct snapshot known = {hunt->seen.entries, before.count, before.capacity};
        if (!entry->is_member || is_member(&known, entry->pid))
            continue;
        found++;
        keep(hunt->kept ? &hunt->found : NULL, entry->pid);
        if (kill(entry->pid, hunt->signal_number) == 0)
            hunt->sent++;
        else if (errno != ESRCH)
            hunt->refused = errno;
        if (add(&hunt->seen, *entry, err) < 0)
            return -1;
    }
    sort(&hunt->seen);
    return found;
}

static int run_hunt(struct hunt *hunt, pid_t root, struct nsp_error *err)
{
    int found = 1;
    for (int round = 0; round < ROUNDS && found > 0; round++) {
        if (take_snapshot(&hunt->now, err) < 0)
            return -1;
        mark(&hunt->now, root);
        found = signal_new(hunt, err);
    }
    return found < 0 ? -1 : 0;
}

int proctree_signal(struct proctree *kept, pid_t root, int signal_number, unsigned *ret_sent,
                    struct nsp_error *err)
{
    struct hunt hunt = {.kept = kept, .signal_number = signal_number};
    int result = root > 1 ? run_hunt(&hunt, root, err) : 0;
    /* Kept ones that were found again have the signal already; a second one does them no harm. */
    unsigned old = signal_kept(kept, signal_number);
    if (kept && hunt.found.count > 0) {
        proctree_done(kept);
        *kept = hunt.found;
    } else {
        proctree_done(&hunt.found);
    }
    free(hunt.seen.entries);
    free(hunt.now.entries);
    if (result < 0)
        return -1;
    if (hunt.sent == 0 && old == 0 && hunt.refused != 0)
        return nsp_fail_errno(err, hunt.refused == EPERM ? NSP_E_PERMISSION : NSP_E_SYSTEM,
                              hunt.refused, "kill", NULL);
    *ret_sent = hunt.sent > 0 ? hunt.sent : old;
    return 0;
}

bool proctree_is_zombie(pid_t pid)
{
    char name[16];
    struct procstat status;
    AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(name, sizeof name, "%d", (int)pid);
    return proc >= 0 && procstat_read(proc, name, &status, NULL) > 0 && procstat_is_dead(&status);
}
