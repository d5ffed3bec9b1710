#include "agent/network/nettarget.h"

#include <linux/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/netlink/rtrequest.h"
#include "agent/schema/netaddress.h"

enum { IPV6_METRIC = 1024 }; /* what the kernel takes for 0 */

/* Decoding */

static struct rtaddress to_rtaddress(const struct netaddress *from)
{
    struct rtaddress address = {.family = (uint8_t)from->family, .prefix = (uint8_t)from->prefix};
    memcpy(address.bytes, from->bytes, sizeof address.bytes);
    return address;
}

static struct rtaddress address_of(const char *text)
{
    struct netaddress address = {0};
    netaddress_parse(text, &address);
    return to_rtaddress(&address);
}

static struct rtaddress network_of(const char *text)
{
    struct netaddress address = {0};
    netaddress_parse_prefix(text, &address);
    return to_rtaddress(&address);
}

static struct nettarget_route route_of(const struct network_route *wanted)
{
    struct nettarget_route route = {.has_via = wanted->via != NULL,
                                    .metric = (uint32_t)wanted->metric};
    if (route.has_via)
        route.via = address_of(wanted->via);
    if (strcmp(wanted->to, "default") == 0)
        route.to.family = route.has_via ? route.via.family : AF_INET;
    else
        route.to = network_of(wanted->to);
    if (route.metric == 0 && route.to.family == AF_INET6)
        route.metric = IPV6_METRIC;
    return route;
}

int nettarget_open(const struct netstate *state, const struct network_link *wanted,
                   struct nettarget *ret_target, struct nsp_error *err)
{
    const struct network_route *routes = wanted->routes.items;
    const struct network_neighbour *neighbours = wanted->neighbours.items;
    struct nettarget target = {.wanted = wanted};
    uint8_t mac[NETADDRESS_MAC_BYTES] = {0};
    if (wanted->mac)
        netaddress_parse_mac(wanted->mac, mac);
    if (!netstate_find(state, wanted->name, mac, &target.link))
        return nsp_fail(err, NSP_E_NOT_FOUND, "there is no such link");
    target.addresses = calloc(wanted->addresses.count + 1, sizeof *target.addresses);
    target.routes = calloc(wanted->routes.count + 1, sizeof *target.routes);
    target.neighbours = calloc(wanted->neighbours.count + 1, sizeof *target.neighbours);
    if (!target.addresses || !target.routes || !target.neighbours) {
        nettarget_close(&target);
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for what a link shall be");
    }
    for (size_t i = 0; i < wanted->addresses.count; i++)
        target.addresses[i] = network_of(wanted->addresses.items[i]);
    for (size_t i = 0; i < wanted->routes.count; i++)
        target.routes[i] = route_of(&routes[i]);
    for (size_t i = 0; i < wanted->neighbours.count; i++)
        target.neighbours[i] = address_of(neighbours[i].address);
    *ret_target = target;
    return 0;
}

void nettarget_close(struct nettarget *target)
{
    free(target->addresses);
    free(target->routes);
    free(target->neighbours);
}

void nettarget_format_route(const struct rtaddress *to, const struct rtaddress *via,
                            uint32_t metric, char target[NETREPORT_VALUE])
{
    char to_text[RTADDRESS_TEXT] = "default", via_text[RTADDRESS_TEXT] = "", metric_text[24] = "";
    if (to->prefix > 0)
        rtaddress_format(to, true, to_text);
    if (via)
        rtaddress_format(via, false, via_text);
    if (metric > 0)
        snprintf(metric_text, sizeof metric_text, " metric %u", metric);
    snprintf(target, NETREPORT_VALUE, "%s%s%s%s", to_text, via ? " via " : "", via_text,
             metric_text);
}

/* Applying. The item first, then its request. */

