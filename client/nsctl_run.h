/* nsctl run. */
#ifndef NSCTL_RUN_H
#define NSCTL_RUN_H

#include "client/nsctl.h"

int nsctl_run(struct nsctl *ctl);

#endif
