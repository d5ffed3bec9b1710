#include "client/nsctl_service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/exit.h"
#include "client/json.h"
#include "client/nsctl_report.h"
#include "client/writer.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

static const struct action {
    const char *name, *method;
    unsigned flags; /* of the call */
    bool takes_grace, waits;
} actions[] = {
    {"start", "service.start", NSP_CALL_REPEAT, false, false},
    {"stop", "service.stop", NSP_CALL_REPEAT, true, true},
    {"restart", "service.restart", 0, true, false},
};

static void print_end(const struct nsp_json *record)
{
    struct nsp_exit ended;
    const char *failure = nsp_json_text(record, "failure", NULL);
    nsp_exit_read(nsp_json_get(record, "exit"), &ended);
    if (failure)
        printf("%s\n", failure);
    else if (!ended.exited)
        printf("-\n");
    else if (ended.signal > 0)
        printf("%s\n", ended.name);
    else
        printf("%d\n", ended.code);
}

static void print_service(const struct nsp_json *record)
{
    printf("%-24s %-9s %7" PRId64 " %8" PRIu64 " ", nsp_json_text(record, "name", "?"),
           nsp_json_text(record, "state", "?"), nsp_json_int(record, "pid", 0),
           nsp_json_u64(record, "restarts", 0));
    print_end(record);
}

int nsctl_service_list(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *text = NULL;
    struct nsp_json *json = NULL;
    if (nsp_call_run(ctl->client, "service.list", NULL, NSP_CALL_REPEAT, &text, &error) < 0)
        return nsctl_report_error(ctl, &error);
    if (ctl->settings.json)
        return nsctl_report_line(text);
    if (nsp_json_parse(text, strlen(text), &json, &error) < 0)
        return nsctl_report_error(ctl, &error);
    printf("%-24s %-9s %7s %8s END\n", "NAME", "STATE", "PID", "RESTARTS");
    const struct nsp_json *record = nsp_json_first(nsp_json_get(json, "services"));
    for (; record; record = nsp_json_next(record))
        print_service(record);
    nsp_json_free(json);
    return fflush(stdout) == 0 ? NSCTL_OK : NSCTL_ERROR;
}

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

static int call(struct nsctl *ctl, const char *method, unsigned flags, struct nsp_writer *writer,
                char **ret_text, struct nsp_error *err)
{
    AUTO_FREE char *params = NULL;
    nsp_writer_close(writer, '}');
    if (nsp_writer_take(writer, &params, err) < 0)
        return -1;
    return nsp_call_run(ctl->client, method, params, flags, ret_text, err);
}

static int act(struct nsctl *ctl, const struct action *action, char **ret_text,
               struct nsp_error *err)
{
    const struct nsctl_settings *settings = &ctl->settings;
    struct nsp_writer writer;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "name", settings->words[1]);
    if (settings->grace.set && action->takes_grace)
        nsp_writer_u64(&writer, "grace_ms", settings->grace.value);
    return call(ctl, action->method, action->flags, &writer, ret_text, err);
}

/* A process that is not kept any more has ended. */
static int await_end(struct nsctl *ctl, const char *status, struct nsp_error *err)
{
    struct nsp_json *json = NULL;
    struct nsp_writer writer;
    AUTO_FREE char *text = NULL;
    if (nsp_json_parse(status, strlen(status), &json, err) < 0)
        return -1;
    bool is_stopping = strcmp(nsp_json_text(json, "state", ""), "stopping") == 0;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "id", nsp_json_text(json, "process", ""));
    nsp_json_free(json);
    if (!is_stopping) {
        nsp_writer_done(&writer);
        return 0;
    }
    int result = call(ctl, "process.wait", NSP_CALL_REPEAT, &writer, &text, err);
    return result < 0 && err->code != NSP_E_NOT_FOUND ? -1 : 0;
}

int nsctl_service(struct nsctl *ctl)
{
    const struct action *action = find_action(ctl->settings.words[0]);
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *text = NULL;
    if (!action) {
        nsp_fail(&error, NSP_E_INVALID_PARAMS, "start, stop or restart, not %.40s",
                 ctl->settings.words[0]);
        return nsctl_report_error(ctl, &error);
    }
    if (act(ctl, action, &text, &error) < 0 || (action->waits && await_end(ctl, text, &error) < 0))
        return nsctl_report_error(ctl, &error);
    return ctl->settings.json ? nsctl_report_line(text) : NSCTL_OK;
}
