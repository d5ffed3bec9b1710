/* The environment of a new process: the default one, then the request's variables. */
#ifndef AGENT_SERVICES_PROCESS_ENVIRONMENT_H
#define AGENT_SERVICES_PROCESS_ENVIRONMENT_H

#include "agent/rpc/params.h"

/* Borrowed strings in a new NULL-terminated array, which the caller frees; NULL without memory. A
 * variable of the request replaces the default's of the same name. */
char **process_environment_merge(char *const *defaults, const struct param_strings *variables);

#endif
