#include "agent/services/net.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

#include "agent/base/log.h"
#include "agent/network/netapply.h"
#include "agent/network/netstate.h"

/* What the kernel says now. Fails the call itself. */
static int read_state(struct call *call, bool with_routes, struct netstate *ret_state)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct netlink *netlink;
    int status = netlink_open(&netlink, &err);
    if (status == 0) {
        status = netstate_read(netlink, with_routes, ret_state, &err);
        netlink_close(netlink);
    }
    if (status < 0)
        call_fail(call, &err);
    return status;
}

/* A name, or the number where there is none. */
static void reply_name(struct reply *reply, const char *member, const char *name, unsigned number)
{
    char text[16];
    snprintf(text, sizeof text, "%u", number);
    reply_text(reply, member, name ? name : text);
}

/* net.interfaces */

static void reply_addresses(struct reply *reply, const struct netstate *state, int index)
{
    struct nlmessage message;
    struct rtrecord_address found;
    reply_open_array(reply, "addresses");
    for (size_t offset = 0; nlmessage_take(&state->addresses, &offset, &message);) {
        char text[RTADDRESS_TEXT];
        if (!rtrecord_address(&message, &found) || found.index != index)
            continue;
        rtaddress_format(&found.address, true, text);
        reply_open_object(reply, NULL);
        reply_text(reply, "address", text);
        reply_name(reply, "scope", rtrecord_scope_name(found.scope), found.scope);
        reply_bool(reply, "tentative", found.flags & IFA_F_TENTATIVE);
        reply_close(reply);
    }
    reply_close(reply);
}

static void reply_statistics(struct reply *reply, const struct rtrecord_link *link)
{
    reply_u64(reply, "rx_bytes", link->rx_bytes);
    reply_u64(reply, "rx_packets", link->rx_packets);
    reply_u64(reply, "rx_errors", link->rx_errors);
    reply_u64(reply, "rx_dropped", link->rx_dropped);
    reply_u64(reply, "tx_bytes", link->tx_bytes);
    reply_u64(reply, "tx_packets", link->tx_packets);
    reply_u64(reply, "tx_errors", link->tx_errors);
    reply_u64(reply, "tx_dropped", link->tx_dropped);
}

static void reply_interface(struct reply *reply, const struct netstate *state,
                            const struct rtrecord_link *link)
{
    char mac[RTADDRESS_MAC_TEXT];
    rtaddress_format_mac(link->mac, mac);
    reply_open_object(reply, NULL);
    reply_text(reply, "name", link->name);
    reply_int(reply, "index", link->index);
    reply_text(reply, "kind", link->kind[0] ? link->kind : NULL);
    reply_text(reply, "mac", link->has_mac ? mac : NULL);
    reply_int(reply, "mtu", link->mtu);
    reply_bool(reply, "up", link->flags & IFF_UP);
    reply_bool(reply, "carrier", link->flags & IFF_LOWER_UP);
    reply_text(reply, "state", rtrecord_state_name(link->state));
    reply_addresses(reply, state, link->index);
    reply_statistics(reply, link);
    reply_close(reply);
}

static void on_interfaces(void *arg, struct call *call, const void *params)
{
    struct netstate state;
    struct nlmessage message;
    struct rtrecord_link link;
    (void)arg;
    (void)params;
    if (read_state(call, false, &state) < 0)
        return;
    struct reply *reply = reply_new();
    reply_open_array(reply, "interfaces");
    for (size_t offset = 0; nlmessage_take(&state.links, &offset, &message);)
        if (rtrecord_link(&message, &link))
            reply_interface(reply, &state, &link);
    reply_close(reply);
    netstate_done(&state);
    call_reply(call, reply);
}

/* net.routes */

static void reply_interface_name(struct reply *reply, const struct netstate *state, int index)
{
    struct nlmessage message;
    struct rtrecord_link link;
    for (size_t offset = 0; nlmessage_take(&state->links, &offset, &message);) {
        if (rtrecord_link(&message, &link) && link.index == index) {
            reply_text(reply, "interface", link.name);
            return;
        }
    }
    reply_null(reply, "interface");
}

