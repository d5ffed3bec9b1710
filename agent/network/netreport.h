/* What was tried when a network was configured, and what became of it: items in their order. */
#ifndef AGENT_NETREPORT_H
#define AGENT_NETREPORT_H

#include "agent/netlink/nlmessage.h"

enum { NETREPORT_ITEMS = 8192, NETREPORT_LINK = 24, NETREPORT_VALUE = 128 };

struct netreport_item {
    const char *action;          /* "address", "remove route", "mtu", "resolv.conf"...: static */
    char link[NETREPORT_LINK];   /* interface, or the MAC that says which; empty: none */
    char value[NETREPORT_VALUE]; /* "10.0.0.2/24"; may be empty */
    struct nlmessage_answer why; /* error 0: done */
    bool is_request;             /* gets an answer of the batch */
    bool is_removal;             /* done also when there is nothing to remove */
};

/* Starts as {0}. */
struct netreport {
    struct netreport_item *items;
    size_t count, capacity;
    bool failed; /* no memory, or more than NETREPORT_ITEMS: an item is missing */
};

void netreport_done(struct netreport *report);

/* An item that stands for the next request of the batch. */
void netreport_request(struct netreport *report, const char *action, const char *link,
                       const char *value);
void netreport_removal(struct netreport *report, const char *action, const char *link,
                       const char *value);
/* One that is settled: done, or failed with an errno and a reason (NULL: strerror's). */
void netreport_settled(struct netreport *report, const char *action, const char *link,
                       const char *value, int sys_errno, const char *reason);

/* Gives the requests' items their answers, in order. */
void netreport_take(struct netreport *report, const struct nlmessage_answer *answers,
                    unsigned count);

/* The error of an item that failed, with the kernel's reason; the object is "eth0 10.0.0.2/24".
 * PERMISSION, NOT_FOUND (no such link), UNSUPPORTED, DEADLINE, SYSTEM. Returns -1, or 0 for an item
 * that is done. */
int netreport_failure(const struct netreport_item *item, struct nsp_error *err);
/* Of the first that failed. */
int netreport_first_failure(const struct netreport *report, struct nsp_error *err);

#endif
