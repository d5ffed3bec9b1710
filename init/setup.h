/* What the supervisor prepares once, before it starts the first agent. */
#ifndef INIT_SETUP_H
#define INIT_SETUP_H

#include <signal.h>
#include <stdbool.h>

#include "protocol/error.h"

/* Descriptors 0-2 open and all others close-on-exec, child subreaper or (PID 1) not dumpable,
 * descriptor limit raised, out of the OOM killer's reach where that is permitted. Nothing in it is
 * worth not starting. */
void setup_process(bool pid1);

/* A non-blocking signalfd(2) for SIGCHLD, SIGUSR1 and the signals that ask for the end (PID 1: not
 * SIGHUP); *ret_mask: what was blocked before. */
int setup_signals(bool pid1, int *ret_signal_fd, sigset_t *ret_mask, struct nsp_error *err);

/* A copy of binary_fd, or our own binary when that is -1. */
int setup_binary(int binary_fd, int *ret_fd, struct nsp_error *err);

/* The shared memory of the logs, in which our own lines are kept from now on; -1 without memory. */
int setup_log(void);

#endif
