/* Requests that change links, addresses, routes and neighbours: rtnetlink(7) messages for a batch
 * (netlink_exchange). Pure. All may be carried out twice: adding replaces what is there; for what a
 * removal of nothing is answered with, see rtrequest_is_gone.
 */
#ifndef AGENT_RTREQUEST_H
#define AGENT_RTREQUEST_H

#include "agent/netlink/nlmessage.h"
#include "agent/netlink/rtaddress.h"

void rtrequest_link_up(struct nlmessage_writer *batch, int index, bool up);
void rtrequest_link_mtu(struct nlmessage_writer *batch, int index, uint32_t mtu);
/* Many drivers refuse it (EBUSY) while the link is up. */
void rtrequest_link_mac(struct nlmessage_writer *batch, int index,
                        const uint8_t mac[RTADDRESS_MAC]);

/* IPv6 addresses are usable at once: without duplicate address detection. */
void rtrequest_address(struct nlmessage_writer *batch, int index, const struct rtaddress *address);
/* peer: the other end's on a point-to-point link, otherwise the address itself. */
void rtrequest_remove_address(struct nlmessage_writer *batch, int index,
                              const struct rtaddress *address, const struct rtaddress *peer);

struct rtrequest_route {
    int index;                   /* 0, for removal: any */
    struct rtaddress to;         /* prefix 0: default */
    const struct rtaddress *via; /* NULL: on the link itself; for removal: any */
    bool is_onlink;              /* the gateway is reached although no subnet of the link has it */
    uint32_t metric;             /* 0: the kernel's */
};
/* In the main table. Replaces one of the same destination and metric. */
void rtrequest_route(struct nlmessage_writer *batch, const struct rtrequest_route *route);
void rtrequest_remove_route(struct nlmessage_writer *batch, const struct rtrequest_route *route);

/* Permanent: never asked for, never forgotten. */
void rtrequest_neighbour(struct nlmessage_writer *batch, int index, const struct rtaddress *address,
                         const uint8_t mac[RTADDRESS_MAC]);
void rtrequest_remove_neighbour(struct nlmessage_writer *batch, int index,
                                const struct rtaddress *address);

/* Errors by which a removal says that there was nothing to remove. */
bool rtrequest_is_gone(int sys_errno);

#endif
