#include "agent/netlink/rtrequest.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CHANGE = NLM_F_REQUEST | NLM_F_ACK,
    PUT = CHANGE | NLM_F_CREATE | NLM_F_REPLACE,
    POINT_TO_POINT_PREFIX = 31 /* from here on a subnet has no broadcast address, RFC 3021 */
};

/* Links */

static void begin_link(struct nlmessage_writer *batch, int index, unsigned flags, unsigned mask)
{
    const struct ifinfomsg header = {.ifi_index = index, .ifi_flags = flags, .ifi_change = mask};
    nlmessage_begin(batch, RTM_NEWLINK, CHANGE, &header, sizeof header);
}

void rtrequest_link_up(struct nlmessage_writer *batch, int index, bool up)
{
    begin_link(batch, index, up ? IFF_UP : 0, IFF_UP);
    nlmessage_end(batch);
}

void rtrequest_link_mtu(struct nlmessage_writer *batch, int index, uint32_t mtu)
{
    begin_link(batch, index, 0, 0);
    nlmessage_put(batch, IFLA_MTU, &mtu, sizeof mtu);
    nlmessage_end(batch);
}

void rtrequest_link_mac(struct nlmessage_writer *batch, int index, const uint8_t mac[RTADDRESS_MAC])
{
    begin_link(batch, index, 0, 0);
    nlmessage_put(batch, IFLA_ADDRESS, mac, RTADDRESS_MAC);
    nlmessage_end(batch);
}

/* Addresses */

static void begin_address(struct nlmessage_writer *batch, uint16_t type, uint16_t flags, int index,
                          const struct rtaddress *address, const struct rtaddress *peer)
{
    const struct ifaddrmsg header = {
        .ifa_family = address->family,
        .ifa_prefixlen = address->prefix,
        .ifa_scope = rtaddress_is_own(address) && address->family == AF_INET ? RT_SCOPE_HOST
                                                                             : RT_SCOPE_UNIVERSE,
        .ifa_index = (unsigned)index,
    };
    size_t length = rtaddress_length(address->family);
    nlmessage_begin(batch, type, flags, &header, sizeof header);
    nlmessage_put(batch, IFA_LOCAL, address->bytes, length);
    nlmessage_put(batch, IFA_ADDRESS, peer->bytes, length);
}

static void put_broadcast(struct nlmessage_writer *batch, const struct rtaddress *address)
{
    uint8_t broadcast[4];
    for (unsigned i = 0; i < sizeof broadcast; i++) {
        unsigned before = address->prefix < 8 * i ? 0 : address->prefix - 8 * i;
        broadcast[i] = address->bytes[i] | (uint8_t)(before < 8 ? 0xff >> before : 0);
    }
    nlmessage_put(batch, IFA_BROADCAST, broadcast, sizeof broadcast);
}

void rtrequest_address(struct nlmessage_writer *batch, int index, const struct rtaddress *address)
{
    begin_address(batch, RTM_NEWADDR, PUT, index, address, address);
    if (address->family == AF_INET6) {
        const uint32_t flags = IFA_F_NODAD;
        nlmessage_put(batch, IFA_FLAGS, &flags, sizeof flags);
    } else if (address->prefix < POINT_TO_POINT_PREFIX && !rtaddress_is_own(address)) {
        put_broadcast(batch, address);
    }
    nlmessage_end(batch);
}

void rtrequest_remove_address(struct nlmessage_writer *batch, int index,
                              const struct rtaddress *address, const struct rtaddress *peer)
{
    begin_address(batch, RTM_DELADDR, CHANGE, index, address, peer);
    nlmessage_end(batch);
}

/* Routes */

static void put_route(struct nlmessage_writer *batch, uint16_t type, uint16_t flags,
                      const struct rtmsg *header, const struct rtrequest_route *route)
{
    size_t length = rtaddress_length(route->to.family);
    nlmessage_begin(batch, type, flags, header, sizeof *header);
    if (route->to.prefix > 0)
        nlmessage_put(batch, RTA_DST, route->to.bytes, length);
    if (route->index > 0)
        nlmessage_put(batch, RTA_OIF, &route->index, sizeof route->index);
    if (route->via)
        nlmessage_put(batch, RTA_GATEWAY, route->via->bytes, length);
    if (route->metric > 0)
        nlmessage_put(batch, RTA_PRIORITY, &route->metric, sizeof route->metric);
    nlmessage_end(batch);
}

void rtrequest_route(struct nlmessage_writer *batch, const struct rtrequest_route *route)
{
    const struct rtmsg header = {
        .rtm_family = route->to.family,
        .rtm_dst_len = route->to.prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = route->via || route->to.family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
        .rtm_type = RTN_UNICAST,
        .rtm_flags = route->is_onlink ? RTNH_F_ONLINK : 0,
    };
    put_route(batch, RTM_NEWROUTE, PUT, &header, route);
}

void rtrequest_remove_route(struct nlmessage_writer *batch, const struct rtrequest_route *route)
{
    const struct rtmsg header = {
        .rtm_family = route->to.family,
        .rtm_dst_len = route->to.prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_scope = RT_SCOPE_NOWHERE, /* any */
    };
    put_route(batch, RTM_DELROUTE, CHANGE, &header, route);
}

/* Neighbours */

static void put_neighbour(struct nlmessage_writer *batch, uint16_t type, uint16_t flags, int index,
                          const struct rtaddress *address, const uint8_t *mac)
{
    const struct ndmsg header = {
        .ndm_family = address->family,
        .ndm_ifindex = index,
        .ndm_state = NUD_PERMANENT,
    };
    nlmessage_begin(batch, type, flags, &header, sizeof header);
    nlmessage_put(batch, NDA_DST, address->bytes, rtaddress_length(address->family));
    if (mac)
        nlmessage_put(batch, NDA_LLADDR, mac, RTADDRESS_MAC);
    nlmessage_end(batch);
}

void rtrequest_neighbour(struct nlmessage_writer *batch, int index, const struct rtaddress *address,
                         const uint8_t mac[RTADDRESS_MAC])
{
    put_neighbour(batch, RTM_NEWNEIGH, PUT, index, address, mac);
}

void rtrequest_remove_neighbour(struct nlmessage_writer *batch, int index,
                                const struct rtaddress *address)
{
    put_neighbour(batch, RTM_DELNEIGH, CHANGE, index, address, NULL);
}

bool rtrequest_is_gone(int sys_errno)
{
    return sys_errno == ESRCH || sys_errno == ENOENT || sys_errno == EADDRNOTAVAIL;
}
