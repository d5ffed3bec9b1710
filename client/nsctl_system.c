#include "client/nsctl_system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/nsctl_report.h"
#include "protocol/cleanup.h"

enum {
    PING_TIMEOUT = 10 * 1000,
    PING_INTERVAL = 1000,
    PATH_MAX_BYTES = 256,
};

/* ---- objects for people ------------------------------------------------------------------- */

static void print_leaf(const char *path, const struct nsp_json *item)
{
    const char *string = nsp_json_string(item);
    AUTO_FREE char *printed = string ? NULL : nsp_json_print(item, false);
    printf("%-32s %s\n", path, string ? string : printed ? printed : "?");
}

/* "a.b.c value", one line a value. Depth is bounded by what the parser accepts. */
static void print_flat(const char *prefix, const struct nsp_json *object)
{
    const struct nsp_json *item = nsp_json_first(object);
    for (; item; item = nsp_json_next(item)) {
        char path[PATH_MAX_BYTES];
        snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", nsp_json_name(item));
        if (nsp_json_is_object(item))
            print_flat(path, item);
        else
            print_leaf(path, item);
    }
}

static int show(struct nsctl *ctl, const char *method, const char *params, unsigned flags,
                bool flat)
{
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *text = NULL;
    AUTO_FREE char *pretty = NULL;
    struct nsp_json *json = NULL;
    if (nsp_call_run(ctl->client, method, params, flags, &text, &error) < 0)
        return nsctl_report_error(ctl, &error);
    if (ctl->settings.json)
        return nsctl_report_line(text);
    if (nsp_json_parse(text, strlen(text), &json, &error) < 0)
        return nsctl_report_error(ctl, &error);
    if (flat)
        print_flat("", json);
    else
        pretty = nsp_json_print(json, true);
    nsp_json_free(json);
    if (pretty)
        return nsctl_report_line(pretty);
    return fflush(stdout) == 0 ? NSCTL_OK : NSCTL_ERROR;
}

int nsctl_system_info(struct nsctl *ctl)
{
    return show(ctl, "info", NULL, NSP_CALL_REPEAT, true);
}

int nsctl_system_stats(struct nsctl *ctl)
{
    return show(ctl, "stats", NULL, NSP_CALL_REPEAT, true);
}

int nsctl_system_discover(struct nsctl *ctl)
{
    return show(ctl, "rpc.discover", NULL, NSP_CALL_REPEAT, false);
}

int nsctl_system_call(struct nsctl *ctl)
{
    const struct nsctl_settings *settings = &ctl->settings;
    const char *params = settings->word_count > 1 ? settings->words[1] : NULL;
    struct nsp_error error = NSP_ERROR_INIT;
    struct nsp_json *json = NULL;
    if (params) {
        if (nsp_json_parse(params, strlen(params), &json, &error) < 0)
            return nsctl_report_error(ctl, &error);
        nsp_json_free(json);
    }
    /* Whether the method may be repeated is not known here. */
    return show(ctl, settings->words[0], params, 0, false);
}

/* ---- ping --------------------------------------------------------------------------------- */

static void print_round(const struct nsctl *ctl, uint64_t nanoseconds)
{
    if (ctl->settings.json)
        printf("{\"rtt_ns\":%" PRIu64 "}\n", nanoseconds);
    else
        printf("%.3f ms\n", (double)nanoseconds / 1e6);
    fflush(stdout);
}

/* Lets the connection live until the next round. */
static int pause_between(struct nsctl *ctl, uint64_t ms, struct nsp_error *err)
{
    uint64_t end = nsp_client_now() + ms;
    for (uint64_t now = nsp_client_now(); now < end; now = nsp_client_now())
        if (nsp_client_step(ctl->client, (int64_t)(end - now), err) < 0)
            return -1;
    return 0;
}

int nsctl_system_ping(struct nsctl *ctl)
{
    const struct nsctl_settings *settings = &ctl->settings;
    uint64_t count = settings->count.set ? settings->count.value : 1;
    uint64_t interval = settings->interval.set ? settings->interval.value : PING_INTERVAL;
    struct nsp_error error = NSP_ERROR_INIT;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t nanoseconds = 0;
        if (i > 0 && pause_between(ctl, interval, &error) < 0)
            return nsctl_report_error(ctl, &error);
        if (nsp_client_ping(ctl->client, PING_TIMEOUT, &nanoseconds, &error) < 0)
            return nsctl_report_error(ctl, &error);
        print_round(ctl, nanoseconds);
    }
    return NSCTL_OK;
}
