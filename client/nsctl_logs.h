/* nsctl logs: the output of a process, or the log of the agent, its supervisor or the kernel. */
#ifndef NSCTL_LOGS_H
#define NSCTL_LOGS_H

#include "client/nsctl.h"

extern const char *const nsctl_logs_levels[]; /* NULL-terminated */

int nsctl_logs(struct nsctl *ctl);

#endif
