/* Resource limits by name, and our own RLIMIT_NOFILE (getrlimit(2)). */
#ifndef AGENT_RLIMIT_H
#define AGENT_RLIMIT_H

#include <sys/resource.h>

/* "nofile" -> RLIMIT_NOFILE; -1 when there is none of that name. */
int rlimit_by_name(const char *name);
/* NULL for an unknown resource. */
const char *rlimit_name(int resource);

/* The kernel starts PID 1 with a hard RLIMIT_NOFILE of 4,096, and everything would have that. Sets
 * it to what service managers give (524,288) or, where the kernel allows less, leaves it. */
void rlimit_lift_nofile(void);

/* Raises the soft RLIMIT_NOFILE to the hard one and keeps the old for the children, to which spawn
 * gives it back: a program that uses select(2) must not get a descriptor beyond 1,023 by surprise.
 * Once in a process; a program executed by us that is no workload calls it for itself again. */
void rlimit_raise_nofile(void);
/* What RLIMIT_NOFILE was before; NULL when it was not raised. */
const struct rlimit *rlimit_original_nofile(void);

#endif
