/* The trampoline: one system call after which the child, alone on its empty stack, calls its entry
 * and never returns. It has to be assembler, since compiled code could keep anything on the stack
 * between the system call and the jump. */
#include "agent/os/clone.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>

#include "agent/os/rawcall.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

/* The first version of the kernel's struct clone_args has all but the group (CLONE_ARGS_SIZE_VER0
 * and VER2). */
enum { KERNEL_SIGSET_BYTES = 8, ARGS_WITHOUT_CGROUP = 64, ARGS_WITH_CGROUP = 88 };

struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};
_Static_assert(sizeof(struct clone3_args) == ARGS_WITH_CGROUP, "as the kernel has it");

#if defined(__x86_64__)

/* clone3: a, b = arguments, size. clone: a, b, c = flags, stack, parent_tid. */
__attribute__((noinline)) static long call_on_stack(long number, long a, long b, long c,
                                                    const struct clone_request *request)
{
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    register void (*entry)(void *) __asm__("r12") = request->entry;
    register void *arg __asm__("r13") = request->arg;
    long result;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %[arg], %%rdi\n\t"
                     "call *%[entry]\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10),
                       "r"(r8), [entry] "r"(entry), [arg] "r"(arg)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

#elif defined(__aarch64__)

__attribute__((noinline)) static long call_on_stack(long number, long a, long b, long c,
                                                    const struct clone_request *request)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    register void (*entry)(void *) __asm__("x19") = request->entry;
    register void *arg __asm__("x20") = request->arg;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, %[arg]\n\t"
                     "blr %[entry]\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3),
                       "r"(x4), [entry] "r"(entry), [arg] "r"(arg)
                     : "x30", "memory", "cc");
    return x0;
}

#endif

/* With CLONE_PARENT the kernel takes the exit signal of our own process. */
static int exit_signal(const struct clone_request *request)
{
    return request->parent_waits ? 0 : SIGCHLD;
}

static uint64_t common_flags(const struct clone_request *request)
{
    return CLONE_PARENT_SETTID | (request->parent_waits ? CLONE_PARENT : 0);
}

static long clone_new(const struct clone_request *request, int cgroup_fd, int *ret_pidfd)
{
    struct clone3_args args = {
        .flags = common_flags(request) | CLONE_VM | CLONE_PIDFD | CLONE_CLEAR_SIGHAND |
                 (cgroup_fd > 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uintptr_t)ret_pidfd,
        .parent_tid = (uintptr_t)request->pid_slot,
        .exit_signal = (uint64_t)exit_signal(request),
        .stack = (uintptr_t)request->stack,
        .stack_size = request->stack_size,
        .cgroup = (uint64_t)cgroup_fd,
    };
    return call_on_stack(SYS_clone3, (long)&args,
                         cgroup_fd > 0 ? ARGS_WITH_CGROUP : ARGS_WITHOUT_CGROUP, 0, request);
}

/* Kernels before 5.7 know no groups here, and a group may be gone or take no processes: the child
 * is then born into ours, which beats not being born. */
static long clone_into_cgroup(const struct clone_request *request, int *ret_pidfd)
{
    if (request->cgroup_fd > 0) {
        long pid = clone_new(request, request->cgroup_fd, ret_pidfd);
        if (pid != -E2BIG && pid != -EINVAL && pid != -EBUSY && pid != -ENODEV && pid != -EBADF)
            return pid;
    }
    return clone_new(request, 0, ret_pidfd);
}

static long clone_legacy(const struct clone_request *request, uint64_t memory_flags, int *ret_pidfd)
{
    long flags = (long)(common_flags(request) | memory_flags) | exit_signal(request);
    long pid = call_on_stack(SYS_clone, flags, (long)request->stack + (long)request->stack_size,
                             (long)request->pid_slot, request);
    if (pid > 0) {
        /* Since the child may be gone and reaped already, this may fail. */
        long pidfd = rawcall(SYS_pidfd_open, pid, 0, 0, 0);
        *ret_pidfd = pidfd >= 0 ? (int)pidfd : -1;
    }
    return pid;
}

static long clone_by(const struct clone_request *request, enum clone_way way, int *ret_pidfd)
{
    *request->now = way;
    switch (way) {
    case CLONE_WAY_CLONE3:
        return clone_into_cgroup(request, ret_pidfd);
    case CLONE_WAY_CLONE:
        return clone_legacy(request, CLONE_VM, ret_pidfd);
    default:
        return clone_legacy(request, 0, ret_pidfd);
    }
}

static bool is_refused(long result)
{
    return result == -ENOSYS || result == -EPERM || result == -EINVAL;
}

pid_t clone_child(const struct clone_request *request, int *ret_pidfd)
{
    uint64_t all = ~UINT64_C(0), before = 0;
    enum clone_way way = request->way;
    long pid;
    int pidfd = -1;

    /* A handler of ours must not run on the child's stack, in memory that is still ours. */
    rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, KERNEL_SIGSET_BYTES);
    do
        pid = clone_by(request, way++, &pidfd);
    while (is_refused(pid) && way < CLONE_WAYS);
    rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, KERNEL_SIGSET_BYTES);

    if (pid >= 0)
        *ret_pidfd = pidfd;
    return (pid_t)pid;
}
