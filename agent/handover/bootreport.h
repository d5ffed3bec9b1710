/* What happened at boot, step by step: shared memory that supervisor and agent write and that
 * outlives an agent, so that a successor knows what has been done and the host can read what
 * failed.
 *
 * A step is written by one process. One that was RUNNING when its agent died is INTERRUPTED: it is
 * not tried again, so that a step which kills the agent does so once.
 */
#ifndef AGENT_BOOTREPORT_H
#define AGENT_BOOTREPORT_H

#include <stdint.h>

#include "protocol/error.h"

enum { BOOTREPORT_STEPS = 128, BOOTREPORT_NAME = 24, BOOTREPORT_DETAIL = 216 };

enum bootreport_state {
    BOOTREPORT_RUNNING,
    BOOTREPORT_DONE,
    BOOTREPORT_SKIPPED, /* not asked for, or there already */
    BOOTREPORT_FAILED,
    BOOTREPORT_INTERRUPTED,
    BOOTREPORT_STATE_COUNT
};

struct bootreport_step {
    char name[BOOTREPORT_NAME];
    uint32_t state;
    int32_t code;                   /* enum nsp_code of a failure; 0: none */
    int32_t sys_errno;              /* 0: none */
    uint32_t by_agent;              /* 0: the supervisor's */
    uint64_t started_ns, ended_ns;  /* CLOCK_BOOTTIME */
    char detail[BOOTREPORT_DETAIL]; /* one line for people; may be empty */
};

struct bootreport;

/* *ret_fd: the memfd(2) to hand on, the caller's. */
int bootreport_create(struct bootreport **ret_report, int *ret_fd, struct nsp_error *err);
/* Maps one that was made before; fd is borrowed. */
int bootreport_open(int fd, struct bootreport **ret_report, struct nsp_error *err);
void bootreport_close(struct bootreport *report);

/* NULL when there is no room: all functions accept it. name: cut at BOOTREPORT_NAME - 1. */
struct bootreport_step *bootreport_begin(struct bootreport *report, const char *name, int by_agent);
/* err counts for FAILED: its message follows the detail, which may be NULL or empty. */
void bootreport_end(struct bootreport_step *step, enum bootreport_state state, const char *detail,
                    const struct nsp_error *err);

const struct bootreport_step *bootreport_find(const struct bootreport *report, const char *name);
unsigned bootreport_count(const struct bootreport *report);
const struct bootreport_step *bootreport_at(const struct bootreport *report, unsigned number);
/* Steps of an agent that are RUNNING become INTERRUPTED. For an agent that starts. */
void bootreport_interrupt(struct bootreport *report);
/* The first INTERRUPTED step of that name is RUNNING again, for what a successor goes on with.
 * NULL: there is none. */
struct bootreport_step *bootreport_resume(struct bootreport *report, const char *name);
/* Steps for which there was no room. */
unsigned bootreport_lost(const struct bootreport *report);
const char *bootreport_state_name(enum bootreport_state state);

#endif
