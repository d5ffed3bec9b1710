/* Counting has no lock: a plan is for a process with one thread. A process that is being started
 * makes raw system calls only, so it never comes here. */
#include "tests/support/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/os/clone.h"

enum { SHORTEST = 64 }; /* less than this is not a stream of bytes, but a message */

#define CALLER() ((uintptr_t)__builtin_return_address(0))

extern const char __executable_start[];
/* Only where the address sanitizer is. */
extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

static struct fault_plan own;
static struct fault_plan *plan = &own;
static uint32_t role = FAULT_AGENT | FAULT_SUPERVISOR;
static bool traces, copies;
static bool dies_after; /* the call that is being made is the last */

/* The real ones, by the names that the linker gives them. */
#define X(kind, type, name, parameters, arguments, failed)                                         \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;
#define XSHORT X
#define XOTHER(kind, type, name)
#include "tests/support/fault.def"
#undef X
#undef XSHORT
#undef XOTHER
ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __real_readv(int fd, const struct iovec *parts, int count);
ssize_t __real_writev(int fd, const struct iovec *parts, int count);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_open(const char *path, int flags, ...);
int __real_openat(int directory, const char *path, int flags, ...);
pid_t __real_clone_child(const struct clone_request *request, int *ret_pidfd);
int __real_ioctl(int fd, unsigned long operation, ...);
int __real_fcntl(int fd, int operation, ...);
long __real_syscall(long number, ...);

static const char *what(int error)
{
    if (error > 0)
        return strerrorname_np(error);
    return error == 0 ? "short" : error == FAULT_DIE_BEFORE ? "death before" : "death after";
}

/* In the program's log, with what addr2line needs. */
static void tell(const char *name, uintptr_t caller)
{
    char line[160];
    int length =
        snprintf(line, sizeof line, "fault: %s number %llu fails as %s, called from 0x%lx\n", name,
                 (unsigned long long)plan->seen, what(plan->error),
                 (unsigned long)(caller - (uintptr_t)__executable_start));
    if (plan != &own)
        (void)!__real_write(STDERR_FILENO, line, (size_t)length);
    if (traces && __sanitizer_print_stack_trace)
        __sanitizer_print_stack_trace();
}

/* Counts the call; true when this one is to fail. */
static bool is_due(uint32_t kind, const char *name, uintptr_t caller)
{
    if (!(plan->kinds & kind) || !(plan->role & role))
        return false;
    uint64_t number = ++plan->seen;
    if (number < plan->first || (number - plan->first) % plan->every != 0 ||
        (plan->count != 0 && plan->failed >= plan->count))
        return false;
    plan->failed++;
    tell(name, caller);
    return true;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
}

static bool fails(uint32_t kind, const char *name, uintptr_t caller)
{
    if (plan->error == 0 || !is_due(kind, name, caller))
        return false;
    if (plan->error == FAULT_DIE_BEFORE)
        die();
    dies_after = plan->error == FAULT_DIE_AFTER;
    if (plan->error < 0)
        return false;
    errno = plan->error;
    return true;
}

/* Around the result of the real call. */
#define SURVIVED(call)                                                                             \
    ({                                                                                             \
        __auto_type result_ = (call);                                                              \
        if (dies_after)                                                                            \
            die();                                                                                 \
        result_;                                                                                   \
    })

/* How much of length bytes the call may move. */
static size_t part(uint32_t kind, size_t length, const char *name, uintptr_t caller)
{
    if (plan->error != 0 || length < SHORTEST || !is_due(kind, name, caller))
        return length;
    return length / 3;
}

static size_t total(const struct iovec *parts, size_t count)
{
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += parts[i].iov_len;
    return length;
}

/* Copies the first length bytes' worth of parts; returns how many those are. */
static size_t cut(const struct iovec *parts, size_t length, struct iovec *ret_parts, size_t most)
{
    size_t count = 0;
    while (length > 0 && count < most) {
        ret_parts[count] = parts[count];
        if (ret_parts[count].iov_len > length)
            ret_parts[count].iov_len = length;
        length -= ret_parts[count++].iov_len;
    }
    return count;
}

/* The stand-ins */

#define X(kind, type, name, parameters, arguments, failed)                                         \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (fails(FAULT_##kind, #name, CALLER()))                                                  \
            return failed;                                                                         \
        return SURVIVED(__real_##name arguments);                                                  \
    }
