/* clone3(2) onto a stack of the child's own, with our memory shared and the caller never suspended.
 *
 * Where clone3 is missing (kernel before 5.3: ENOSYS), forbidden (a container's seccomp filter:
 * EPERM) or does not know a flag (EINVAL), the older clone(2) is used, and pidfd_open(2) after it.
 * Where that in turn refuses a child that shares memory, it gets a copy, as with fork(2).
 * All signals are blocked in the child until it unblocks them.
 */
#ifndef AGENT_CLONE_H
#define AGENT_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* In the order in which they are tried. */
enum clone_way {
    CLONE_WAY_CLONE3,
    CLONE_WAY_CLONE, /* clone(2), memory shared */
    CLONE_WAY_COPY,  /* clone(2), memory copied */
    CLONE_WAYS
};

struct clone_request {
    void (*entry)(void *arg); /* in the child; must not return; raw system calls only */
    void *arg;
    void *stack; /* lowest address; 16-byte aligned */
    size_t stack_size;
    pid_t *pid_slot;     /* the kernel writes the pid there before the child can run */
    bool parent_waits;   /* CLONE_PARENT: the child becomes our sibling */
    int cgroup_fd;       /* group that the child is born into, where the kernel can; 0: ours */
    enum clone_way way;  /* the first to try */
    enum clone_way *now; /* the one that is being tried; the child may look at it */
};

/* The pid, or -errno. *ret_pidfd (close-on-exec) is -1 where the kernel has no pidfds. */
pid_t clone_child(const struct clone_request *request, int *ret_pidfd);

#endif
