/* log.tail: the lines of the agent, of its supervisor and of the kernel, once or as they come. */
#ifndef AGENT_SERVICES_LOGS_H
#define AGENT_SERVICES_LOGS_H

#include "agent/loop/loop.h"
#include "agent/rpc/dispatch.h"

struct logs_service;

/* Takes the place of who is told of our own lines (log_on_line). */
int logs_new(struct loop *loop, struct logs_service **ret_service, struct nsp_error *err);
/* After the sessions. NULL is fine. */
void logs_free(struct logs_service *service);

/* The supervisor may have written a line. */
void logs_on_wake(struct logs_service *service);

/* For dispatch_add, with the service. */
const struct method *logs_methods(size_t *ret_count);

#endif