static void reply_route(struct reply *reply, const struct netstate *state,
                        const struct rtrecord_route *route)
{
    char to[RTADDRESS_TEXT], via[RTADDRESS_TEXT];
    rtaddress_format(&route->to, true, to);
    rtaddress_format(&route->via, false, via);
    reply_open_object(reply, NULL);
    reply_text(reply, "to", route->to.prefix > 0 ? to : "default");
    reply_text(reply, "family", route->to.family == AF_INET ? "inet" : "inet6");
    reply_text(reply, "via", route->has_via ? via : NULL);
    reply_interface_name(reply, state, route->index);
    reply_int(reply, "metric", route->metric);
    reply_name(reply, "type", rtrecord_type_name(route->type), route->type);
    reply_name(reply, "scope", rtrecord_scope_name(route->scope), route->scope);
    reply_name(reply, "protocol", rtrecord_protocol_name(route->protocol), route->protocol);
    reply_int(reply, "hops", route->hops);
    reply_close(reply);
}

static void on_routes(void *arg, struct call *call, const void *params)
{
    struct netstate state;
    struct nlmessage message;
    struct rtrecord_route route;
    (void)arg;
    (void)params;
    if (read_state(call, true, &state) < 0)
        return;
    struct reply *reply = reply_new();
    reply_open_array(reply, "routes");
    for (size_t offset = 0; nlmessage_take(&state.routes, &offset, &message);)
        if (rtrecord_route(&message, &route) && route.table == RT_TABLE_MAIN)
            reply_route(reply, &state, &route);
    reply_close(reply);
    netstate_done(&state);
    call_reply(call, reply);
}

/* net.configure */

static void reply_item(struct reply *reply, const struct netreport_item *item)
{
    struct nsp_error why = NSP_ERROR_INIT;
    reply_open_object(reply, NULL);
    reply_text(reply, "action", item->action);
    if (item->link[0])
        reply_text(reply, "interface", item->link);
    if (item->value[0])
        reply_text(reply, "value", item->value);
    if (netreport_failure(item, &why) < 0)
        reply_error(reply, "error", &why);
    reply_close(reply);
}

static void on_configure(void *arg, struct call *call, const void *params)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct netreport report;
    int64_t failed = 0;
    (void)arg;
    if (network_check(params, &err) < 0 || netapply_run(params, &report, &err) < 0) {
        call_fail(call, &err);
        return;
    }
    struct reply *reply = reply_new();
    reply_open_array(reply, "changes");
    for (size_t i = 0; i < report.count; i++) {
        reply_item(reply, &report.items[i]);
        failed += report.items[i].why.error != 0;
    }
    reply_close(reply);
    reply_int(reply, "failed", failed);
    log_info("network configured", "changes=%zu failed=%lld", report.count, (long long)failed);
    netreport_done(&report);
    call_reply(call, reply);
}

#define READ_ERRORS METHOD_ERROR(SYSTEM) | METHOD_ERROR(PERMISSION)

enum { CONFIGURE = 2 };

/* What is taken from the shared table is put in by net_methods. */
static struct method methods[] = {
    {.name = "net.interfaces",
     .handler = on_interfaces,
     .doc = "The network interfaces with their addresses and counters.",
     .returns = "interfaces: name, index, kind, mac, mtu, up, carrier, state, addresses (address, "
                "scope, tentative), rx_ and tx_ bytes, packets, errors, dropped.",
     .errors = READ_ERRORS},
    {.name = "net.routes",
     .handler = on_routes,
     .doc = "The routes of the main table.",
     .returns = "routes: to, family, via, interface, metric, type, scope, protocol, hops.",
     .errors = READ_ERRORS},
    [CONFIGURE] = {.name = "net.configure",
                   .flags = METHOD_CHANGES,
                   .handler = on_configure,
                   .doc = "Sets interfaces, addresses, routes, neighbours and DNS; what can be "
                          "done is done.",
                   .returns = "changes, in their order: action, interface, value, and error where "
                              "one failed; failed: how many did.",
                   .errors = READ_ERRORS},
};

const struct method *net_methods(size_t *ret_count)
{
    methods[CONFIGURE].fields = network_table.fields;
    methods[CONFIGURE].field_count = network_table.count;
    methods[CONFIGURE].params_size = network_table.size;
    *ret_count = sizeof methods / sizeof *methods;
    return methods;
}
