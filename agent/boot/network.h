/* The boot step that sets the network up. */
#ifndef AGENT_BOOT_NETWORK_H
#define AGENT_BOOT_NETWORK_H

#include "agent/schema/network.h"

/* lo comes up, and what the configuration names; NULL: lo only. Goes on after a failure: each is
 * logged, and the first one is the error. Doing it twice is no error. Errors as netreport_failure,
 * INVALID_PARAMS from network_check, and those of netapply_run. */
int network_apply(const struct network *network, struct nsp_error *err);

#endif
