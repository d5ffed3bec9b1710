/* Descendants of a process as /proc shows them (proc(5), /proc/PID/stat). */
#ifndef AGENT_PROCTREE_H
#define AGENT_PROCTREE_H

#include <sys/types.h>

#include "protocol/error.h"

/* Signals root, its descendants by parent, and all members of the sessions that those lead (a child
 * whose parent died belongs to another parent, but still to the session). Repeats while new ones are
 * found, a few rounds. ESRCH counts as done. *ret_sent: how many were reached. */
int proctree_signal(pid_t root, int signal_number, unsigned *ret_sent, struct nsp_error *err);

#endif
