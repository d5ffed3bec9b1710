#include "agent/machine/role.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

static const char *const names[] = {
    [ROLE_AUTO] = "auto",       [ROLE_GUEST] = "guest",   [ROLE_CONTAINER] = "container",
    [ROLE_SYSTEMD] = "systemd", [ROLE_OPENRC] = "openrc", [ROLE_PROCESS] = "process",
};
_Static_assert(sizeof names / sizeof names[0] == ROLE_COUNT, "every role");

/* In a container it is refused, with or without the capability (reboot(2)); in a machine it is what
 * PID 1 wants anyway, as early as can be: Ctrl-Alt-Del is a signal to it from now on. */
static enum role role_without_proc(void)
{
    return reboot((int)RB_DISABLE_CAD) == 0 ? ROLE_GUEST : ROLE_CONTAINER;
}

/* The first PID namespace has a number of its own (PROC_PID_INIT_INO). In a container /proc is
 * mounted before us, as a rule; in a machine it may not be. */
static enum role role_of_pid1(void)
{
    static const char first[] = "pid:[4026531836]";
    char text[32];
    ssize_t length = readlink("/proc/self/ns/pid", text, sizeof text);
    if (length < 0)
        return role_without_proc();
    bool is_first =
        (size_t)length == sizeof first - 1 && memcmp(text, first, sizeof first - 1) == 0;
    return is_first ? ROLE_GUEST : ROLE_CONTAINER;
}

enum role role_find(void)
{
    if (getpid() == 1)
        return role_of_pid1();
    if (getenv("INVOCATION_ID")) /* systemd.exec(5) */
        return ROLE_SYSTEMD;
    return getenv("RC_SVCNAME") ? ROLE_OPENRC : ROLE_PROCESS;
}

const char *role_name(enum role role)
{
    return names[role];
}

int role_by_name(const char *name, enum role *ret_role)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_role = (enum role)i;
            return 0;
        }
    }
    return -1;
}
