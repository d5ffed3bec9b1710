/* Telling a service manager how we are (sd_notify(3), "Notification protocol"), without a library.
 *
 * The manager names a datagram socket in NOTIFY_SOCKET, a path or "@" and an abstract name, and by
 * default (NotifyAccess=main) listens to its direct child only: the supervisor speaks, not the
 * agent. The name leaves the environment, so that no process started by us can speak for us.
 */
#ifndef AGENT_SDNOTIFY_H
#define AGENT_SDNOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

#include "protocol/error.h"

/* How long a message may wait for room in the manager's queue. */
enum { SDNOTIFY_WAIT_MS = 500 };

struct sdnotify {
    struct sockaddr_un name;
    socklen_t length; /* 0: nobody wants to know */
};

/* INVALID_PARAMS for a name that is neither, or too long; such as the vsock addresses that
 * systemd 254 knows as well. */
int sdnotify_parse(const char *text, struct sdnotify *ret_target, struct nsp_error *err);

/* Takes NOTIFY_SOCKET out of the environment, also on failure. Unset or empty: nobody. */
int sdnotify_take(struct sdnotify *ret_target, struct nsp_error *err);

/* state: "READY=1", "STOPPING=1"; several are separated by line ends. Allocates nothing. 0 when it
 * was delivered, or when nobody wants to know; SYSTEM. */
int sdnotify_send(const struct sdnotify *target, const char *state, struct nsp_error *err);

#endif
