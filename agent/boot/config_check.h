/* What the table of the configuration file cannot say. */
#ifndef AGENT_CONFIG_CHECK_H
#define AGENT_CONFIG_CHECK_H

#include "agent/boot/config.h"

/* Names, paths, what excludes each other; not the network, which has a check of its own.
 * INVALID_PARAMS with the member's path as object. */
int config_check(const struct config *config, struct nsp_error *err);

#endif
