#include "agent/machine/power.h"

#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

static const char *const action_names[] = {
    [POWER_OFF] = "poweroff", [POWER_REBOOT] = "reboot", [POWER_HALT] = "halt"};
static const char *const variant_names[] = {[POWER_VARIANT_AUTO] = "auto",
                                            [POWER_VARIANT_OFF] = "poweroff",
                                            [POWER_VARIANT_REBOOT] = "reboot"};
_Static_assert(sizeof action_names / sizeof action_names[0] == POWER_ACTION_COUNT, "every action");
_Static_assert(sizeof variant_names / sizeof variant_names[0] == POWER_VARIANT_COUNT,
               "every variant");

static int by_name(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *power_action_name(enum power_action action)
{
    return (unsigned)action < POWER_ACTION_COUNT ? action_names[action] : "?";
}

int power_action_by_name(const char *name, enum power_action *ret_action)
{
    int found = by_name(action_names, POWER_ACTION_COUNT, name);
    if (found >= 0)
        *ret_action = (enum power_action)found;
    return found < 0 ? -1 : 0;
}

int power_variant_by_name(const char *name, enum power_variant *ret_variant)
{
    int found = by_name(variant_names, POWER_VARIANT_COUNT, name);
    if (found >= 0)
        *ret_variant = (enum power_variant)found;
    return found < 0 ? -1 : 0;
}

enum power_variant power_detect(int has_reset_key)
{
#if defined __x86_64__ || defined __i386__
    /* QEMU and Cloud Hypervisor describe themselves there. */
    if (has_reset_key && access("/sys/class/dmi/id/sys_vendor", F_OK) < 0)
        return POWER_VARIANT_REBOOT;
#else
    (void)has_reset_key;
#endif
    return POWER_VARIANT_OFF;
}

int power_command(enum power_action action, enum power_variant variant)
{
    if (action == POWER_HALT)
        return (int)RB_HALT_SYSTEM;
    if (action == POWER_REBOOT || variant == POWER_VARIANT_REBOOT)
        return (int)RB_AUTOBOOT;
    return (int)RB_POWER_OFF;
}

void power_leave(int command)
{
    reboot(command);
    reboot((int)RB_AUTOBOOT);
    reboot((int)RB_HALT_SYSTEM);
    for (;;) /* PID 1 must not return: the kernel would panic */
        pause();
}
