/* What PID 1 does before its first agent: the steps that nothing else can come before. The others,
 * from the configuration file, are the agent's (agent/boot/).
 *
 * Each step is noted in the boot report; one that fails does not keep the next from being tried, so
 * that the host gets as far as it can and reads there what is wrong.
 */
#ifndef INIT_BOOT_H
#define INIT_BOOT_H

#include <stdbool.h>

#include "agent/handover/bootreport.h"
#include "agent/machine/cmdline.h"
#include "agent/machine/role.h"

struct boot {
    enum role role;
    struct bootreport *report; /* NULL without memory */
    int report_fd;             /* -1 likewise */
    struct cmdline cmdline;    /* GUEST: the kernel's; otherwise empty */
};

/* wanted: AUTO finds the role out; only a GUEST has steps. Reads these keys of the command line:
 * ns.root, ns.rootfstype, ns.rootflags, ns.rootwait (ms), ns.overlay, ns.modules; and "ro". */
void boot_run(enum role wanted, struct boot *ret_boot);

/* Whether the key is one of those. */
bool boot_knows_key(const char *key);

#endif
