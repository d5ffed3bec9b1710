#include "client/nsctl_process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/exit.h"
#include "client/json.h"
#include "client/nsctl_report.h"
#include "client/writer.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum { CHUNK = 64 * 1024 };

/* Parameters that begin with the id of the process. */
static void open_params(struct nsp_writer *writer, const char *id)
{
    nsp_writer_init(writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(writer, NULL, '{');
    nsp_writer_text(writer, "id", id);
}

static int call(struct nsctl *ctl, const char *method, struct nsp_writer *writer, unsigned flags,
                char **ret_json, struct nsp_error *err)
{
    AUTO_FREE char *params = NULL;
    nsp_writer_close(writer, '}');
    if (nsp_writer_take(writer, &params, err) < 0)
        return -1;
    return nsp_call_run(ctl->client, method, params, flags, ret_json, err);
}

int nsctl_process_forget_id(struct nsctl *ctl, const char *id, struct nsp_error *err)
{
    AUTO_FREE char *json = NULL;
    struct nsp_writer writer;
    open_params(&writer, id);
    return call(ctl, "process.forget", &writer, NSP_CALL_REPEAT, &json, err);
}

int nsctl_process_forget(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    for (int i = 0; i < ctl->settings.word_count; i++)
        if (nsctl_process_forget_id(ctl, ctl->settings.words[i], &error) < 0)
            return nsctl_report_error(ctl, &error);
    return ctl->settings.json ? nsctl_report_line("{}") : NSCTL_OK;
}

int nsctl_process_wait(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *text = NULL;
    struct nsp_json *json = NULL;
    struct nsp_exit ended;
    struct nsp_writer writer;
    open_params(&writer, ctl->settings.words[0]);
    if (call(ctl, "process.wait", &writer, NSP_CALL_REPEAT, &text, &error) < 0 ||
        nsp_json_parse(text, strlen(text), &json, &error) < 0)
        return nsctl_report_error(ctl, &error);
    nsp_exit_read(nsp_json_get(json, "exit"), &ended);
    nsp_json_free(json);
    int status = nsp_exit_status(&ended);
    return ctl->settings.json && nsctl_report_line(text) != NSCTL_OK ? NSCTL_ERROR : status;
}

/* -s alone sends one signal; otherwise the process is made to end. */
int nsctl_process_kill(struct nsctl *ctl)
{
    const struct nsctl_settings *settings = &ctl->settings;
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *json = NULL;
    struct nsp_writer writer;
    bool once = settings->signal && !settings->grace.set;
    open_params(&writer, settings->words[0]);
    if (settings->signal)
        nsp_writer_text(&writer, "signal", settings->signal);
    if (settings->scope)
        nsp_writer_text(&writer, "scope", settings->scope);
    if (settings->grace.set)
        nsp_writer_u64(&writer, "grace_ms", settings->grace.value);
    if (call(ctl, once ? "process.signal" : "process.kill", &writer, once ? 0 : NSP_CALL_REPEAT,
             &json, &error) < 0)
        return nsctl_report_error(ctl, &error);
    return settings->json ? nsctl_report_line(json) : NSCTL_OK;
}

/* ---- stdin -------------------------------------------------------------------------------- */

static int answer_offset(const char *text, const char *member, uint64_t *ret_offset,
                         struct nsp_error *err)
{
    struct nsp_json *json = NULL;
    if (nsp_json_parse(text, strlen(text), &json, err) < 0)
        return -1;
    const struct nsp_json *holder = member ? nsp_json_get(json, member) : json;
    uint64_t offset = nsp_json_u64(holder, "offset", UINT64_MAX);
    nsp_json_free(json);
    if (offset == UINT64_MAX)
        return nsp_fail(err, NSP_E_PROTOCOL, "the agent's answer has no offset");
    *ret_offset = offset;
    return 0;
}

/* Input goes on where it ends now. With the offset said each time, a repeated call writes nothing
 * twice. */
static int present_offset(struct nsctl *ctl, uint64_t *ret_offset, struct nsp_error *err)
{
    AUTO_FREE char *json = NULL;
    struct nsp_writer writer;
    if (ctl->settings.offset.set) {
        *ret_offset = ctl->settings.offset.value;
        return 0;
    }
    open_params(&writer, ctl->settings.words[0]);
    if (call(ctl, "process.get", &writer, NSP_CALL_REPEAT, &json, err) < 0)
        return -1;
    return answer_offset(json, "stdin", ret_offset, err);
}

static int send_chunk(struct nsctl *ctl, const char *bytes, size_t length, uint64_t *offset,
                      struct nsp_error *err)
{
    AUTO_FREE char *json = NULL;
    struct nsp_writer writer;
    open_params(&writer, ctl->settings.words[0]);
    nsp_writer_bytes(&writer, "data", bytes, length);
    nsp_writer_u64(&writer, "offset", *offset);
    if (call(ctl, "process.stdin", &writer, NSP_CALL_REPEAT, &json, err) < 0)
        return -1;
    *offset += length;
    return 0;
}

static int send_all(struct nsctl *ctl, uint64_t *offset, struct nsp_error *err)
{
    char bytes[CHUNK];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "read", "standard input");
        if (n == 0)
            return 0;
        if (send_chunk(ctl, bytes, (size_t)n, offset, err) < 0)
            return -1;
    }
}

int nsctl_process_stdin(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *json = NULL;
    uint64_t offset = 0;
    struct nsp_writer writer;
    if (present_offset(ctl, &offset, &error) < 0 || send_all(ctl, &offset, &error) < 0)
        return nsctl_report_error(ctl, &error);
    if (ctl->settings.close) {
        open_params(&writer, ctl->settings.words[0]);
        if (call(ctl, "process.close_stdin", &writer, NSP_CALL_REPEAT, &json, &error) < 0)
            return nsctl_report_error(ctl, &error);
    }
    if (!ctl->settings.json)
        return NSCTL_OK;
    AUTO_FREE char *line = NULL;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_u64(&writer, "offset", offset);
    nsp_writer_close(&writer, '}');
    if (nsp_writer_take(&writer, &line, &error) < 0)
        return nsctl_report_error(ctl, &error);
    return nsctl_report_line(line);
}
