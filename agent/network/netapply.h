/* Carries a struct network out: one batch of rtnetlink requests, and /etc/resolv.conf.
 *
 * This folder stands between schema/, which only describes and does no I/O, and services/ and
 * boot/, which both use it and do not know each other; os/ knows single requests only.
 *
 * What can be done is done: a request that fails does not keep the others back. Doing the same
 * twice is no error. With `flush`, what is named stays in place all the time.
 *
 * A MAC is changed with the link down, since few drivers take it otherwise; only when it differs.
 * A gateway outside the link's subnets is taken as on-link. Of IPv6 there is no duplicate address
 * detection: addresses are usable at once.
 *
 * It is synchronous. The kernel answers at once; should it not, NETLINK_DEADLINE_MS ends the wait.
 */
#ifndef AGENT_NETAPPLY_H
#define AGENT_NETAPPLY_H

#include "agent/network/netreport.h"
#include "agent/schema/network.h"

/* network: has passed network_check; NULL stands for one that names nothing. lo is brought up in
 * any case. ret_report is for netreport_done, on success. SYSTEM, DEADLINE, EXHAUSTED: nothing was
 * done; failures of single items are in the report only. */
int netapply_run(const struct network *network, struct netreport *ret_report,
                 struct nsp_error *err);

#endif
