/* The end of the machine, after all processes: disks in order, then reboot(2). For PID 1 of a
 * guest. */
#ifndef INIT_LEAVE_H
#define INIT_LEAVE_H

#include "agent/machine/power.h"

/* Settles what POWER_OFF needs here, and from now on a fault of our own (SIGSEGV and the like) ends
 * in sync and a reboot, and not in a panic of the kernel. has_reset_key: see power_detect. */
void leave_prepare(enum power_variant variant, int has_reset_key);

/* sync, swap off, unmount, sync: each in a child and with a deadline, since a file system may hang.
 * Then the machine ends. Does not return. */
__attribute__((noreturn)) void leave_machine(enum power_action action);

#endif
