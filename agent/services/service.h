/* The service area: service.* methods over whoever supervises the services (schema/service.h). */
#ifndef AGENT_SERVICES_SERVICE_H
#define AGENT_SERVICES_SERVICE_H

#include "agent/rpc/method.h"
#include "agent/schema/service.h"

/* For dispatch_add, with a struct service_control. */
const struct method *service_methods(size_t *ret_count);

#endif
