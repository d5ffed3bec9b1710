/* The end of the machine, reboot(2): which command makes this monitor end or start the guest anew.
 *
 * Firecracker on x86 has no power-off: only the reset of the i8042 ("reboot=k" on the kernel
 * command line) ends it. QEMU, Cloud Hypervisor and arm64 (PSCI) know both.
 */
#ifndef AGENT_POWER_H
#define AGENT_POWER_H

#include "protocol/error.h"

enum power_action {
    POWER_OFF,
    POWER_REBOOT,
    POWER_HALT, /* the virtual processors stop, the monitor stays */
    POWER_ACTION_COUNT
};

/* How to carry out POWER_OFF. */
enum power_variant {
    POWER_VARIANT_AUTO,
    POWER_VARIANT_OFF,    /* RB_POWER_OFF */
    POWER_VARIANT_REBOOT, /* RB_AUTOBOOT: for monitors that end at a reset */
    POWER_VARIANT_COUNT
};

const char *power_action_name(enum power_action action);
int power_action_by_name(const char *name, enum power_action *ret_action);
int power_variant_by_name(const char *name, enum power_variant *ret_variant);

/* Settles AUTO, from the kernel command line (has_reset_key: reboot=k or t) and /sys/class/dmi. */
enum power_variant power_detect(int has_reset_key);

/* The command for reboot(2). */
int power_command(enum power_action action, enum power_variant variant);

/* Does not return. Other commands follow when the kernel refuses one. Safe in a signal handler. */
__attribute__((noreturn)) void power_leave(int command);

#endif
