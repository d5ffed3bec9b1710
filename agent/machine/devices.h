/* What /dev needs beyond what the kernel puts there. For PID 1; nothing here allocates. */
#ifndef AGENT_DEVICES_H
#define AGENT_DEVICES_H

#include "protocol/error.h"

/* Mounts /dev where it is not: a devtmpfs, or on a kernel without one a tmpfs with the nodes that
 * every program expects: null, zero, full, random, urandom, tty, console, kmsg. SYSTEM. */
int devices_mount(struct nsp_error *err);

/* fd, stdin, stdout, stderr, core and ptmx, where nothing of that name is there. */
int devices_make_links(struct nsp_error *err);

/* Where the kernel could not open a console for PID 1: /dev/console as the descriptors 0-2, or
 * /dev/null where there is none. SYSTEM. */
int devices_open_console(struct nsp_error *err);

#endif