#define XSHORT(kind, type, name, parameters, arguments, failed)                                    \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (fails(FAULT_##kind, #name, CALLER()))                                                  \
            return failed;                                                                         \
        length = part(FAULT_##kind, length, #name, CALLER());                                      \
        return SURVIVED(__real_##name arguments);                                                  \
    }
#define XOTHER(kind, type, name)
#include "tests/support/fault.def"
#undef X
#undef XSHORT
#undef XOTHER

enum { PARTS = 16 };

#define VECTOR(kind, name)                                                                         \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int count);                           \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int count)                            \
    {                                                                                              \
        if (fails(kind, #name, CALLER()))                                                          \
            return -1;                                                                             \
        size_t whole = total(parts, (size_t)count);                                                \
        size_t wanted = part(kind, whole, #name, CALLER());                                        \
        struct iovec some[PARTS];                                                                  \
        if (wanted == whole)                                                                       \
            return SURVIVED(__real_##name(fd, parts, count));                                      \
        return SURVIVED(__real_##name(fd, some, (int)cut(parts, wanted, some, PARTS)));            \
    }
VECTOR(FAULT_READ, readv)
VECTOR(FAULT_WRITE, writev)

/* Eight bytes go to an eventfd(2), which fails only when it is full, and then it wakes its reader
 * all the same. */
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    bool is_wake_up = length == sizeof(uint64_t) && plan->error != EINTR && plan->error >= 0;
    if (!is_wake_up && fails(FAULT_WRITE, "write", CALLER()))
        return -1;
    return SURVIVED(__real_write(fd, bytes, part(FAULT_WRITE, length, "write", CALLER())));
}

/* What carries descriptors is a message and stays whole. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    int type = 0;
    socklen_t size = sizeof type;
    if (fails(FAULT_WRITE, "sendmsg", CALLER()))
        return -1;
    if (plan->error != 0 || __real_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        type != SOCK_STREAM)
        return SURVIVED(__real_sendmsg(fd, message, flags));
    size_t whole = total(message->msg_iov, message->msg_iovlen);
    struct iovec some[PARTS];
    struct msghdr less = *message;
    size_t wanted = part(FAULT_WRITE, whole, "sendmsg", CALLER());
    if (wanted == whole)
        return SURVIVED(__real_sendmsg(fd, message, flags));
    less.msg_iov = some;
    less.msg_iovlen = cut(message->msg_iov, wanted, some, PARTS);
    return SURVIVED(__real_sendmsg(fd, &less, flags));
}

pid_t __wrap_clone_child(const struct clone_request *request, int *ret_pidfd);
pid_t __wrap_clone_child(const struct clone_request *request, int *ret_pidfd)
{
    if (fails(FAULT_CLONE, "clone_child", CALLER()))
        return -plan->error;
    struct clone_request copying = *request;
    copying.way = CLONE_WAY_COPY;
    return SURVIVED(__real_clone_child(copies ? &copying : request, ret_pidfd));
}

/* Arguments of these may not be there, and are read all the same, as libc does. */
#define READS_ALL __attribute__((no_sanitize("address")))
#define LAST_ARGUMENT(after)                                                                       \
    va_list list;                                                                                  \
    va_start(list, after);                                                                         \
    long last = va_arg(list, long);                                                                \
    va_end(list)

int __wrap_open(const char *path, int flags, ...);
READS_ALL int __wrap_open(const char *path, int flags, ...)
{
    LAST_ARGUMENT(flags);
    return fails(FAULT_FD, "open", CALLER()) ? -1
                                             : SURVIVED(__real_open(path, flags, (mode_t)last));
}

int __wrap_openat(int directory, const char *path, int flags, ...);
READS_ALL int __wrap_openat(int directory, const char *path, int flags, ...)
{
    LAST_ARGUMENT(flags);
    return fails(FAULT_FD, "openat", CALLER())
               ? -1
               : SURVIVED(__real_openat(directory, path, flags, (mode_t)last));
}

int __wrap_ioctl(int fd, unsigned long operation, ...);
READS_ALL int __wrap_ioctl(int fd, unsigned long operation, ...)
{
    LAST_ARGUMENT(operation);
    return fails(FAULT_OTHER, "ioctl", CALLER()) ? -1 : SURVIVED(__real_ioctl(fd, operation, last));
}

int __wrap_fcntl(int fd, int operation, ...);
READS_ALL int __wrap_fcntl(int fd, int operation, ...)
{
    LAST_ARGUMENT(operation);
    uint32_t kind = operation == F_DUPFD_CLOEXEC ? FAULT_FD : FAULT_OTHER;
    return fails(kind, "fcntl", CALLER()) ? -1 : SURVIVED(__real_fcntl(fd, operation, last));
}

long __wrap_syscall(long number, ...);
READS_ALL long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    uint32_t kind = number == SYS_pidfd_open ? FAULT_FD : FAULT_OTHER;
    /* With valid arguments waitid(2) has no other error than this. */
    bool can_fail = number != SYS_waitid || plan->error == EINTR;
    if (can_fail && fails(kind, "syscall", CALLER()))
        return -1;
    return SURVIVED(__real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

int __wrap_asprintf(char **target, const char *format, ...);
int __wrap_asprintf(char **target, const char *format, ...)
{
    if (fails(FAULT_ALLOC, "asprintf", CALLER()))
        return -1;
    va_list list;
    va_start(list, format);
    int length = __real_vasprintf(target, format, list);
    va_end(list);
    return length;
}

int __wrap___asprintf_chk(char **target, int flag, const char *format, ...);
int __wrap___asprintf_chk(char **target, int flag, const char *format, ...)
{
    (void)flag;
    if (fails(FAULT_ALLOC, "asprintf", CALLER()))
        return -1;
    va_list list;
    va_start(list, format);
    int length = __real_vasprintf(target, format, list);
    va_end(list);
    return length;
}

/* The plan */

void fault_arm(uint32_t kinds, int error, uint64_t first)
{
    *plan = (struct fault_plan){
        .kinds = kinds, .role = role, .error = error, .first = first, .every = 1, .count = 1};
}

uint64_t fault_disarm(void)
{
    plan->kinds = 0;
    return plan->failed;
}

__attribute__((constructor)) static void find_plan(int argc, char **argv)
{
    const char *path = getenv("NSP_FAULT_PLAN");
    copies = getenv("NSP_FAULT_COPY");
    if (!path)
        return;
    int fd = __real_open(path, O_RDWR | O_CLOEXEC);
    void *memory = fd < 0
                       ? MAP_FAILED
                       : __real_mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        perror(path);
        abort();
    }
    close(fd);
    role = argc > 1 && strcmp(argv[1], "agent") == 0 ? FAULT_AGENT : FAULT_SUPERVISOR;
    plan = memory;
    traces = getenv("NSP_FAULT_TRACE");
}
