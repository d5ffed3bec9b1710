/* Telling a service manager how we are (sd_notify(3), "Notification protocol"), without a library.
 *
 * The manager names a datagram socket in NOTIFY_SOCKET, a path or "@" and an abstract name, and by
 * default (NotifyAccess=main) listens to its direct child only: the supervisor speaks, not the
 * agent. The name leaves the environment, so that no process started by us can speak for us.
 *
 * Allocates nothing. One manager in a process: as the environment has it.
 */
#ifndef AGENT_SDNOTIFY_H
#define AGENT_SDNOTIFY_H

#include "protocol/error.h"

/* How long a message may wait for room in the manager's queue. */
enum { SDNOTIFY_WAIT_MS = 500 };

/* Takes NOTIFY_SOCKET out of the environment and keeps it. Unset or empty: nobody wants to know. */
void sdnotify_open(void);

/* state: "READY=1", "STOPPING=1"; several are separated by line ends. 0 when it was delivered, or
 * when nobody wants to know. INVALID_PARAMS for a name that is neither of the two, such as the
 * vsock addresses that systemd 254 knows as well; SYSTEM. */
int sdnotify_send(const char *state, struct nsp_error *err);

#endif
