/* The network of the guest as a host describes it: in the configuration file ("network") and as
 * parameters of net.configure. One table for both; addresses are texts here, which netaddress.h
 * turns into bytes.
 */
#ifndef AGENT_SCHEMA_NETWORK_H
#define AGENT_SCHEMA_NETWORK_H

#include "agent/rpc/params.h"

struct network_route {
    const char *to;  /* "default" or ADDRESS/PREFIX */
    const char *via; /* gateway; NULL: on the link itself. "default" is IPv4's without it */
    int64_t metric;  /* 0: the kernel's */
};

struct network_neighbour {
    const char *address;
    const char *mac;
};

struct network_link {
    const char *name; /* interface name; NULL: mac says which */
    const char *mac;  /* finds the link when name is NULL, otherwise is set; NULL: as it is */
    int64_t mtu;      /* 0: as it is */
    bool up;          /* default true */
    bool flush;       /* remove addresses and routes that are not named here first */
    struct param_strings addresses;  /* ADDRESS/PREFIX, IPv4 or IPv6 */
    struct param_objects routes;     /* struct network_route */
    struct param_objects neighbours; /* struct network_neighbour */
};

struct network {
    struct param_objects links; /* struct network_link; lo is always brought up */
    /* /etc/resolv.conf; untouched when all three are absent (items NULL) */
    struct param_strings dns_servers, dns_search, dns_options;
};

extern const struct param_table network_table; /* struct network */

/* What the table cannot say: names, MACs, addresses, prefixes, families that fit together, nothing
 * twice. INVALID_PARAMS; the object is the path in the network ("links[0].routes[1].via"), and the
 * message begins with it. */
int network_check(const struct network *network, struct nsp_error *err);

#endif
