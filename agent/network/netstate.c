#include "agent/network/netstate.h"

#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

int netstate_read(struct netlink *netlink, bool with_routes, struct netstate *ret_state,
                  struct nsp_error *err)
{
    struct netstate state = {0};
    const struct {
        uint16_t type;
        struct nsp_buf *target;
    } dumps[] = {
        {RTM_GETLINK, &state.links},
        {RTM_GETADDR, &state.addresses},
        {RTM_GETROUTE, &state.routes},
        {RTM_GETNEIGH, &state.neighbours},
    };
    for (size_t i = 0; i < (with_routes ? 4 : 2); i++) {
        if (netlink_dump(netlink, dumps[i].type, AF_UNSPEC, dumps[i].target, err) < 0) {
            netstate_done(&state);
            return -1;
        }
    }
    *ret_state = state;
    return 0;
}

void netstate_done(struct netstate *state)
{
    nsp_buf_done(&state->links);
    nsp_buf_done(&state->addresses);
    nsp_buf_done(&state->routes);
    nsp_buf_done(&state->neighbours);
}

static bool has_mac(const struct rtrecord_link *link, const uint8_t *mac)
{
    return link->has_mac && !(link->flags & IFF_LOOPBACK) &&
           memcmp(link->mac, mac, RTADDRESS_MAC) == 0;
}

bool netstate_find(const struct netstate *state, const char *name, const uint8_t *mac,
                   struct rtrecord_link *ret_link)
{
    struct nlmessage message;
    struct rtrecord_link link;
    bool found = false;
    for (size_t offset = 0; nlmessage_take(&state->links, &offset, &message);) {
        if (!rtrecord_link(&message, &link))
            continue;
        if (name ? strcmp(link.name, name) != 0 : !has_mac(&link, mac))
            continue;
        if (!found || (link.kind[0] == '\0' && ret_link->kind[0] != '\0'))
            *ret_link = link;
        found = true;
    }
    return found;
}

bool netstate_reaches(const struct netstate *state, int index, const struct rtaddress *address)
{
    struct nlmessage message;
    struct rtrecord_address own;
    for (size_t offset = 0; nlmessage_take(&state->addresses, &offset, &message);)
        if (rtrecord_address(&message, &own) && own.index == index &&
            rtaddress_covers(&own.peer, address))
            return true;
    return false;
}
