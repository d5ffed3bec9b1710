/* Connect addresses and the first step of a connection. Hosts are numeric: nothing is resolved.
 */
#ifndef NSP_ADDRESS_H
#define NSP_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/error.h"
#include "protocol/limits.h"

enum nsp_address_kind { NSP_ADDRESS_UNIX, NSP_ADDRESS_TCP, NSP_ADDRESS_HYBRID, NSP_ADDRESS_VSOCK };

struct nsp_address {
    enum nsp_address_kind kind;
    char path[NSP_LIMIT_PATH + 1];       /* UNIX, HYBRID */
    char host[INET6_ADDRSTRLEN];         /* TCP */
    uint32_t cid;                        /* VSOCK */
    uint32_t port;                       /* TCP, HYBRID, VSOCK */
    char token_file[NSP_LIMIT_PATH + 1]; /* TCP; empty when not given */
};

/* INVALID_PARAMS with the address as object. */
int nsp_address_parse(const char *text, struct nsp_address *ret_address, struct nsp_error *err);

/* Whether a guest of this machine is meant: HYBRID, or a CID that is neither ours nor our host's.
 */
bool nsp_address_is_guest(const struct nsp_address *address);

/* A non-blocking socket on its way: writable once connected or failed (SO_ERROR). CONNECTION with
 * errno. A unix path longer than sun_path needs /proc. */
int nsp_address_connect(const struct nsp_address *address, int *ret_fd, struct nsp_error *err);

#endif
