/* Calls that fail on purpose: the linker (--wrap) puts a stand-in into the place of every call in
 * fault.def, also in the static libraries. A plan says which of them fail, and how.
 *
 * A unit test sets the plan itself. A program finds the file of its plan by NSP_FAULT_PLAN and maps
 * it, so that a test can change it and look at it while the program, or its successor, runs; role
 * then chooses between the agent and the supervisor, which share the file. With NSP_FAULT_TRACE a
 * sanitized program logs a stack trace for each failure. With NSP_FAULT_COPY new processes begin as
 * copies and share no memory: valgrind(1) knows no other ones.
 */
#ifndef TESTS_SUPPORT_FAULT_H
#define TESTS_SUPPORT_FAULT_H

#include <stdint.h>

enum fault_kind {
    FAULT_ALLOC = 1 << 0,
    FAULT_READ = 1 << 1,
    FAULT_WRITE = 1 << 2,
    FAULT_SPLICE = 1 << 3,
    FAULT_ACCEPT = 1 << 4,
    FAULT_FD = 1 << 5, /* new descriptors */
    FAULT_EPOLL = 1 << 6,
    FAULT_MAP = 1 << 7,
    FAULT_CLONE = 1 << 8,
    FAULT_WAIT = 1 << 9,
    FAULT_OTHER = 1 << 10,
};

/* Instead of an error: SIGKILL at this very call, before the kernel has seen it or as the first
 * thing after. */
enum fault_death { FAULT_DIE_BEFORE = -1, FAULT_DIE_AFTER = -2 };

enum fault_role { FAULT_SUPERVISOR = 1, FAULT_AGENT = 2 };

/* Of the calls of these kinds, counted from 1, the ones numbered first, first + every, ... fail, at
 * most count of them. The layout is also known to tests/integration/support/fault.py. */
struct fault_plan {
    uint32_t kinds; /* 0: nothing fails, nothing is counted */
    uint32_t role;
    int32_t error; /* an errno; 0: the call moves only a part of the bytes, where it can; or one
                      of enum fault_death */
    uint32_t unused;
    uint64_t first, every;
    uint64_t count;        /* 0: no end */
    uint64_t seen, failed; /* calls so far; counted here */
};

/* For unit tests, which are both roles. every is 1, count too. */
void fault_arm(uint32_t kinds, int error, uint64_t first);
/* Returns how many calls have failed. */
uint64_t fault_disarm(void);

#endif
