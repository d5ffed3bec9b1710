/* The decoders of lists of parameters: see param_value.h. */
#ifndef AGENT_PARAM_LIST_H
#define AGENT_PARAM_LIST_H

#include "agent/rpc/param_value.h"

int param_list_arguments(struct param_decoder *decoder, const struct json *value, void *target);
int param_list_variables(struct param_decoder *decoder, const struct json *value, void *target);
int param_list_limits(struct param_decoder *decoder, const struct json *value, void *target);

#endif
