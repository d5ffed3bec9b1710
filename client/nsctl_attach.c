#include "client/nsctl_attach.h"

#include <string.h>

#include "client/nsctl_report.h"
#include "client/nsctl_stream.h"

static int stream(struct nsctl *ctl, const struct nsp_attach *attach, int *ret_status)
{
    struct nsp_error error = NSP_ERROR_INIT;
    struct nsp_process *process = NULL;
    struct nsctl_stream_options options = {.use_stdin = attach->use_stdin, .keep = true};
    bool complete = false;
    if (nsp_process_attach(ctl->client, ctl->settings.words[0], attach, &process, &error) < 0) {
        *ret_status = nsctl_report_error(ctl, &error);
        return -1;
    }
    *ret_status = nsctl_stream_run(ctl, process, &options, &complete);
    nsp_process_free(process);
    return complete ? 0 : -1;
}

int nsctl_attach(struct nsctl *ctl)
{
    const struct nsctl_settings *settings = &ctl->settings;
    struct nsp_attach attach = {
        .stdout_from = settings->from.value,
        .stderr_from = settings->from_stderr.value,
        .tail = settings->tail,
        .use_stdin = !settings->no_stdin,
        .interleaved = settings->interleaved,
        .until_closed = settings->until && strcmp(settings->until, "closed") == 0,
    };
    int status = NSCTL_ERROR;
    (void)stream(ctl, &attach, &status);
    return status;
}

int nsctl_attach_logs(struct nsctl *ctl)
{
    const struct nsctl_settings *settings = &ctl->settings;
    /* Whoever only looks on must not make the process wait. */
    struct nsp_attach attach = {
        .stdout_from = settings->from.value,
        .stderr_from = settings->from_stderr.value,
        .droppable = true,
        .interleaved = settings->interleaved,
        .no_follow = !settings->follow,
    };
    int status = NSCTL_ERROR;
    /* The process's own status is not that of having shown its output. */
    return stream(ctl, &attach, &status) == 0 ? NSCTL_OK : status;
}
