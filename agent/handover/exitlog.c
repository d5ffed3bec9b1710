/* Counters only grow, and each has one writer: written is the supervisor's, acked the agent's. An
 * exit with sequence number n (from 1) is unread while n > acked.
 *
 * Order of the supervisor's stores, each a release: the record, then written, then the claim is
 * taken away. So who finds a slot without claim finds its record as well. The claim is taken by
 * compare-and-exchange, since the agent may have read the record and claimed the slot anew by then;
 * the new pid differs, because the old one is a zombie until exitlog_record has returned. */
#include "agent/handover/exitlog.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "agent/base/clock.h"
#include "agent/os/memfd.h"
#include "protocol/cleanup.h"

/* Agent's: the supervisor trusts none of it. Pids lie together, since each exit searches them. */
struct claims {
    _Atomic uint64_t acked;
    _Atomic(pid_t) pids[EXITLOG_SLOTS];
    _Atomic uint32_t generations[EXITLOG_SLOTS];
};

struct entry {
    uint64_t sequence; /* of the last exit of this slot; 0: none yet */
    struct exitlog_record record;
};

struct exits {
    _Atomic uint64_t written;
    uint32_t order[EXITLOG_SLOTS]; /* slot of exit n at (n - 1) % EXITLOG_SLOTS */
    struct entry entries[EXITLOG_SLOTS];
};

struct exitlog {
    struct claims *claims;
    struct exits *exits; /* read-only for the agent */
};

static int map(int fd, size_t size, int protection, void **ret_memory, struct nsp_error *err)
{
    void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, errno, "mmap", "exit log");
    *ret_memory = memory;
    return 0;
}

static int map_both(int claims_fd, int exits_fd, int exits_protection, struct exitlog **ret_log,
                    struct nsp_error *err)
{
    struct exitlog *log = calloc(1, sizeof *log);
    if (!log)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the exit log");
    if (map(claims_fd, sizeof *log->claims, PROT_READ | PROT_WRITE, (void **)&log->claims, err) <
            0 ||
        map(exits_fd, sizeof *log->exits, exits_protection, (void **)&log->exits, err) < 0) {
        exitlog_free(log);
        return -1;
    }
    *ret_log = log;
    return 0;
}

int exitlog_create(struct exitlog **ret_log, int *ret_claims_fd, int *ret_exits_fd,
                   struct nsp_error *err)
{
    AUTO_FD int claims_fd = -1;
    AUTO_FD int exits_fd = -1;
    struct exitlog *log;
    if (memfd_new("claims", sizeof(struct claims), &claims_fd, err) < 0 ||
        memfd_new("exits", sizeof(struct exits), &exits_fd, err) < 0 ||
        map_both(claims_fd, exits_fd, PROT_READ | PROT_WRITE, &log, err) < 0)
        return -1;
    memfd_forbid_new_writers(exits_fd);
    *ret_log = log;
    *ret_claims_fd = STEAL_FD(claims_fd);
    *ret_exits_fd = STEAL_FD(exits_fd);
    return 0;
}

int exitlog_open(int claims_fd, int exits_fd, struct exitlog **ret_log, struct nsp_error *err)
{
    if (memfd_check(claims_fd, sizeof(struct claims), err) < 0 ||
        memfd_check(exits_fd, sizeof(struct exits), err) < 0)
        return -1;
    return map_both(claims_fd, exits_fd, PROT_READ, ret_log, err);
}

void exitlog_free(struct exitlog *log)
{
    if (!log)
        return;
    if (log->claims)
        munmap(log->claims, sizeof *log->claims);
    if (log->exits)
        munmap(log->exits, sizeof *log->exits);
    free(log);
}

/* EXITLOG_SLOTS when no slot claims the pid. */
static unsigned slot_of(const struct exitlog *log, pid_t pid)
{
    unsigned slot = 0;
    while (slot < EXITLOG_SLOTS &&
           atomic_load_explicit(&log->claims->pids[slot], memory_order_relaxed) != pid)
        slot++;
    return slot;
}

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

