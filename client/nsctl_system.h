/* nsctl info, stats, ping, discover and call. */
#ifndef NSCTL_SYSTEM_H
#define NSCTL_SYSTEM_H

#include "client/nsctl.h"

int nsctl_system_info(struct nsctl *ctl);
int nsctl_system_stats(struct nsctl *ctl);
int nsctl_system_ping(struct nsctl *ctl);
int nsctl_system_discover(struct nsctl *ctl);
int nsctl_system_call(struct nsctl *ctl);

#endif
