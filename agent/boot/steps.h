/* The agent's own part of the boot, from when it listens: short steps, each in a turn of the loop
 * of its own, so that calls are answered between them; each noted in the boot report.
 *
 * What the report has already is not done again: an agent that takes over goes on where the last
 * one was, and leaves out the step in which that one died. Services and the announcement to the
 * host belong to every agent and are exempt. A step that fails holds up no other.
 */
#ifndef AGENT_BOOT_STEPS_H
#define AGENT_BOOT_STEPS_H

#include "agent/boot/config.h"
#include "agent/boot/services.h"
#include "agent/handover/bootreport.h"

/* All pointers are borrowed and outlive the steps. */
struct steps_config {
    struct loop *loop;
    struct bootreport *report; /* may be NULL: then every step is done */
    const struct config *config;
    const char *config_path; /* of config, for a process that reads it again */
    struct processes *set;
    struct services *services; /* begun by a step; NULL: none */
    bool is_guest;             /* PID 1 of a machine: the steps that change it */
    const char *program;       /* our own, executed again by a step; NULL: /proc/self/exe */
    char *const *environment;  /* for that */
    const char *boot_id;       /* for the announcement: */
    uint32_t vsock_port;       /* where this agent listens; 0: not on vsock */
    /* Brings the network up as configured; NULL stands for lo only. */
    int (*network)(const struct network *network, struct nsp_error *err);
};

struct steps;

/* The first step comes with the next turn of the loop. EXHAUSTED. */
int steps_start(const struct steps_config *config, struct steps **ret_steps, struct nsp_error *err);
/* All have been begun, and none is still under way but the announcement. */
bool steps_are_done(const struct steps *steps);
/* Steps that are under way stay so in the report. NULL is fine. */
void steps_free(struct steps *steps);

#endif
