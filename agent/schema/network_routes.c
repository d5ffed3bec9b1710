#include "agent/schema/network_routes.h"

#include <string.h>
#include <sys/socket.h>

#include "agent/schema/netaddress.h"

enum { IPV6_METRIC = 1024 }; /* what the kernel takes for 0 */

struct destination {
    struct netaddress to;
    int64_t metric;
};

static struct destination destination_of(const struct network_route *route)
{
    struct destination destination = {.to.family = AF_INET, .metric = route->metric};
    struct netaddress via;
    if (!netaddress_parse_prefix(route->to, &destination.to) && route->via &&
        netaddress_parse(route->via, &via))
        destination.to.family = via.family;
    if (destination.to.family == AF_INET6 && destination.metric == 0)
        destination.metric = IPV6_METRIC;
    return destination;
}

static bool is_same(const struct destination *one, const struct destination *other)
{
    return one->metric == other->metric && one->to.family == other->to.family &&
           one->to.prefix == other->to.prefix &&
           memcmp(one->to.bytes, other->to.bytes, netaddress_length(&one->to)) == 0;
}

int network_routes_check(const struct network *network, struct place *place)
{
    const struct network_link *links = network->links.items;
    struct destination seen[NETWORK_ROUTES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < network->links.count; i++) {
        const struct network_route *routes = links[i].routes.items;
        for (size_t j = 0; j < links[i].routes.count; j++) {
            place_set(place, "links[%zu].routes[%zu]", i, j);
            if (count == NETWORK_ROUTES_MAX)
                return place_refuse(place, NULL, "is one route more than 1024 in all");
            seen[count] = destination_of(&routes[j]);
            for (size_t k = 0; k < count; k++)
                if (is_same(&seen[k], &seen[count]))
                    return place_refuse(place, routes[j].to, "has the metric of another route to");
            count++;
        }
    }
    return 0;
}
