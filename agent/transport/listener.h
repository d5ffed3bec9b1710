/* A listening socket: opened or taken back from the fd store, then accepting in the loop.
 *
 * When the process or the system has no descriptor left, a reserve descriptor is given up for a
 * moment to accept and close the waiting connections, so that their peers learn it at once and the
 * loop does not spin; without the reserve accepting rests for a tenth of a second.
 */
#ifndef AGENT_LISTENER_H
#define AGENT_LISTENER_H

#include <stdbool.h>

#include "agent/loop/loop.h"
#include "agent/transport/address.h"
#include "agent/transport/token.h"
#include "agent/transport/transport.h"
#include "protocol/error.h"

struct listener;

struct listener_options {
    bool insecure_bind;        /* tcp: addresses beyond loopback too */
    bool any_cid;              /* vsock: peers besides the host too */
    const struct token *token; /* copied; needed by tcp, and then asked for at hello. NULL: none */
};

/* existing_fd: a listening socket that an earlier agent opened for this address (taken, closed on
 * error too), or -1. PERMISSION, ALREADY_EXISTS (somebody listens there), STATE (existing_fd is
 * none that fits), INVALID_PARAMS (no token for a transport that needs one), SYSTEM. */
int listener_open(const struct address *address, const struct listener_options *options,
                  int existing_fd, struct listener **ret_listener, struct nsp_error *err);

/* Stops and closes; the name stays, since a copy of the socket may live on. NULL is fine. */
void listener_free(struct listener *listener);
/* Takes the name away as well: the agent listens there no longer. */
void listener_remove(struct listener *listener);

int listener_fd(const struct listener *listener); /* borrowed; for the fd store */
const char *listener_text(const struct listener *listener);
const struct transport *listener_transport(const struct listener *listener);
const struct token *listener_token(const struct listener *listener); /* NULL: none is asked for */

/* fd: an admitted, non-blocking connection, the callee's from now on. */
typedef void (*listener_callback)(void *arg, struct listener *listener, int fd);

int listener_start(struct listener *listener, struct loop *loop, listener_callback callback,
                   void *arg, struct nsp_error *err);
void listener_stop(struct listener *listener);

#endif
