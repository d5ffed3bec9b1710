/* Starting the agent: our own binary again, with the descriptors of storewire.h.
 *
 * Our memory is small, so this is a plain fork(2); nothing is allocated.
 */
#ifndef INIT_RESPAWN_H
#define INIT_RESPAWN_H

#include <signal.h>
#include <sys/types.h>

#include "protocol/error.h"

/* All borrowed. */
struct respawn {
    int binary_fd;
    char *const *argv;                                  /* NULL-terminated */
    int wake_fd, claims_fd, exits_fd, kick_fd, boot_fd; /* -1: the agent has none */
    int log_fd;                                         /* likewise */
    sigset_t signal_mask;                               /* that we were started with */
};

/* *ret_socket: our end of a new socketpair, non-blocking. When the execve fails the agent exits
 * with 127. SYSTEM or EXHAUSTED. */
int respawn_start(const struct respawn *respawn, pid_t *ret_agent, int *ret_socket,
                  struct nsp_error *err);

#endif
