/* nsctl net: the guest's network. */
#ifndef NSCTL_NET_H
#define NSCTL_NET_H

#include "client/nsctl.h"

int nsctl_net(struct nsctl *ctl);

#endif
