/* nsctl completion: scripts for shells, made from the command table. */
#ifndef NSCTL_COMPLETION_H
#define NSCTL_COMPLETION_H

#include "client/nsctl.h"

int nsctl_completion(struct nsctl *ctl);

#endif
