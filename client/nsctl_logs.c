/* Without -f one plain call. With it a call that lasts: its notifications bring the lines and the
 * places to go on from, which are asked for again when the connection was lost, so that no line
 * comes twice.
 *
 * Writing to standard output may wait. The agent then stops reading the log for us, and what it
 * overwrites meanwhile is named. */
#include "client/nsctl_logs.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/call.h"
#include "client/json.h"
#include "client/nsctl_attach.h"
#include "client/nsctl_report.h"
#include "client/writer.h"
#include "protocol/cleanup.h"

enum { LINES_DEFAULT = 100, LINES_MAX = 4096, PARAMS_MAX = 1024, TIME_SIZE = 48 };

const char *const nsctl_logs_levels[] = {"debug", "info", "warn", "error", NULL};

static const char *const sources[] = {"agent", "supervisor", "kernel"};
enum { SOURCE_COUNT = sizeof sources / sizeof sources[0] };

struct view {
    struct nsctl *ctl;
    const char *source;
    uint64_t next[SOURCE_COUNT]; /* 0: not known yet */
    uint64_t lost;               /* on this connection */
    int status;                  /* not NSCTL_OK: standard output is of no use any more */
    bool done;
    struct nsp_error error;
};

/* ---- what is shown ------------------------------------------------------------------------ */

static void print_time(char *ret_text, int64_t unix_ms)
{
    struct tm parts;
    time_t seconds = (time_t)(unix_ms / 1000);
    char text[TIME_SIZE / 2] = "?";
    if (unix_ms >= 0 && gmtime_r(&seconds, &parts))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(ret_text, TIME_SIZE, "%s.%03dZ", text, unix_ms >= 0 ? (int)(unix_ms % 1000) : 0);
}

/* Control characters never reach a terminal. */
static void print_text(const char *text)
{
    for (; *text; text++)
        putchar((unsigned char)*text < 0x20 && *text != '\t' ? '?' : *text);
}

static void print_line(const struct nsp_json *line)
{
    char time[TIME_SIZE];
    print_time(time, nsp_json_int(line, "time_ms", -1));
    printf("%s %-5s %-10s ", time, nsp_json_text(line, "level", "?"),
           nsp_json_text(line, "source", "?"));
    print_text(nsp_json_text(line, "text", ""));
    putchar('\n');
}

static void show_lost(const struct view *view, uint64_t lost)
{
    if (lost == 0)
        return;
    if (view->ctl->settings.json)
        printf("{\"lost\":%" PRIu64 "}\n", lost);
    else
        nsctl_report_note("%" PRIu64 " lines are lost", lost);
}

/* An answer or a notification. `lost` counts from the beginning of a call. */
static void show(struct view *view, const struct nsp_json *answer)
{
    uint64_t lost = nsp_json_u64(answer, "lost", 0);
    show_lost(view, lost > view->lost ? lost - view->lost : 0);
    view->lost = lost;
    const struct nsp_json *line = nsp_json_first(nsp_json_get(answer, "lines"));
    for (; line; line = nsp_json_next(line)) {
        AUTO_FREE char *text = view->ctl->settings.json ? nsp_json_print(line, false) : NULL;
        if (text)
            puts(text);
        else
            print_line(line);
    }
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        view->next[i] = nsp_json_u64(nsp_json_get(answer, "next"), sources[i], view->next[i]);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    if (errno == EPIPE) {
        view->status = NSCTL_SIGNAL + SIGPIPE;
    } else {
        nsctl_report_note("standard output: %s", strerrordesc_np(errno));
        view->status = NSCTL_ERROR;
    }
}

/* ---- what is asked ------------------------------------------------------------------------ */

static int make_params(const struct view *view, char **ret_params, struct nsp_error *err)
{
    const struct nsctl_settings *settings = &view->ctl->settings;
    struct nsp_writer writer;
    bool placed = false;
    nsp_writer_init(&writer, PARAMS_MAX);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "source", view->source);
    if (settings->level)
        nsp_writer_text(&writer, "level", settings->level);
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_from", sources[i]);
        if (view->next[i] > 0)
            nsp_writer_u64(&writer, name, view->next[i]);
        placed = placed || view->next[i] > 0;
    }
    if (!placed)
        nsp_writer_u64(&writer, "lines",
                       settings->count.set ? settings->count.value : LINES_DEFAULT);
    nsp_writer_bool(&writer, "follow", settings->follow);
    nsp_writer_close(&writer, '}');
    return nsp_writer_take(&writer, ret_params, err);
}

