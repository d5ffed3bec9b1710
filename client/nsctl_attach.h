/* nsctl attach and nsctl logs. */
#ifndef NSCTL_ATTACH_H
#define NSCTL_ATTACH_H

#include "client/nsctl.h"

int nsctl_attach(struct nsctl *ctl);
int nsctl_attach_logs(struct nsctl *ctl);

#endif
