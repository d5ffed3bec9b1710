/* The lines that run and attach print with --json: one object an event.
 */
#ifndef NSCTL_JSON_H
#define NSCTL_JSON_H

#include "client/nsclient.h"

enum { NSCTL_JSON_DATA_MAX = 64 * 1024 };

/* The line with its line end, for free(3). Of DATA the first *length bytes, cut down to
 * NSCTL_JSON_DATA_MAX. status: nsctl's exit status, for FINISHED. EXHAUSTED. */
int nsctl_json_event(const struct nsp_process *process, const struct nsp_event *event, int status,
                     size_t *length, char **ret_line, struct nsp_error *err);

#endif
