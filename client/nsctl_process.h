/* nsctl wait, stdin, kill and forget. */
#ifndef NSCTL_PROCESS_H
#define NSCTL_PROCESS_H

#include "client/nsctl.h"

int nsctl_process_wait(struct nsctl *ctl);
int nsctl_process_stdin(struct nsctl *ctl);
int nsctl_process_kill(struct nsctl *ctl);
int nsctl_process_forget(struct nsctl *ctl);

/* Blocks: process.forget. */
int nsctl_process_forget_id(struct nsctl *ctl, const char *id, struct nsp_error *err);

#endif
