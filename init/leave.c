#include "init/leave.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/machine/bounded.h"
#include "agent/machine/unmount.h"

enum { SYNC_MS = 20000, UNMOUNT_MS = 20000, TRAP_STACK_BYTES = 16384 };

static enum power_variant variant = POWER_VARIANT_OFF;

static void unmount(void)
{
    unmount_swap();
    unmount_all();
}

static void unmount_rest_of_it(void)
{
    unsigned writable = unmount_rest();
    if (writable > 0)
        log_warn("file systems stay writable", "count=%u", writable);
}

static void on_fault(int number)
{
    static const char text[] = "<0>nullspace-agent: PID 1 has failed; rebooting\n";
    if (getpid() != 1) /* the child of a bounded_call */
        _exit(number);
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0 && write(fd, text, sizeof text - 1) < 0)
        close(fd);
    bounded_call(unmount_sync, SYNC_MS);
    power_leave(power_command(POWER_REBOOT, variant));
}

void leave_prepare(enum power_variant wanted, int has_reset_key)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
    static char stack[TRAP_STACK_BYTES];
    variant = wanted == POWER_VARIANT_AUTO ? power_detect(has_reset_key) : wanted;
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_RESETHAND};
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigaction(faults[i], &action, NULL);
}

void leave_machine(enum power_action action)
{
    log_info("leaving", "action=%s", power_action_name(action));
    bounded_call(unmount_sync, SYNC_MS);
    bounded_call(unmount, UNMOUNT_MS);
    bounded_call(unmount_rest_of_it, UNMOUNT_MS);
    bounded_call(unmount_sync, SYNC_MS);
    power_leave(power_command(action, variant));
}
