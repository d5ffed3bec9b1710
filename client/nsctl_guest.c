#include "client/nsctl_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/nsctl_report.h"
#include "client/writer.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum { BOOT_FAILED = 1 }; /* the exit status: some step has */

static void print_step(const struct nsp_json *step)
{
    const char *error = nsp_json_text(step, "error", NULL);
    const char *detail = nsp_json_text(step, "detail", "");
    printf("%9.3f %8.3f  %-10s %-12s %-16s %s%s%s\n",
           (double)nsp_json_u64(step, "started_us", 0) / 1e6,
           (double)nsp_json_u64(step, "took_us", 0) / 1e3, nsp_json_text(step, "by", "?"),
           nsp_json_text(step, "state", "?"), nsp_json_text(step, "name", "?"), error ? error : "",
           error && detail[0] ? ": " : "", detail);
}

int nsctl_guest_boot(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *text = NULL;
    struct nsp_json *json = NULL;
    if (nsp_call_run(ctl->client, "guest.boot", NULL, NSP_CALL_REPEAT, &text, &error) < 0)
        return nsctl_report_error(ctl, &error);
    if (nsp_json_parse(text, strlen(text), &json, &error) < 0)
        return nsctl_report_error(ctl, &error);
    bool is_fine = nsp_json_u64(json, "failed", 0) == 0;
    if (!ctl->settings.json) {
        printf("%9s %8s  %-10s %-12s %-16s %s\n", "S", "TOOK MS", "BY", "STATE", "STEP", "DETAIL");
        const struct nsp_json *step = nsp_json_first(nsp_json_get(json, "steps"));
        for (; step; step = nsp_json_next(step))
            print_step(step);
    }
    nsp_json_free(json);
    if (ctl->settings.json && nsctl_report_line(text) != NSCTL_OK)
        return NSCTL_ERROR;
    return fflush(stdout) != 0 ? NSCTL_ERROR : is_fine ? NSCTL_OK : BOOT_FAILED;
}

int nsctl_guest_shutdown(struct nsctl *ctl)
{
    const struct nsctl_settings *settings = &ctl->settings;
    struct nsp_error error = NSP_ERROR_INIT;
    struct nsp_writer writer;
    AUTO_FREE char *params = NULL;
    AUTO_FREE char *text = NULL;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "action",
                    settings->reboot ? "reboot"
                    : settings->halt ? "halt"
                                     : "poweroff");
    if (settings->grace.set)
        nsp_writer_u64(&writer, "grace_ms", settings->grace.value);
    nsp_writer_close(&writer, '}');
    if (nsp_writer_take(&writer, &params, &error) < 0 ||
        nsp_call_run(ctl->client, "guest.shutdown", params, 0, &text, &error) < 0)
        return nsctl_report_error(ctl, &error);
    return NSCTL_OK;
}
