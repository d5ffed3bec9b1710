/* Methods about the guest's network: net.interfaces, net.routes, net.configure. All are answered at
 * once, by rtnetlink(7). */
#ifndef AGENT_NET_H
#define AGENT_NET_H

#include "agent/rpc/dispatch.h"

/* For dispatch_add, with NULL as the service. */
const struct method *net_methods(size_t *ret_count);

#endif