static void apply_mac(const struct nettarget *target, struct netjob *job)
{
    const struct network_link *wanted = target->wanted;
    const struct rtrecord_link *link = &target->link;
    uint8_t mac[NETADDRESS_MAC_BYTES];
    if (!wanted->name || !wanted->mac || !netaddress_parse_mac(wanted->mac, mac) ||
        (link->has_mac && memcmp(mac, link->mac, sizeof mac) == 0))
        return;
    if (link->flags & IFF_UP) {
        netreport_request(&job->report, "down", link->name, "");
        rtrequest_link_up(&job->batch, link->index, false);
    }
    netreport_request(&job->report, "mac", link->name, wanted->mac);
    rtrequest_link_mac(&job->batch, link->index, mac);
}

static void apply_link(const struct nettarget *target, struct netjob *job)
{
    const struct network_link *wanted = target->wanted;
    const struct rtrecord_link *link = &target->link;
    char text[24];
    apply_mac(target, job);
    if (wanted->mtu > 0) {
        snprintf(text, sizeof text, "%lld", (long long)wanted->mtu);
        netreport_request(&job->report, "mtu", link->name, text);
        rtrequest_link_mtu(&job->batch, link->index, (uint32_t)wanted->mtu);
    }
    netreport_request(&job->report, wanted->up ? "up" : "down", link->name, "");
    rtrequest_link_up(&job->batch, link->index, wanted->up);
}

static void apply_address(const struct nettarget *target, const struct rtaddress *address,
                          struct netjob *job)
{
    char text[RTADDRESS_TEXT];
    rtaddress_format(address, true, text);
    netreport_request(&job->report, "address", target->link.name, text);
    rtrequest_address(&job->batch, target->link.index, address);
}

/* Without that flag the kernel refuses a gateway that no subnet of the link has. Subnets that are
 * being removed do not count. */
static bool needs_onlink(const struct nettarget *target, const struct netstate *state,
                         const struct rtaddress *via)
{
    for (size_t i = 0; i < target->wanted->addresses.count; i++)
        if (rtaddress_covers(&target->addresses[i], via))
            return false;
    return !rtaddress_is_own(via) &&
           (target->wanted->flush || !netstate_reaches(state, target->link.index, via));
}

static void apply_route(const struct nettarget *target, const struct nettarget_route *wanted,
                        struct netjob *job)
{
    const struct rtaddress *via = wanted->has_via ? &wanted->via : NULL;
    const struct rtrequest_route route = {
        .index = target->link.index,
        .to = wanted->to,
        .via = via,
        .is_onlink = via && needs_onlink(target, &job->state, via),
        .metric = wanted->metric,
    };
    char text[NETREPORT_VALUE];
    nettarget_format_route(&route.to, via, route.metric, text);
    netreport_request(&job->report, "route", target->link.name, text);
    rtrequest_route(&job->batch, &route);
}

static void apply_neighbour(const struct nettarget *target, const struct rtaddress *address,
                            const char *mac_text, struct netjob *job)
{
    char text[NETREPORT_VALUE], address_text[RTADDRESS_TEXT];
    uint8_t mac[NETADDRESS_MAC_BYTES] = {0};
    netaddress_parse_mac(mac_text, mac);
    rtaddress_format(address, false, address_text);
    snprintf(text, sizeof text, "%s %s", address_text, mac_text);
    netreport_request(&job->report, "neighbour", target->link.name, text);
    rtrequest_neighbour(&job->batch, target->link.index, address, mac);
}

void nettarget_apply(const struct nettarget *target, struct netjob *job)
{
    const struct network_link *wanted = target->wanted;
    const struct network_neighbour *neighbours = wanted->neighbours.items;
    apply_link(target, job);
    for (size_t i = 0; i < wanted->addresses.count; i++)
        apply_address(target, &target->addresses[i], job);
    for (size_t i = 0; i < wanted->routes.count; i++)
        apply_route(target, &target->routes[i], job);
    for (size_t i = 0; i < wanted->neighbours.count; i++)
        apply_neighbour(target, &target->neighbours[i], neighbours[i].mac, job);
}
