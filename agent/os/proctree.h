/* Descendants of a process as /proc shows them (proc(5), /proc/PID/stat).
 *
 * A tree that was looked at is kept by pidfds (pidfd_open(2)), so that its members can still be
 * reached when their ancestors are gone and nothing in /proc connects them any more.
 */
#ifndef AGENT_PROCTREE_H
#define AGENT_PROCTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol/error.h"

enum { PROCTREE_KEPT = 1024 };

struct proctree {
    int *pidfds;
    size_t count;
};

/* Signals root, its descendants by parent, and all members of the sessions that those lead (a child
 * whose parent died belongs to another parent, but still to the session), and the kept ones.
 * Repeats while new ones are found, a few rounds. ESRCH counts as done. *ret_sent: how many were
 * reached; when all refused it, it fails. root 0: only the kept ones. kept, when not NULL, also
 * takes in what was found, up to PROCTREE_KEPT. */
int proctree_signal(struct proctree *kept, pid_t root, int signal_number, unsigned *ret_sent,
                    struct nsp_error *err);

/* False for a process that is not there. */
bool proctree_is_zombie(pid_t pid);

void proctree_done(struct proctree *kept);

#endif
