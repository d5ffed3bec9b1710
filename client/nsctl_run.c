#include "client/nsctl_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/nsctl_process.h"
#include "client/nsctl_report.h"
#include "client/nsctl_stream.h"
#include "client/writer.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

/* --shell: the words become one command line, as `sh -c "$*"` would get it. */
static int join_words(char **words, char **ret_line, struct nsp_error *err)
{
    size_t size = 1;
    for (char **word = words; *word; word++)
        size += strlen(*word) + 1;
    char *line = malloc(size);
    if (!line)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the command");
    char *at = line;
    for (char **word = words; *word; word++) {
        size_t length = strlen(*word);
        if (at > line)
            *at++ = ' ';
        memcpy(at, *word, length);
        at += length;
    }
    *at = '\0';
    *ret_line = line;
    return 0;
}

static int describe(const struct nsctl_settings *settings, struct nsp_start *ret_start,
                    char **ret_line, struct nsp_error *err)
{
    if (settings->shell && join_words(settings->words, ret_line, err) < 0)
        return -1;
    *ret_start = (struct nsp_start){
        .argv = settings->shell ? NULL : (const char *const *)settings->words,
        .command = *ret_line,
        .cwd = settings->cwd,
        .environment = settings->environment.items,
        .clear_environment = settings->clear_environment,
        .id = settings->id,
        .key = settings->key,
        .stdin_pipe = !settings->no_stdin,
        .merge = settings->merge,
        .policy = settings->policy,
        .ring_bytes = settings->ring.value,
        .timeout_ms = settings->timeout.value,
        .has_grace = settings->grace.set,
        .grace_ms = settings->grace.value,
    };
    return 0;
}

static int launch(struct nsctl *ctl, const struct nsp_start *start)
{
    struct nsp_error error = NSP_ERROR_INIT;
    char id[NSP_ID_SIZE];
    int64_t pid = 0;
    if (nsp_process_launch(ctl->client, start, id, &pid, &error) < 0) {
        nsctl_report_error(ctl, &error);
        return nsp_exit_status_of_error(&error);
    }
    if (!ctl->settings.json)
        return nsctl_report_line(id);
    AUTO_FREE char *line = NULL;
    struct nsp_writer writer;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "id", id);
    nsp_writer_int(&writer, "pid", pid);
    nsp_writer_close(&writer, '}');
    if (nsp_writer_take(&writer, &line, &error) < 0)
        return nsctl_report_error(ctl, &error);
    return nsctl_report_line(line);
}

static int attached(struct nsctl *ctl, const struct nsp_start *start)
{
    struct nsp_error error = NSP_ERROR_INIT;
    struct nsp_process *process = NULL;
    bool named = ctl->settings.id != NULL, complete = false;
    struct nsctl_stream_options options = {.use_stdin = start->stdin_pipe, .own = true};
    if (nsp_process_start(ctl->client, start, NULL, &process, &error) < 0)
        return nsctl_report_error(ctl, &error);
    options.keep = named;
    int status = nsctl_stream_run(ctl, process, &options, &complete);
    /* Nobody knows the name of a process that was not given one. Forgotten twice is forgotten. */
    if (complete && !named && nsctl_process_forget_id(ctl, nsp_process_id(process), &error) < 0 &&
        error.code != NSP_E_NOT_FOUND)
        nsctl_report_note("the record of the process is kept: %s", error.msg);
    nsp_process_free(process);
    return status;
}

int nsctl_run(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    struct nsp_start start;
    AUTO_FREE char *line = NULL;
    if (describe(&ctl->settings, &start, &line, &error) < 0)
        return nsctl_report_error(ctl, &error);
    return ctl->settings.detach ? launch(ctl, &start) : attached(ctl, &start);
}
