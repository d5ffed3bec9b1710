#include "agent/netlink/rtrecord.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { TABLE = 64 }; /* attributes looked at; all that are wanted have lower numbers */
_Static_assert((int)IFLA_LINKINFO < (int)TABLE && (int)RTA_MULTIPATH < (int)TABLE, "all fit");

/* The header of a message and the attributes behind it. */
static bool open_message(const struct nlmessage *message, uint16_t type, void *ret_header,
                         size_t header_length, struct nlmessage_attribute table[TABLE])
{
    size_t skip = NLMSG_ALIGN(header_length);
    if (message->type != type || message->length < header_length)
        return false;
    memcpy(ret_header, message->body, header_length);
    if (skip > message->length)
        skip = message->length;
    return nlmessage_attributes(message->body + skip, message->length - skip, table, TABLE);
}

static bool read_address(const struct nlmessage_attribute *attribute, uint8_t family,
                         unsigned prefix, struct rtaddress *ret_address)
{
    size_t length = rtaddress_length(family);
    if (length == 0 || prefix > 8 * length || !attribute->data || attribute->length != length)
        return false;
    *ret_address = (struct rtaddress){.family = family, .prefix = (uint8_t)prefix};
    memcpy(ret_address->bytes, attribute->data, length);
    return true;
}

static bool read_mac(const struct nlmessage_attribute *attribute, uint8_t ret_mac[RTADDRESS_MAC])
{
    if (!attribute->data || attribute->length != RTADDRESS_MAC)
        return false;
    memcpy(ret_mac, attribute->data, RTADDRESS_MAC);
    return true;
}

static const char *name_of(const char *const *names, size_t count, unsigned value)
{
    return value < count ? names[value] : NULL;
}
#define NAME_OF(names, value) name_of(names, sizeof(names) / sizeof *(names), value)

/* Links */

static void read_kind(const struct nlmessage_attribute *info, char target[RTRECORD_KIND])
{
    struct nlmessage_attribute table[IFLA_INFO_KIND + 1];
    if (info->data && nlmessage_attributes(info->data, info->length, table, IFLA_INFO_KIND + 1))
        nlmessage_text(&table[IFLA_INFO_KIND], target, RTRECORD_KIND);
}

/* Kernels append members to the statistics: what is common to all is at the start. */
static void read_statistics(const struct nlmessage_attribute *attribute, struct rtrecord_link *link)
{
    struct rtnl_link_stats64 statistics = {0};
    if (!attribute->data)
        return;
    size_t length = attribute->length;
    memcpy(&statistics, attribute->data, length < sizeof statistics ? length : sizeof statistics);
    link->rx_bytes = statistics.rx_bytes;
    link->rx_packets = statistics.rx_packets;
    link->rx_errors = statistics.rx_errors;
    link->rx_dropped = statistics.rx_dropped;
    link->tx_bytes = statistics.tx_bytes;
    link->tx_packets = statistics.tx_packets;
    link->tx_errors = statistics.tx_errors;
    link->tx_dropped = statistics.tx_dropped;
}

bool rtrecord_link(const struct nlmessage *message, struct rtrecord_link *ret_link)
{
    struct nlmessage_attribute table[TABLE];
    struct ifinfomsg header;
    struct rtrecord_link link = {0};
    if (!open_message(message, RTM_NEWLINK, &header, sizeof header, table) ||
        header.ifi_index <= 0 || !nlmessage_text(&table[IFLA_IFNAME], link.name, sizeof link.name))
        return false;
    link.index = header.ifi_index;
    link.flags = header.ifi_flags;
    link.has_mac = read_mac(&table[IFLA_ADDRESS], link.mac);
    nlmessage_u32(&table[IFLA_MTU], &link.mtu);
    nlmessage_u8(&table[IFLA_OPERSTATE], &link.state);
    read_kind(&table[IFLA_LINKINFO], link.kind);
    read_statistics(&table[IFLA_STATS64], &link);
    *ret_link = link;
    return true;
}

const char *rtrecord_state_name(uint8_t state)
{
    static const char *const names[] = {
        [IF_OPER_UNKNOWN] = "unknown", [IF_OPER_NOTPRESENT] = "notpresent",
        [IF_OPER_DOWN] = "down",       [IF_OPER_LOWERLAYERDOWN] = "lowerlayerdown",
        [IF_OPER_TESTING] = "testing", [IF_OPER_DORMANT] = "dormant",
        [IF_OPER_UP] = "up",
    };
    const char *name = NAME_OF(names, state);
    return name ? name : "unknown";
}

/* Addresses */

bool rtrecord_address(const struct nlmessage *message, struct rtrecord_address *ret_address)
{
    struct nlmessage_attribute table[TABLE];
    struct ifaddrmsg header;
    struct rtrecord_address address = {0};
    if (!open_message(message, RTM_NEWADDR, &header, sizeof header, table))
        return false;
    /* On a point-to-point link IFA_ADDRESS is the other end's. */
    const struct nlmessage_attribute *own = &table[IFA_LOCAL];
    if (!own->data)
        own = &table[IFA_ADDRESS];
    if (!read_address(own, header.ifa_family, header.ifa_prefixlen, &address.address))
        return false;
    address.peer = address.address;
    read_address(&table[IFA_ADDRESS], header.ifa_family, header.ifa_prefixlen, &address.peer);
    address.index = (int)header.ifa_index;
    address.scope = header.ifa_scope;
    address.flags = header.ifa_flags;
    nlmessage_u32(&table[IFA_FLAGS], &address.flags);
    *ret_address = address;
    return true;
}

/* Routes */

struct hop {
    int index;
    const uint8_t *attributes;
    size_t length;
};