static int print_once(struct view *view, struct nsp_error *err)
{
    AUTO_FREE char *params = NULL;
    AUTO_FREE char *text = NULL;
    struct nsp_json *json = NULL;
    if (make_params(view, &params, err) < 0 ||
        nsp_call_run(view->ctl->client, "log.tail", params, NSP_CALL_REPEAT, &text, err) < 0 ||
        nsp_json_parse(text, strlen(text), &json, err) < 0)
        return -1;
    show(view, json);
    nsp_json_free(json);
    return 0;
}

/* ---- following ---------------------------------------------------------------------------- */

static int on_request(void *arg, const char **ret_method, char **ret_params, struct nsp_error *err)
{
    struct view *view = arg;
    *ret_method = "log.tail";
    view->lost = 0;
    return make_params(view, ret_params, err) < 0 ? -1 : 1;
}

static int on_notify(void *arg, const char *method, const struct nsp_json *params,
                     struct nsp_error *err)
{
    (void)err;
    if (strcmp(method, "log.lines") == 0)
        show(arg, params);
    return 0;
}

static int on_channel(void *arg, const struct nsp_frame *frame, const uint8_t *payload,
                      struct nsp_error *err)
{
    (void)arg;
    (void)payload;
    return nsp_fail(err, NSP_E_PROTOCOL, "a log has no channels, but a frame of type %s came",
                    nsp_frame_type_name(frame->type));
}

static bool on_pull(void *arg, size_t max, struct nsp_frame *ret_frame, const uint8_t **ret_payload)
{
    (void)arg;
    (void)max;
    (void)ret_frame;
    (void)ret_payload;
    return false;
}

static void on_lost(void *arg)
{
    (void)arg; /* on_request goes on where we are */
}

static void on_done(void *arg, const struct nsp_json *result, const struct nsp_error *error)
{
    struct view *view = arg;
    view->done = true;
    if (!result)
        view->error = *error;
}

static int follow(struct view *view, struct nsp_error *err)
{
    static const struct nsp_call_handler handler = {.request = on_request,
                                                    .notify = on_notify,
                                                    .channel = on_channel,
                                                    .pull = on_pull,
                                                    .lost = on_lost,
                                                    .done = on_done};
    struct nsp_call *call = NULL;
    int result = nsp_call_open(view->ctl->client, &handler, view, &call, err);
    while (result == 0 && !view->done && view->status == NSCTL_OK)
        result = nsp_client_step(view->ctl->client, -1, err);
    if (view->error.code != NSP_E_NONE) {
        *err = view->error;
        result = -1;
    }
    nsp_call_free(call);
    return result;
}

/* ---- the command -------------------------------------------------------------------------- */

/* NULL: the output of a process is wanted. */
static int find_source(const struct nsctl_settings *settings, const char **ret_source,
                       struct nsp_error *err)
{
    const struct {
        bool given;
        const char *name;
    } table[] = {{settings->agent, "agent"},
                 {settings->supervisor, "supervisor"},
                 {settings->kernel, "kernel"},
                 {settings->all, "all"}};
    const char *source = NULL;
    int given = settings->word_count > 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        given += table[i].given;
        source = table[i].given ? table[i].name : source;
    }
    if (given != 1)
        return nsp_fail(err, NSP_E_INVALID_PARAMS,
                        "give the id of a process, or one of --agent, --supervisor, --kernel, "
                        "--all");
    if (!source && (settings->count.set || settings->level))
        return nsp_fail(err, NSP_E_INVALID_PARAMS,
                        "-n and --level are for lines, which a process's output has none of");
    if (source && (settings->from.set || settings->from_stderr.set || settings->interleaved))
        return nsp_fail(err, NSP_E_INVALID_PARAMS,
                        "--from, --from-stderr and --interleaved are for a process");
    if (settings->count.value > LINES_MAX)
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "at most %d lines", LINES_MAX);
    *ret_source = source;
    return 0;
}

int nsctl_logs(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    struct view view = {.ctl = ctl};
    if (find_source(&ctl->settings, &view.source, &error) < 0)
        return nsctl_report_error(ctl, &error);
    if (!view.source)
        return nsctl_attach_logs(ctl);
    int result = ctl->settings.follow ? follow(&view, &error) : print_once(&view, &error);
    if (result < 0)
        return nsctl_report_error(ctl, &error);
    return view.status;
}
