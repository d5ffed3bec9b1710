/* Signals to a process, its group, or everything found below it.
 *
 * A pid is a number that the kernel uses again. The leader is reached through its pidfd. A group is
 * named by the leader's pid, which stays taken while the group has members; once the leader has
 * been reaped, a live process of that number means that the number was used again and the group is
 * gone. The tree is what /proc shows: descendants, and members of the leader's session.
 */
#ifndef AGENT_SIGNALS_H
#define AGENT_SIGNALS_H

#include <stdint.h>

#include "protocol/error.h"

struct process;

enum signals_scope { SIGNALS_LEADER, SIGNALS_GROUP, SIGNALS_TREE };

/* *ret_sent: processes reached in scope TREE, otherwise 1 or 0. After the exit 0, unless others of
 * its group or session are left (GROUP, TREE). */
int signals_send(struct process *process, int signal_number, enum signals_scope scope,
                 unsigned *ret_sent, struct nsp_error *err);

/* Signal now, and KILL to the same scope when grace_ms have passed. */
int signals_kill(struct process *process, int signal_number, enum signals_scope scope,
                 uint64_t grace_ms, struct nsp_error *err);

#endif
