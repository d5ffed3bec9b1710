/* The members of the configuration file. */
#ifndef AGENT_CONFIG_TABLE_H
#define AGENT_CONFIG_TABLE_H

#include "agent/boot/config.h"

extern const struct param_table config_table; /* struct config */

#endif
