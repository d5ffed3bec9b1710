/* What there is to know about a service and to do with it: between who supervises services and who
 * answers calls about them. */
#ifndef AGENT_SCHEMA_SERVICE_H
#define AGENT_SCHEMA_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/error.h"

/*   WAITING -> STARTING -> RUNNING -> BACKOFF -> STARTING -> ...
 *                 |           |          |
 *                 +-----------+----------+--> ENDED, FAILED   (for good, by itself)
 *                 +-> STOPPING -> STOPPED                     (by request)
 */
enum service_state {
    SERVICE_WAITING, /* its turn has not come */
    SERVICE_STARTING,
    SERVICE_RUNNING,
    SERVICE_BACKOFF, /* will be started again */
    SERVICE_STOPPING,
    SERVICE_STOPPED,
    SERVICE_ENDED,
    SERVICE_FAILED, /* could not be started, or has been restarted too often */
    SERVICE_STATE_COUNT
};

const char *service_state_name(enum service_state state);

/* Strings are the supervisor's and stay until it is called again. */
struct service_status {
    const char *name, *process_id;
    enum service_state state;
    uint64_t starts, restarts; /* in this boot; a restart is one that was not asked for */
    int pid;                   /* 0: not running */
    uint64_t restart_in_ms;    /* BACKOFF */
    bool has_exit;             /* the end of its last life: */
    bool was_signalled;
    int code; /* exit code, or signal number */
    uint64_t life_ms;
    int64_t exited_unix_ms;
    const char *failure; /* why it could not be started the last time; NULL: it could */
};

/* arg goes first into each. Names: NOT_FOUND. */
struct service_control {
    void *arg;
    /* False beyond the last; in the order of the configuration. */
    bool (*at)(void *arg, unsigned number, struct service_status *ret_status);
    int (*find)(void *arg, const char *name, struct service_status *ret_status,
                struct nsp_error *err);
    /* Nothing happens when it runs already. */
    int (*start)(void *arg, const char *name, struct nsp_error *err);
    /* TERM to all its processes, KILL after the grace; it is not started again by itself. */
    int (*stop)(void *arg, const char *name, uint64_t grace_ms, struct nsp_error *err);
    /* The same, and starts it once it has ended. */
    int (*restart)(void *arg, const char *name, uint64_t grace_ms, struct nsp_error *err);
};

#endif
