/* nsctl services, nsctl service: the services that the guest's configuration starts. */
#ifndef NSCTL_SERVICE_H
#define NSCTL_SERVICE_H

#include "client/nsctl.h"

int nsctl_service_list(struct nsctl *ctl);
/* start, stop or restart NAME; stop waits for the end of its process. */
int nsctl_service(struct nsctl *ctl);

#endif
