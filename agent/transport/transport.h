/* A kind of socket, as a table of what differs between them. A new transport is one file with such
 * a table, and a row in address.c. Descriptors are borrowed and non-blocking.
 */
#ifndef AGENT_TRANSPORT_H
#define AGENT_TRANSPORT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "agent/transport/address.h"
#include "protocol/error.h"

struct listener_options;

struct transport {
    const char *scheme; /* what stands before the first colon */
    bool needs_token;   /* peers are not known by other means */
    bool half_close;    /* shutdown(SHUT_WR) reaches the peer as an end of file */

    /* rest: what stands after the first colon. Fills socket and length. */
    int (*parse)(const char *rest, struct address *ret_address, struct nsp_error *err);
    /* Refuses what the options do not allow; makes and binds a socket, not listening yet. */
    int (*bind)(const struct address *address, const struct listener_options *options, int *ret_fd,
                struct nsp_error *err);
    /* May this accepted peer talk to us at all? PERMISSION. */
    int (*admit)(int fd, const struct listener_options *options, struct nsp_error *err);
    /* Options of a connection. low: bytes unsent in the kernel below which the socket shall count
     * as writable. What the kernel does not know is left out. */
    void (*prepare)(int fd, int low);
    /* Bytes that the kernel has not sent yet (unix: that the peer has not read); -1: unknown. */
    int (*unsent)(int fd);
    /* Takes the name away, when the agent stops listening for good. NULL: there is none. */
    void (*remove)(const struct address *address);
};

extern const struct transport unix_transport, tcp_transport, vsock_transport;

#endif
