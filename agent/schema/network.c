/* The tables bound sizes and counts; the checks below see to what a text means. Every check is made
 * at a place: the path that an error names, built on the way down.
 */
#include "agent/schema/network.h"

#include <net/if.h>
#include <string.h>
#include <strings.h>

#include "agent/schema/netaddress.h"
#include "agent/schema/network_routes.h"
#include "agent/schema/place.h"

enum {
    LINKS_MAX = 64,
    ADDRESSES_MAX = 64,
    ROUTES_MAX = 256,
    NEIGHBOURS_MAX = 256,
    MTU_MIN = 68, /* RFC 791 */
    MTU_MAX = 65536,
    ADDRESS_TEXT = 64,
    SERVERS_MAX = 3, /* more are not read by libc: MAXNS */
    SEARCH_MAX = 32,
    OPTIONS_MAX = 16,
};

#define MEMBER(struct_, name_, type_)                                                              \
    .name = #name_, .type = PARAM_##type_, .offset = offsetof(struct struct_, name_)

static const struct param_field route_fields[] = {
    {MEMBER(network_route, to, STRING), .flags = PARAM_REQUIRED, .max = ADDRESS_TEXT,
     .doc = "\"default\", or ADDRESS/PREFIX"},
    {MEMBER(network_route, via, STRING), .max = ADDRESS_TEXT,
     .doc = "gateway; without it the destination is on the link itself"},
    {MEMBER(network_route, metric, INT), .max = UINT32_MAX, .doc = "0: the kernel's own"},
};
static const struct param_table route_table = PARAM_TABLE(struct network_route, route_fields);

static const struct param_field neighbour_fields[] = {
    {MEMBER(network_neighbour, address, STRING), .flags = PARAM_REQUIRED, .max = ADDRESS_TEXT,
     .doc = "IPv4 or IPv6 address"},
    {MEMBER(network_neighbour, mac, STRING), .flags = PARAM_REQUIRED, .max = ADDRESS_TEXT,
     .doc = "its hardware address"},
};
static const struct param_table neighbour_table =
    PARAM_TABLE(struct network_neighbour, neighbour_fields);

static const struct param_field link_fields[] = {
    {MEMBER(network_link, name, STRING), .max = IF_NAMESIZE - 1,
     .doc = "name of the interface; or mac says which"},
    {MEMBER(network_link, mac, STRING), .max = ADDRESS_TEXT,
     .doc = "hardware address: set where name is given, otherwise it finds the interface"},
    {MEMBER(network_link, mtu, INT), .min = MTU_MIN, .max = MTU_MAX, .doc = "default: as it is"},
    {MEMBER(network_link, up, BOOL), .fallback = 1, .doc = "brings it up, or down"},
    {MEMBER(network_link, flush, BOOL),
     .doc = "first removes the addresses and routes that are not named here"},
    {MEMBER(network_link, addresses, ARGUMENTS), .max = ADDRESSES_MAX,
     .doc = "ADDRESS/PREFIX, IPv4 or IPv6"},
    {MEMBER(network_link, routes, OBJECTS), .max = ROUTES_MAX, .table = &route_table,
     .doc = "routes over this interface"},
    {MEMBER(network_link, neighbours, OBJECTS), .max = NEIGHBOURS_MAX, .table = &neighbour_table,
     .doc = "permanent entries of the neighbour table"},
};
static const struct param_table link_table = PARAM_TABLE(struct network_link, link_fields);

static const struct param_field network_fields[] = {
    {MEMBER(network, links, OBJECTS), .max = LINKS_MAX, .table = &link_table,
     .doc = "interfaces; lo is brought up in any case"},
    {MEMBER(network, dns_servers, ARGUMENTS), .max = SERVERS_MAX,
     .doc = "addresses of name servers, for /etc/resolv.conf"},
    {MEMBER(network, dns_search, ARGUMENTS), .max = SEARCH_MAX,
     .doc = "domains in which short names are looked up"},
    {MEMBER(network, dns_options, ARGUMENTS), .max = OPTIONS_MAX,
     .doc = "options of resolv.conf(5), such as \"ndots:2\""},
};
const struct param_table network_table = PARAM_TABLE(struct network, network_fields);

/* Links */

static bool is_interface_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= IF_NAMESIZE || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (; *name; name++)
        if (*name <= ' ' || *name > '~' || *name == '/' || *name == ':')
            return false;
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a && b && strcasecmp(a, b) == 0;
}