/* The next hop of RTA_MULTIPATH. False at the end, and for what is malformed. */
static bool next_hop(struct nlmessage_attribute *rest, struct hop *ret_hop)
{
    struct rtnexthop header;
    if (rest->length < sizeof header)
        return false;
    memcpy(&header, rest->data, sizeof header);
    if (header.rtnh_len < sizeof header || header.rtnh_len > rest->length)
        return false;
    *ret_hop = (struct hop){.index = header.rtnh_ifindex,
                            .attributes = rest->data + sizeof header,
                            .length = header.rtnh_len - sizeof header};
    size_t step = RTNH_ALIGN((size_t)header.rtnh_len);
    if (step > rest->length)
        step = rest->length;
    rest->data += step;
    rest->length -= step;
    return true;
}

/* The route's hop is the first of several. */
static bool read_hops(struct nlmessage_attribute rest, struct rtrecord_route *route)
{
    struct hop hop;
    while (next_hop(&rest, &hop)) {
        struct nlmessage_attribute table[RTA_GATEWAY + 1];
        if (route->hops++ > 0)
            continue;
        if (!nlmessage_attributes(hop.attributes, hop.length, table, RTA_GATEWAY + 1))
            return false;
        route->index = hop.index;
        route->has_via =
            read_address(&table[RTA_GATEWAY], route->to.family,
                         8 * (unsigned)rtaddress_length(route->to.family), &route->via);
    }
    return rest.length == 0;
}

static bool open_route(const struct nlmessage *message, struct rtmsg *ret_header,
                       struct nlmessage_attribute table[TABLE])
{
    return open_message(message, RTM_NEWROUTE, ret_header, sizeof *ret_header, table) &&
           !(ret_header->rtm_flags & RTM_F_CLONED);
}

bool rtrecord_route(const struct nlmessage *message, struct rtrecord_route *ret_route)
{
    struct nlmessage_attribute table[TABLE];
    struct rtmsg header;
    if (!open_route(message, &header, table))
        return false;
    struct rtrecord_route route = {
        .to = {.family = header.rtm_family},
        .table = header.rtm_table,
        .type = header.rtm_type,
        .scope = header.rtm_scope,
        .protocol = header.rtm_protocol,
    };
    size_t bits = 8 * rtaddress_length(header.rtm_family);
    if (bits == 0 || (header.rtm_dst_len > 0 && !read_address(&table[RTA_DST], header.rtm_family,
                                                              header.rtm_dst_len, &route.to)))
        return false;
    uint32_t index = 0;
    nlmessage_u32(&table[RTA_TABLE], &route.table);
    nlmessage_u32(&table[RTA_PRIORITY], &route.metric);
    route.hops = nlmessage_u32(&table[RTA_OIF], &index);
    route.index = (int)index;
    route.has_via =
        read_address(&table[RTA_GATEWAY], header.rtm_family, (unsigned)bits, &route.via);
    if (table[RTA_MULTIPATH].data && !read_hops(table[RTA_MULTIPATH], &route))
        return false;
    *ret_route = route;
    return true;
}

bool rtrecord_route_uses(const struct nlmessage *message, int index)
{
    struct nlmessage_attribute table[TABLE];
    struct rtmsg header;
    struct hop hop;
    uint32_t only;
    if (!open_route(message, &header, table))
        return false;
    if (nlmessage_u32(&table[RTA_OIF], &only) && (int)only == index)
        return true;
    while (table[RTA_MULTIPATH].data && next_hop(&table[RTA_MULTIPATH], &hop))
        if (hop.index == index)
            return true;
    return false;
}

const char *rtrecord_scope_name(uint8_t scope)
{
    static const char *const names[] = {
        [RT_SCOPE_UNIVERSE] = "global", [RT_SCOPE_SITE] = "site",       [RT_SCOPE_LINK] = "link",
        [RT_SCOPE_HOST] = "host",       [RT_SCOPE_NOWHERE] = "nowhere",
    };
    return NAME_OF(names, scope);
}

const char *rtrecord_protocol_name(uint8_t protocol)
{
    static const char *const names[] = {
        [RTPROT_REDIRECT] = "redirect", [RTPROT_KERNEL] = "kernel", [RTPROT_BOOT] = "boot",
        [RTPROT_STATIC] = "static",     [RTPROT_RA] = "ra",         [RTPROT_DHCP] = "dhcp",
    };
    return NAME_OF(names, protocol);
}

const char *rtrecord_type_name(uint8_t type)
{
    static const char *const names[] = {
        [RTN_UNICAST] = "unicast",
        [RTN_LOCAL] = "local",
        [RTN_BROADCAST] = "broadcast",
        [RTN_ANYCAST] = "anycast",
        [RTN_MULTICAST] = "multicast",
        [RTN_BLACKHOLE] = "blackhole",
        [RTN_UNREACHABLE] = "unreachable",
        [RTN_PROHIBIT] = "prohibit",
        [RTN_THROW] = "throw",
    };
    return NAME_OF(names, type);
}

/* Neighbours */

bool rtrecord_neighbour(const struct nlmessage *message, struct rtrecord_neighbour *ret_neighbour)
{
    struct nlmessage_attribute table[TABLE];
    struct ndmsg header;
    struct rtrecord_neighbour neighbour = {0};
    if (!open_message(message, RTM_NEWNEIGH, &header, sizeof header, table) ||
        !read_address(&table[NDA_DST], header.ndm_family,
                      8 * (unsigned)rtaddress_length(header.ndm_family), &neighbour.address))
        return false;
    neighbour.index = header.ndm_ifindex;
    neighbour.state = header.ndm_state;
    neighbour.has_mac = read_mac(&table[NDA_LLADDR], neighbour.mac);
    *ret_neighbour = neighbour;
    return true;
}
