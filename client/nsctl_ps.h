/* nsctl ps. */
#ifndef NSCTL_PS_H
#define NSCTL_PS_H

#include "client/nsctl.h"

int nsctl_ps(struct nsctl *ctl);

#endif
