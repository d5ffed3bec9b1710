/* The routes of a whole network together. */
#ifndef AGENT_SCHEMA_NETWORK_ROUTES_H
#define AGENT_SCHEMA_NETWORK_ROUTES_H

#include "agent/schema/network.h"
#include "agent/schema/place.h"

enum { NETWORK_ROUTES_MAX = 1024 };

/* At most so many, and no two of the same destination and metric: the kernel would keep only the
 * last. Each route by itself has been checked. */
int network_routes_check(const struct network *network, struct place *place);

#endif
