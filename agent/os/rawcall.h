/* System calls without libc: no errno, no thread-local storage, no cancellation.
 *
 * For code that runs in a child which shares our memory (see spawn.h). Each returns what the kernel
 * does: -errno on failure. Not instrumented, since sanitizers know nothing of such a child's stack.
 */
#ifndef AGENT_RAWCALL_H
#define AGENT_RAWCALL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#define RAWCALL_CODE __attribute__((no_sanitize("address"), no_sanitize("undefined")))

#if defined(__x86_64__)

RAWCALL_CODE static inline long rawcall(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

/* write(2), then exit_group(2). Between the two nothing is read from memory: whoever gets the bytes
 * may free the stack that this runs on. */
RAWCALL_CODE __attribute__((noreturn)) static inline void
rawcall_write_exit(int fd, const void *bytes, size_t length, int status)
{
    register long exit_status __asm__("r12") = status;
    __asm__ volatile(
        "syscall\n\t"
        "mov %[exit_number], %%eax\n\t"
        "mov %[exit_status], %%rdi\n\t"
        "syscall\n\t"
        "ud2"
        :
        : "a"((long)SYS_write), "D"((long)fd), "S"(bytes),
          "d"(length), [exit_number] "i"(SYS_exit_group), [exit_status] "r"(exit_status)
        : "rcx", "r11", "memory");
    __builtin_unreachable();
}

#elif defined(__aarch64__)

RAWCALL_CODE static inline long rawcall(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

RAWCALL_CODE __attribute__((noreturn)) static inline void
rawcall_write_exit(int fd, const void *bytes, size_t length, int status)
{
    register long x8 __asm__("x8") = SYS_write;
    register long x0 __asm__("x0") = fd;
    register long x1 __asm__("x1") = (long)bytes;
    register long x2 __asm__("x2") = (long)length;
    register long exit_status __asm__("x19") = status;
    __asm__ volatile("svc #0\n\t"
                     "mov x8, %[exit_number]\n\t"
                     "mov x0, %[exit_status]\n\t"
                     "svc #0\n\t"
                     "brk #0"
                     :
                     : "r"(x8), "r"(x0), "r"(x1),
                       "r"(x2), [exit_number] "i"(SYS_exit_group), [exit_status] "r"(exit_status)
                     : "memory");
    __builtin_unreachable();
}

#else
#error "x86_64 and aarch64 only"
#endif

#endif
