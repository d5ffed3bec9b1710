/* The methods as an OpenRPC document (https://spec.open-rpc.org, version 1.2.6), made from the
 * tables that dispatch and params work from. */
#ifndef AGENT_DESCRIBE_H
#define AGENT_DESCRIBE_H

#include "agent/rpc/dispatch.h"

/* Writes the members of the document into the reply. version: of the agent. */
void describe_document(const struct dispatch *dispatch, const char *version, struct reply *reply);

#endif