enum exitlog_verdict exitlog_record(struct exitlog *log, const siginfo_t *info,
                                    const struct rusage *usage)
{
    unsigned slot = slot_of(log, info->si_pid);
    if (slot == EXITLOG_SLOTS)
        return EXITLOG_UNTRACKED;
    struct entry *entry = &log->exits->entries[slot];
    if (entry->sequence > atomic_load_explicit(&log->claims->acked, memory_order_acquire))
        return EXITLOG_FULL;

    uint64_t sequence = atomic_load_explicit(&log->exits->written, memory_order_relaxed) + 1;
    entry->record = (struct exitlog_record){
        .generation = atomic_load_explicit(&log->claims->generations[slot], memory_order_relaxed),
        .pid = info->si_pid,
        .code = info->si_code,
        .status = info->si_status,
        .user_us = microseconds(usage->ru_utime),
        .system_us = microseconds(usage->ru_stime),
        .max_rss_kib = (uint64_t)usage->ru_maxrss,
        .exited_ns = clock_now_ns(),
        .exited_unix_ms = clock_unix_ms(),
    };
    entry->sequence = sequence;
    log->exits->order[(sequence - 1) % EXITLOG_SLOTS] = slot;
    atomic_store_explicit(&log->exits->written, sequence, memory_order_release);

    pid_t claimed = info->si_pid;
    atomic_compare_exchange_strong_explicit(&log->claims->pids[slot], &claimed, 0,
                                            memory_order_release, memory_order_relaxed);
    return EXITLOG_RECORDED;
}

pid_t *exitlog_claim(struct exitlog *log, unsigned slot, uint32_t generation)
{
    atomic_store_explicit(&log->claims->generations[slot], generation, memory_order_relaxed);
    /* A store, so that the page is there: the kernel does not tell when it cannot write the pid. */
    atomic_store_explicit(&log->claims->pids[slot], 0, memory_order_release);
    return (pid_t *)&log->claims->pids[slot];
}

void exitlog_unclaim(struct exitlog *log, unsigned slot)
{
    atomic_store_explicit(&log->claims->pids[slot], 0, memory_order_release);
}

pid_t exitlog_claimed(const struct exitlog *log, unsigned slot)
{
    return atomic_load_explicit(&log->claims->pids[slot], memory_order_acquire);
}

uint32_t exitlog_generation(const struct exitlog *log, unsigned slot)
{
    return atomic_load_explicit(&log->claims->generations[slot], memory_order_relaxed);
}

bool exitlog_peek(const struct exitlog *log, unsigned *ret_slot, struct exitlog_record *ret_record)
{
    uint64_t acked = atomic_load_explicit(&log->claims->acked, memory_order_relaxed);
    if (acked >= atomic_load_explicit(&log->exits->written, memory_order_acquire))
        return false;
    unsigned slot = log->exits->order[acked % EXITLOG_SLOTS];
    *ret_slot = slot;
    *ret_record = log->exits->entries[slot].record;
    return true;
}

void exitlog_ack(struct exitlog *log)
{
    atomic_fetch_add_explicit(&log->claims->acked, 1, memory_order_release);
}

bool exitlog_is_pending(const struct exitlog *log, unsigned slot)
{
    return log->exits->entries[slot].sequence >
           atomic_load_explicit(&log->claims->acked, memory_order_relaxed);
}

pid_t exitlog_pid(const struct exitlog *log, unsigned slot, uint32_t generation)
{
    pid_t pid = exitlog_claimed(log, slot);
    if (exitlog_generation(log, slot) != generation)
        return 0;
    const struct exitlog_record *record = &log->exits->entries[slot].record;
    return pid > 0 ? pid : record->generation == generation ? record->pid : 0;
}
