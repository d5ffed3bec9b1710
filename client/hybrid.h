/* The handshake of a hybrid vsock socket (Firecracker, docs/vsock.md): "CONNECT port\n" in one
 * write, then the answer "OK number\n" and from its next byte on the guest's own bytes. Nobody
 * listening in the guest means a closed connection without an answer. Pure: no I/O.
 */
#ifndef NSP_HYBRID_H
#define NSP_HYBRID_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

enum { NSP_HYBRID_REQUEST_SIZE = 20 };

/* Parser state; starts as {0}. */
struct nsp_hybrid {
    unsigned position; /* bytes of the answer so far */
    uint64_t number;
};

/* Writes the line without a NUL; returns its length. */
size_t nsp_hybrid_request(uint32_t port, char ret_line[NSP_HYBRID_REQUEST_SIZE]);

/* Takes bytes of the answer and none after it. 1: complete, *ret_used bytes belonged to it and
 * *ret_port is the host's side; 0: more is needed, all were used; -1: PROTOCOL, as soon as a byte
 * cannot be part of an answer. */
int nsp_hybrid_feed(struct nsp_hybrid *hybrid, const void *bytes, size_t length, size_t *ret_used,
                    uint32_t *ret_port, struct nsp_error *err);

#endif
