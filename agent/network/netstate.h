/* What the kernel says at one moment about the whole network: the dumps that deciding what to
 * change needs, and questions to them. */
#ifndef AGENT_NETSTATE_H
#define AGENT_NETSTATE_H

#include "agent/netlink/netlink.h"
#include "agent/netlink/rtrecord.h"

struct netstate {
    struct nsp_buf links, addresses, routes, neighbours; /* for nlmessage_take and rtrecord.h */
};

/* with_routes: routes and neighbours too. Errors as netlink_dump. */
int netstate_read(struct netlink *netlink, bool with_routes, struct netstate *ret_state,
                  struct nsp_error *err);
void netstate_done(struct netstate *state); /* {0} accepted */

/* By name or, when that is NULL, by MAC: hardware before what has a kind, since a bridge or VLAN
 * often has the same. False: there is none. */
bool netstate_find(const struct netstate *state, const char *name, const uint8_t *mac,
                   struct rtrecord_link *ret_link);

/* Whether a subnet of that link has the address. */
bool netstate_reaches(const struct netstate *state, int index, const struct rtaddress *address);

#endif
