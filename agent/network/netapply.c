#include "agent/network/netapply.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/netlink/netlink.h"
#include "agent/netlink/rtrequest.h"
#include "agent/network/nettarget.h"
#include "agent/network/resolvconf.h"
#include "protocol/cleanup.h"

static void raise_loopback(struct netjob *job)
{
    struct rtrecord_link loopback;
    if (!netstate_find(&job->state, "lo", NULL, &loopback)) {
        netreport_settled(&job->report, "up", "lo", "", ENODEV, "there is no such link");
        return;
    }
    netreport_request(&job->report, "up", "lo", "");
    rtrequest_link_up(&job->batch, loopback.index, true);
}

static int plan_link(const struct network_link *wanted, struct netjob *job, struct nsp_error *err)
{
    struct nettarget target;
    struct nsp_error why = NSP_ERROR_INIT;
    if (nettarget_open(&job->state, wanted, &target, &why) < 0) {
        if (why.code != NSP_E_NOT_FOUND) {
            if (err)
                *err = why;
            return -1;
        }
        netreport_settled(&job->report, "link", wanted->name ? wanted->name : wanted->mac, "",
                          ENODEV, why.msg);
        return 0;
    }
    if (wanted->flush)
        nettarget_flush(&target, job);
    nettarget_apply(&target, job);
    nettarget_close(&target);
    return 0;
}

static bool any_flush(const struct network *network)
{
    const struct network_link *links = network->links.items;
    for (size_t i = 0; i < network->links.count; i++)
        if (links[i].flush)
            return true;
    return false;
}

/* Nothing has been changed yet when this fails. */
static int plan(const struct network *network, struct netlink *netlink, struct netjob *job,
                struct nsp_error *err)
{
    const struct network_link *links = network->links.items;
    if (netstate_read(netlink, any_flush(network), &job->state, err) < 0)
        return -1;
    raise_loopback(job);
    for (size_t i = 0; i < network->links.count; i++)
        if (plan_link(&links[i], job, err) < 0)
            return -1;
    if (job->report.failed || job->batch.failed)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no room for all changes of the network");
    return 0;
}

static int carry_out(struct netlink *netlink, struct netjob *job, struct nsp_error *err)
{
    AUTO_FREE struct nlmessage_answer *answers = calloc(job->batch.count + 1, sizeof *answers);
    if (!answers)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the kernel's answers");
    netlink_exchange(netlink, &job->batch, answers);
    netreport_take(&job->report, answers, job->batch.count);
    return 0;
}

static void write_resolv_conf(const struct network *network, struct netreport *report)
{
    struct nsp_error why = NSP_ERROR_INIT;
    if (!resolvconf_is_wanted(network))
        return;
    if (resolvconf_write(network, &why) == 0)
        netreport_settled(report, "resolv.conf", "", RESOLVCONF_PATH, 0, NULL);
    else
        netreport_settled(report, "resolv.conf", "", RESOLVCONF_PATH,
                          why.sys_errno ? why.sys_errno : EIO, why.msg);
}

int netapply_run(const struct network *network, struct netreport *ret_report, struct nsp_error *err)
{
    static const struct network nothing;
    struct netjob job = {0};
    struct netlink *netlink;
    if (!network)
        network = &nothing;
    if (netlink_open(&netlink, err) < 0)
        return -1;
    nlmessage_init(&job.batch, NETLINK_BATCH_MAX);
    int status = plan(network, netlink, &job, err);
    if (status == 0)
        status = carry_out(netlink, &job, err);
    if (status == 0) {
        write_resolv_conf(network, &job.report);
        *ret_report = job.report;
    } else {
        netreport_done(&job.report);
    }
    nlmessage_done(&job.batch);
    netstate_done(&job.state);
    netlink_close(netlink);
    return status;
}
