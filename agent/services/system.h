/* Methods about the agent itself: hello, ping, info, stats, rpc.discover, cancel. */
#ifndef AGENT_SYSTEM_H
#define AGENT_SYSTEM_H

#include <stdint.h>
#include <sys/types.h>

#include "agent/rpc/dispatch.h"

struct session_server;
struct system_service;

/* Writes members of its own into the answer of stats; called for each stats request. */
struct system_stats {
    void (*write)(void *arg, struct reply *reply);
    void *arg;
};

/* What only the start knows. Everything pointed to must outlive the service. */
struct system_facts {
    const char *version;             /* of the agent */
    const char *boot_id;             /* hostinfo_boot_id */
    uint64_t generation;             /* how often the agent was started in this boot, from 1 */
    const char *mode;                /* "pid1" or "subreaper" */
    pid_t supervisor;                /* its pid */
    uint64_t started_ns;             /* clock_now_ns() at this agent's start */
    const char *directory;           /* where processes start by default */
    const char *const *transports;   /* addresses listened on, NULL-terminated */
    const char *const *features;     /* for hello, NULL-terminated */
    const struct dispatch *dispatch; /* for rpc.discover */
    const struct session_server *sessions; /* for stats; NULL: without */
    const struct system_stats *stats;      /* of other services */
    size_t stats_count;
    void (*host_time)(int64_t unix_ns); /* a client said what time it is; NULL: nobody cares */
};

/* Finds out once what the kernel lacks. The facts are copied. */
int system_new(const struct system_facts *facts, struct system_service **ret_service,
               struct nsp_error *err);
void system_free(struct system_service *service);

/* For dispatch_add, with the service. */
const struct method *system_methods(size_t *ret_count);

#endif
