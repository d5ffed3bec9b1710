/* What must be known about services by an agent that takes over: one record a service in a
 * memfd(2), kept in the fd store.
 *
 * A life is one start of a service. Its number is stored before the process is started under the
 * key "service.NAME.NUMBER": the process table knows each key once, so a life that a dead agent was
 * just starting is found or started, never both.
 */
#ifndef AGENT_BOOT_SERVICES_RECORD_H
#define AGENT_BOOT_SERVICES_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/boot/config.h"

enum { SERVICES_RECORDS = CONFIG_SERVICES_MAX, SERVICES_NAME = CONFIG_SERVICE_NAME_MAX + 1 };

struct services_record {
    char name[SERVICES_NAME]; /* empty: free */
    uint32_t state;           /* enum service_state */
    uint32_t life;            /* number of the last one; 0: none yet */
    uint32_t streak;          /* restarts in a row without a steady life */
    uint32_t restarts;
    uint64_t due_ns;     /* BACKOFF: when it starts again */
    bool restart_wanted; /* STOPPING: starts again once it has ended */
    bool has_exit;       /* the end of the last life that had one: */
    bool was_signalled;
    int32_t code;
    uint64_t life_ms;
    int64_t exited_unix_ms;
    char failure[200]; /* why the last life could not begin; empty: it could */
};

/* Makes the memory; the descriptor is the caller's. */
int services_record_create(struct services_record **ret_records, int *ret_fd,
                           struct nsp_error *err);
/* Maps an earlier agent's; fd is borrowed. UNSUPPORTED when it is not one of this layout. */
int services_record_open(int fd, struct services_record **ret_records, struct nsp_error *err);
void services_record_close(struct services_record *records);

/* The record of that name, a new one if need be. INVALID_PARAMS for a name that does not fit,
 * EXHAUSTED. */
int services_record_get(struct services_record *records, const char *name,
                        struct services_record **ret_record, struct nsp_error *err);

#endif
