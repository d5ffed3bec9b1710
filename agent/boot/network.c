#include "agent/boot/network.h"

#include "agent/base/log.h"
#include "agent/network/netapply.h"

int network_apply(const struct network *network, struct nsp_error *err)
{
    struct netreport report;
    if (network && network_check(network, err) < 0)
        return -1;
    if (netapply_run(network, &report, err) < 0)
        return -1;
    for (size_t i = 0; i < report.count; i++) {
        struct nsp_error why = NSP_ERROR_INIT;
        if (netreport_failure(&report.items[i], &why) < 0)
            log_error(LOG_WARN, "the network lacks something", &why);
    }
    int status = netreport_first_failure(&report, err);
    netreport_done(&report);
    return status;
}
