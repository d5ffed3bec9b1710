/* Signals that nsctl gets, for the process that it runs: read from a descriptor, sent by
 * process.signal to the process's group. Interrupts in quick succession that have no effect detach.
 */
#ifndef NSCTL_SIGNALS_H
#define NSCTL_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/nsctl.h"

enum {
    NSCTL_SIGNALS_CALLS = 8,
    NSCTL_SIGNALS_DETACH = 3, /* interrupts within a second of each other */
};

struct nsctl_signals {
    int fd;           /* -1: none is caught */
    sigset_t before;  /* the mask to go back to */
    uint32_t waiting; /* bit per signal number, to be sent once the process has started */
    unsigned interrupts;
    uint64_t interrupted_at;
    struct nsp_call *calls[NSCTL_SIGNALS_CALLS]; /* in progress */
};

/* SYSTEM. Without `catch_them` signals keep their default effect on nsctl. */
int nsctl_signals_init(struct nsctl_signals *signals, bool catch_them, struct nsp_error *err);
void nsctl_signals_done(struct nsctl_signals *signals);

/* Reads what is there. True when the user wants to detach. */
bool nsctl_signals_read(struct nsctl_signals *signals, uint64_t now);
/* For a signal that nsctl found by itself. */
void nsctl_signals_add(struct nsctl_signals *signals, int signal);
/* Sends what waits, sees to what was sent. id: of the started process. */
void nsctl_signals_send(struct nsctl_signals *signals, struct nsp_client *client, const char *id);

#endif
