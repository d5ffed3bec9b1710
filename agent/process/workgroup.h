/* The control group that a guest's processes live in: tells when the kernel has killed some of them
 * for want of memory, or has refused a new task because there are too many (cgroup-v2.rst:
 * memory.events, pids.events). Costs nothing while nothing happens.
 */
#ifndef AGENT_WORKGROUP_H
#define AGENT_WORKGROUP_H

#include <stdint.h>

#include "agent/loop/loop.h"

struct workgroup;

struct workgroup_stats {
    uint64_t oom_kills, refused_tasks; /* since the group was made */
};

/* path: of the group, borrowed. UNSUPPORTED when this kernel does not tell. */
int workgroup_new(struct loop *loop, const char *path, struct workgroup **ret_group,
                  struct nsp_error *err);
void workgroup_free(struct workgroup *group);
void workgroup_stats(const struct workgroup *group,
                     struct workgroup_stats *ret_stats); /* NULL: 0 */

#endif
