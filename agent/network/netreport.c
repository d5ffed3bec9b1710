#include "agent/network/netreport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/netlink/rtrequest.h"

void netreport_done(struct netreport *report)
{
    free(report->items);
    *report = (struct netreport){0};
}

static struct netreport_item *add(struct netreport *report, const char *action, const char *link,
                                  const char *value)
{
    static struct netreport_item nowhere;
    if (report->count == report->capacity) {
        size_t capacity = report->capacity ? 2 * report->capacity : 32;
        struct netreport_item *items = capacity > NETREPORT_ITEMS
                                           ? NULL
                                           : reallocarray(report->items, capacity, sizeof *items);
        if (!items) {
            report->failed = true;
            return &nowhere;
        }
        report->items = items;
        report->capacity = capacity;
    }
    struct netreport_item *item = &report->items[report->count++];
    *item = (struct netreport_item){.action = action};
    snprintf(item->link, sizeof item->link, "%s", link);
    snprintf(item->value, sizeof item->value, "%s", value);
    return item;
}

void netreport_request(struct netreport *report, const char *action, const char *link,
                       const char *value)
{
    add(report, action, link, value)->is_request = true;
}

void netreport_removal(struct netreport *report, const char *action, const char *link,
                       const char *value)
{
    struct netreport_item *item = add(report, action, link, value);
    item->is_request = item->is_removal = true;
}

void netreport_settled(struct netreport *report, const char *action, const char *link,
                       const char *value, int sys_errno, const char *reason)
{
    struct netreport_item *item = add(report, action, link, value);
    item->why.error = sys_errno;
    snprintf(item->why.text, sizeof item->why.text, "%s", reason ? reason : "");
}

void netreport_take(struct netreport *report, const struct nlmessage_answer *answers,
                    unsigned count)
{
    unsigned next = 0;
    for (size_t i = 0; i < report->count && next < count; i++) {
        struct netreport_item *item = &report->items[i];
        if (!item->is_request)
            continue;
        item->why = answers[next++];
        if (item->is_removal && rtrequest_is_gone(item->why.error))
            item->why = (struct nlmessage_answer){0};
    }
}

static enum nsp_error_code code_of(int sys_errno)
{
    switch (sys_errno) {
    case EPERM:
    case EACCES:
        return NSP_E_PERMISSION;
    case ENODEV:
        return NSP_E_NOT_FOUND;
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
        return NSP_E_UNSUPPORTED;
    case ETIMEDOUT:
        return NSP_E_DEADLINE;
    default:
        return NSP_E_SYSTEM;
    }
}

int netreport_failure(const struct netreport_item *item, struct nsp_error *err)
{
    int error = item->why.error;
    const char *reason = item->why.text[0] ? item->why.text : strerrordesc_np(error);
    bool both = item->link[0] && item->value[0];
    char object[NETREPORT_LINK + NETREPORT_VALUE];
    if (error == 0)
        return 0;
    snprintf(object, sizeof object, "%s%s%s", item->link, both ? " " : "", item->value);
    nsp_fail_on(err, code_of(error), object, "%s %s: %s", item->action, object,
                reason ? reason : "failed");
    if (err) {
        err->sys_errno = error;
        snprintf(err->op, sizeof err->op, "%s", item->action);
    }
    return -1;
}

int netreport_first_failure(const struct netreport *report, struct nsp_error *err)
{
    for (size_t i = 0; i < report->count; i++)
        if (netreport_failure(&report->items[i], err) < 0)
            return -1;
    return 0;
}
