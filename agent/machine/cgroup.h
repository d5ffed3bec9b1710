/* Control groups of the guest, cgroups(7) and the kernel's Documentation/admin-guide/cgroup-v2.rst:
 *
 *   /agent   supervisor and agent: memory.min, and never killed as a group
 *   /work    everything they run; pids.max leaves room for the agent itself
 *
 * Nothing here allocates: PID 1 uses it too.
 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/error.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_AGENT CGROUP_ROOT "/agent"
#define CGROUP_WORK CGROUP_ROOT "/work"

/* Mounts cgroup2 where it is not, enables all its controllers for children, makes both groups and
 * moves this process into the first. detail: the controllers that are. SYSTEM. */
int cgroup_set_up(char *detail, size_t capacity, struct nsp_error *err);

/* A descriptor of the group for clone3(2), CLONE_INTO_CGROUP; -1 without an error message when
 * there is no such group. Close-on-exec, the caller's. */
int cgroup_open(const char *path);

/* Kills all in the group, cgroup.kill; false when this kernel (before 5.14) has no such file. */
bool cgroup_kill(const char *path);

/* A number from a file of "NAME VALUE" lines, such as memory.events. False when it is not there. */
bool cgroup_read(const char *path, const char *file, const char *name, uint64_t *ret_value);

#endif
