/* One link as it shall be (struct network_link) beside what it is, and the requests that make the
 * one the other. Texts have passed network_check. */
#ifndef AGENT_NETTARGET_H
#define AGENT_NETTARGET_H

#include "agent/network/netreport.h"
#include "agent/network/netstate.h"
#include "agent/schema/network.h"

/* Requests, and for each an item in the same order. */
struct netjob {
    struct netstate state;
    struct nlmessage_writer batch;
    struct netreport report;
};

struct nettarget_route {
    struct rtaddress to, via;
    bool has_via;
    uint32_t metric; /* never 0 where the kernel puts its own in its place */
};

struct nettarget {
    const struct network_link *wanted;
    struct rtrecord_link link;
    struct rtaddress *addresses;
    struct nettarget_route *routes;
    struct rtaddress *neighbours;
};

/* Finds the link and decodes what is wanted of it. NOT_FOUND, EXHAUSTED. */
int nettarget_open(const struct netstate *state, const struct network_link *wanted,
                   struct nettarget *ret_target, struct nsp_error *err);
void nettarget_close(struct nettarget *target);

/* Requests to remove what the link has and is not wanted, but for what the kernel gives a link by
 * itself: link-local and loopback addresses, routes of subnets, neighbours without ARP. */
void nettarget_flush(const struct nettarget *target, struct netjob *job);
/* Requests to make the link what is wanted. */
void nettarget_apply(const struct nettarget *target, struct netjob *job);

/* "default via 10.0.0.1 metric 5" */
void nettarget_format_route(const struct rtaddress *to, const struct rtaddress *via,
                            uint32_t metric, char target[NETREPORT_VALUE]);

#endif
