/* nsctl boot and shutdown: the machine that the agent is PID 1 of. */
#ifndef NSCTL_GUEST_H
#define NSCTL_GUEST_H

#include "client/nsctl.h"

int nsctl_guest_boot(struct nsctl *ctl);
int nsctl_guest_shutdown(struct nsctl *ctl);

#endif
