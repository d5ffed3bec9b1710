/* Of what a link has, the part that is neither wanted nor the kernel's own goes. What is wanted
 * stays in place all the time.
 */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "agent/netlink/rtrequest.h"
#include "agent/network/nettarget.h"

static bool has_address(const struct rtaddress *list, size_t count, const struct rtaddress *address)
{
    for (size_t i = 0; i < count; i++)
        if (rtaddress_equal(&list[i], address))
            return true;
    return false;
}

static void flush_addresses(const struct nettarget *target, struct netjob *job)
{
    struct nlmessage message;
    struct rtrecord_address found;
    for (size_t offset = 0; nlmessage_take(&job->state.addresses, &offset, &message);) {
        if (!rtrecord_address(&message, &found) || found.index != target->link.index ||
            rtaddress_is_own(&found.address) ||
            has_address(target->addresses, target->wanted->addresses.count, &found.address))
            continue;
        char text[RTADDRESS_TEXT];
        rtaddress_format(&found.address, true, text);
        netreport_removal(&job->report, "remove address", target->link.name, text);
        rtrequest_remove_address(&job->batch, found.index, &found.address, &found.peer);
    }
}

static bool is_wanted(const struct nettarget *target, const struct rtrecord_route *found)
{
    for (size_t i = 0; i < target->wanted->routes.count; i++) {
        const struct nettarget_route *route = &target->routes[i];
        if (rtaddress_equal(&route->to, &found->to) && route->metric == found->metric &&
            route->has_via == found->has_via &&
            (!route->has_via || rtaddress_equal(&route->via, &found->via)) && found->hops == 1)
            return true;
    }
    return false;
}

/* A route of several hops goes as a whole. */
static void remove_route(const struct nettarget *target, const struct rtrecord_route *found,
                         struct netjob *job)
{
    const struct rtaddress *via = found->has_via && found->hops == 1 ? &found->via : NULL;
    const struct rtrequest_route route = {
        .index = found->hops == 1 ? found->index : 0,
        .to = found->to,
        .via = via,
        .metric = found->metric,
    };
    char text[NETREPORT_VALUE];
    nettarget_format_route(&found->to, via, found->metric, text);
    netreport_removal(&job->report, "remove route", target->link.name, text);
    rtrequest_remove_route(&job->batch, &route);
}

static void flush_routes(const struct nettarget *target, struct netjob *job)
{
    struct nlmessage message;
    struct rtrecord_route found;
    for (size_t offset = 0; nlmessage_take(&job->state.routes, &offset, &message);)
        if (rtrecord_route(&message, &found) && found.table == RT_TABLE_MAIN &&
            found.protocol != RTPROT_KERNEL && rtrecord_route_uses(&message, target->link.index) &&
            !is_wanted(target, &found))
            remove_route(target, &found, job);
}

static void flush_neighbours(const struct nettarget *target, struct netjob *job)
{
    struct nlmessage message;
    struct rtrecord_neighbour found;
    for (size_t offset = 0; nlmessage_take(&job->state.neighbours, &offset, &message);) {
        if (!rtrecord_neighbour(&message, &found) || found.index != target->link.index ||
            found.state & NUD_NOARP ||
            has_address(target->neighbours, target->wanted->neighbours.count, &found.address))
            continue;
        char text[RTADDRESS_TEXT];
        rtaddress_format(&found.address, false, text);
        netreport_removal(&job->report, "remove neighbour", target->link.name, text);
        rtrequest_remove_neighbour(&job->batch, found.index, &found.address);
    }
}

void nettarget_flush(const struct nettarget *target, struct netjob *job)
{
    flush_addresses(target, job);
    flush_routes(target, job);
    flush_neighbours(target, job);
}
