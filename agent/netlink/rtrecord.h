/* What the kernel tells about links, addresses, routes and neighbours: rtnetlink(7) messages
 * decoded into plain structs. Pure. Each returns false for a message of another type, and for one
 * that is malformed or lacks what the record needs; nothing is written then.
 */
#ifndef AGENT_RTRECORD_H
#define AGENT_RTRECORD_H

#include "agent/netlink/nlmessage.h"
#include "agent/netlink/rtaddress.h"

enum { RTRECORD_NAME = 16, RTRECORD_KIND = 16 };

struct rtrecord_link {
    int index;
    char name[RTRECORD_NAME];
    char kind[RTRECORD_KIND]; /* "veth"; empty for hardware and virtio */
    bool has_mac;
    uint8_t mac[RTADDRESS_MAC];
    unsigned flags; /* IFF_* */
    uint32_t mtu;
    uint8_t state; /* IF_OPER_* */
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
bool rtrecord_link(const struct nlmessage *message, struct rtrecord_link *ret_link);
/* "up", "down", "unknown", ... as RFC 2863 has them */
const char *rtrecord_state_name(uint8_t state);

struct rtrecord_address {
    int index;                      /* of its link */
    struct rtaddress address, peer; /* peer: the other end of a point-to-point link, or the same */
    uint8_t scope;                  /* RT_SCOPE_* */
    uint32_t flags;                 /* IFA_F_* */
};
bool rtrecord_address(const struct nlmessage *message, struct rtrecord_address *ret_address);

struct rtrecord_route {
    int index;           /* of its link, with several hops the first one's; 0: none */
    struct rtaddress to; /* prefix 0: default */
    bool has_via;
    struct rtaddress via;
    uint32_t metric, table;
    uint8_t type, scope, protocol; /* RTN_*, RT_SCOPE_*, RTPROT_* */
    unsigned hops;
};
/* Routes that are only cached are no routes. */
bool rtrecord_route(const struct nlmessage *message, struct rtrecord_route *ret_route);
/* Whether any of its hops leaves by that link. */
bool rtrecord_route_uses(const struct nlmessage *message, int index);
const char *rtrecord_scope_name(uint8_t scope);       /* "global", "link"; NULL: only a number */
const char *rtrecord_protocol_name(uint8_t protocol); /* "kernel", "static"; NULL likewise */
const char *rtrecord_type_name(uint8_t type);         /* "unicast"; NULL likewise */

struct rtrecord_neighbour {
    int index;
    struct rtaddress address; /* prefix: all bits */
    bool has_mac;
    uint8_t mac[RTADDRESS_MAC];
    uint16_t state; /* NUD_* */
};
bool rtrecord_neighbour(const struct nlmessage *message, struct rtrecord_neighbour *ret_neighbour);

#endif