static int check_identity(struct place *place, const struct network *network, size_t index)
{
    const struct network_link *links = network->links.items, *link = &links[index];
    place_set(place, "links[%zu]", index);
    if (!link->name && !link->mac)
        return place_refuse(place, NULL, "needs name or mac");
    place_set(place, "links[%zu].name", index);
    if (link->name && !is_interface_name(link->name))
        return place_refuse(place, link->name, "is no name of an interface");
    for (size_t i = 0; i < index; i++)
        if (link->name && links[i].name && strcmp(link->name, links[i].name) == 0)
            return place_refuse(place, link->name, "is that of another link as well");
    place_set(place, "links[%zu].mac", index);
    if (link->mac && !netaddress_parse_mac(link->mac, NULL))
        return place_refuse(place, link->mac, "is no hardware address of an interface");
    for (size_t i = 0; i < index; i++)
        if (same_text(link->mac, links[i].mac))
            return place_refuse(place, link->mac, "is that of another link as well");
    return 0;
}

static bool same_address(const struct netaddress *a, const struct netaddress *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static int check_addresses(struct place *place, const struct network_link *link, size_t index)
{
    struct netaddress seen[ADDRESSES_MAX];
    for (size_t i = 0; i < link->addresses.count; i++) {
        const char *text = link->addresses.items[i];
        place_set(place, "links[%zu].addresses[%zu]", index, i);
        if (!netaddress_parse_prefix(text, &seen[i]))
            return place_refuse(place, text, "is no ADDRESS/PREFIX");
        for (size_t j = 0; j < i; j++)
            if (same_address(&seen[i], &seen[j]))
                return place_refuse(place, text, "is given twice");
    }
    return 0;
}

static int check_route(struct place *place, const struct network_route *route, size_t index,
                       size_t number)
{
    struct netaddress to = {.family = 0}, via;
    bool is_default = strcmp(route->to, "default") == 0;
    place_set(place, "links[%zu].routes[%zu].to", index, number);
    if (!is_default && !netaddress_parse_prefix(route->to, &to))
        return place_refuse(place, route->to, "is neither \"default\" nor ADDRESS/PREFIX");
    if (!is_default && !netaddress_is_network(&to))
        return place_refuse(place, route->to, "has bits behind its prefix");
    place_set(place, "links[%zu].routes[%zu].via", index, number);
    if (!route->via)
        return 0;
    if (!netaddress_parse(route->via, &via))
        return place_refuse(place, route->via, "is no address");
    if (!is_default && via.family != to.family)
        return place_refuse(place, route->via, "is not of the family of the destination");
    return 0;
}

static int check_neighbour(struct place *place, const struct network_neighbour *neighbour,
                           size_t index, size_t number)
{
    place_set(place, "links[%zu].neighbours[%zu].address", index, number);
    if (!netaddress_parse(neighbour->address, NULL))
        return place_refuse(place, neighbour->address, "is no address");
    place_set(place, "links[%zu].neighbours[%zu].mac", index, number);
    if (!netaddress_parse_mac(neighbour->mac, NULL))
        return place_refuse(place, neighbour->mac, "is no hardware address of an interface");
    return 0;
}

static int check_link(struct place *place, const struct network *network, size_t index)
{
    const struct network_link *link = (const struct network_link *)network->links.items + index;
    const struct network_route *routes = link->routes.items;
    const struct network_neighbour *neighbours = link->neighbours.items;
    if (check_identity(place, network, index) < 0 || check_addresses(place, link, index) < 0)
        return -1;
    for (size_t i = 0; i < link->routes.count; i++)
        if (check_route(place, &routes[i], index, i) < 0)
            return -1;
    for (size_t i = 0; i < link->neighbours.count; i++)
        if (check_neighbour(place, &neighbours[i], index, i) < 0)
            return -1;
    return 0;
}

/* resolv.conf: one line each, words that blanks separate */

static bool is_server(const char *text)
{
    return netaddress_parse(text, NULL);
}

static bool is_word(const char *text)
{
    const char *at = text;
    while (*at > ' ' && *at <= '~')
        at++;
    return at > text && *at == '\0';
}

static int check_words(struct place *place, const char *member, const struct param_strings *words,
                       bool (*is_right)(const char *text), const char *reason)
{
    for (size_t i = 0; i < words->count; i++) {
        place_set(place, "%s[%zu]", member, i);
        if (!is_right(words->items[i]))
            return place_refuse(place, words->items[i], reason);
    }
    return 0;
}

int network_check(const struct network *network, struct nsp_error *err)
{
    struct place place = {.err = err};
    for (size_t i = 0; i < network->links.count; i++)
        if (check_link(&place, network, i) < 0)
            return -1;
    if (network_routes_check(network, &place) < 0 ||
        check_words(&place, "dns_servers", &network->dns_servers, is_server, "is no address") < 0 ||
        check_words(&place, "dns_search", &network->dns_search, netaddress_is_name,
                    "is no domain name") < 0)
        return -1;
    return check_words(&place, "dns_options", &network->dns_options, is_word, "is no option");
}
