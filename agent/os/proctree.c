/* A snapshot of all (pid, ppid, session) is taken, and those reachable from the root are marked until
 * nothing changes. Several snapshots, since processes come and go between readings. */
#include "agent/os/proctree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* False when the process is gone. The command name may contain anything, so the fields are counted
 * from the last parenthesis. */
static bool read_entry(int proc, const char *name, struct entry *ret_entry)
{
    char path[32], text[512];
    snprintf(path, sizeof path, "%.16s/stat", name);
    AUTO_FD int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    if (length <= 0)
        return false;
    text[length] = '\0';
    const char *rest = strrchr(text, ')');
    int parent, group, session;
    if (!rest || sscanf(rest, ") %*c %d %d %d", &parent, &group, &session) != 3)
        return false;
    *ret_entry = (struct entry){.pid = atoi(name), .parent = parent, .session = session};
    return true;
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
        if (item->d_name[0] >= '1' && item->d_name[0] <= '9' &&
            read_entry(dirfd(directory), item->d_name, &entry))
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

/* Signals the members that were not seen before. Returns how many there were, -1 on error. */
static int signal_new(const struct snapshot *now, struct snapshot *seen, int signal_number,
                      unsigned *sent, struct nsp_error *err)
{
    int found = 0;
    size_t seen_before = seen->count;
    for (size_t i = 0; i < now->count; i++) {
        const struct entry *entry = &now->entries[i];
        const struct snapshot before = {seen->entries, seen_before, seen->capacity};
        if (!entry->is_member || is_member(&before, entry->pid))
            continue;
        found++;
        *sent += kill(entry->pid, signal_number) == 0;
        if (add(seen, *entry, err) < 0)
            return -1;
    }
    sort(seen);
    return found;
}

int proctree_signal(pid_t root, int signal_number, unsigned *ret_sent, struct nsp_error *err)
{
    struct snapshot seen = {0}, now = {0};
    unsigned sent = 0;
    int found = 1;
    for (int round = 0; round < ROUNDS && found > 0; round++) {
        found = take_snapshot(&now, err);
        if (found < 0)
            break;
        mark(&now, root);
        found = signal_new(&now, &seen, signal_number, &sent, err);
    }
    free(seen.entries);
    free(now.entries);
    if (found < 0)
        return -1;
    *ret_sent = sent;
    return 0;
}
