/* What the supervisor tells the agent about exits, in two shared memories (memfd_create(2)).
 *
 * claims  written by the agent: which slot of its process table has which pid. The kernel itself
 *         stores the pid there (CLONE_PARENT_SETTID, clone(2)) before the child can run, so a
 *         child can never exit unclaimed. Also how far the agent has read (acked).
 * exits   written by the supervisor, read-only for the agent (F_SEAL_FUTURE_WRITE, fcntl(2)): one
 *         record a slot, and the order in which they came.
 *
 * Life of a slot: the agent sets its generation and clones; on exit the supervisor, while the
 * process is still a zombie (so that its pid cannot be used again), writes the record, takes the
 * claim away, and only then reaps; the agent copies the record into its own table, then acks, and
 * may use the slot again after that. So at most one record a slot is unread and the log cannot
 * overflow; against an agent that breaks this, exitlog_record answers EXITLOG_FULL and the process
 * stays a zombie.
 */
#ifndef AGENT_EXITLOG_H
#define AGENT_EXITLOG_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "protocol/error.h"

enum { EXITLOG_SLOTS = 5120 }; /* PROCESSES running and EXITED kept */

struct exitlog_record {
    uint32_t generation; /* of the claim */
    int32_t pid;
    int32_t code;   /* si_code: CLD_EXITED, CLD_KILLED, CLD_DUMPED */
    int32_t status; /* si_status: exit code, or signal number */
    uint64_t user_us, system_us;
    uint64_t max_rss_kib;
    uint64_t exited_ns;     /* clock_now_ns() */
    int64_t exited_unix_ms; /* clock_unix_ms() */
};

struct exitlog;

enum exitlog_verdict { EXITLOG_RECORDED, EXITLOG_UNTRACKED, EXITLOG_FULL };

/* Supervisor: makes both memories and maps them. The descriptors are the caller's. */
int exitlog_create(struct exitlog **ret_log, int *ret_claims_fd, int *ret_exits_fd,
                   struct nsp_error *err);
/* Agent: maps what it inherited. Sizes are checked; the descriptors stay the caller's. */
int exitlog_open(int claims_fd, int exits_fd, struct exitlog **ret_log, struct nsp_error *err);
void exitlog_free(struct exitlog *log);

/* Supervisor, with the process still a zombie: see above. */
enum exitlog_verdict exitlog_record(struct exitlog *log, const siginfo_t *info,
                                    const struct rusage *usage);

/* Agent: before the clone. Sets the generation and returns where the kernel has to put the pid. */
pid_t *exitlog_claim(struct exitlog *log, unsigned slot, uint32_t generation);
/* Agent: the clone failed, nothing runs. */
void exitlog_unclaim(struct exitlog *log, unsigned slot);
/* The pid that a slot claims now; 0 when none. */
pid_t exitlog_claimed(const struct exitlog *log, unsigned slot);
/* The pid of the slot's process of that generation, also when it has exited and its claim is gone
 * already; 0 when there was none. */
pid_t exitlog_pid(const struct exitlog *log, unsigned slot, uint32_t generation);
uint32_t exitlog_generation(const struct exitlog *log, unsigned slot);

/* Agent: the oldest unacknowledged exit; false when there is none. Does not advance. */
bool exitlog_peek(const struct exitlog *log, unsigned *ret_slot, struct exitlog_record *ret_record);
/* Agent: an exit of the slot is there and not acknowledged yet. */
bool exitlog_is_pending(const struct exitlog *log, unsigned slot);
/* Agent: the peeked record is safe in our own table. */
void exitlog_ack(struct exitlog *log);

#endif
