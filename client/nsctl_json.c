#include "client/nsctl_json.h"

#include <stdlib.h>
#include <string.h>

#include "client/writer.h"

enum { LINE_MAX_BYTES = 1 << 20 };

static const char *const names[] = {
    [NSP_EVENT_STARTED] = "started",
    [NSP_EVENT_DATA] = "output",
    [NSP_EVENT_GAP] = "gap",
    [NSP_EVENT_END] = "end",
    [NSP_EVENT_STDIN_CLOSED] = "stdin_closed",
    [NSP_EVENT_EXITED] = "exited",
    [NSP_EVENT_DRAINED] = "drained",
    [NSP_EVENT_FINISHED] = "finished",
};

static void write_exit(struct nsp_writer *writer, const struct nsp_exit *ended)
{
    nsp_writer_open(writer, "exit", '{');
    if (ended->signal > 0) {
        nsp_writer_int(writer, "signal", ended->signal);
        nsp_writer_text(writer, "signal_name", ended->name);
        nsp_writer_bool(writer, "core", ended->core);
    } else {
        nsp_writer_int(writer, "code", ended->code);
    }
    nsp_writer_bool(writer, "timed_out", ended->timed_out);
    nsp_writer_u64(writer, "wall_ms", ended->wall_ms);
    nsp_writer_u64(writer, "user_ms", ended->user_ms);
    nsp_writer_u64(writer, "system_ms", ended->system_ms);
    nsp_writer_u64(writer, "max_rss_kib", ended->max_rss_kib);
    nsp_writer_int(writer, "exited_at_ms", ended->exited_at_ms);
    nsp_writer_close(writer, '}');
}

static void write_fields(struct nsp_writer *writer, const struct nsp_process *process,
                         const struct nsp_event *event, int status, size_t length)
{
    if (event->channel) {
        nsp_writer_text(writer, "stream", event->channel == 2 ? "stdout" : "stderr");
        nsp_writer_u64(writer, "offset", event->offset);
    }
    switch (event->kind) {
    case NSP_EVENT_STARTED:
        nsp_writer_text(writer, "id", nsp_process_id(process));
        nsp_writer_int(writer, "pid", nsp_process_pid(process));
        break;
    case NSP_EVENT_DATA:
        nsp_writer_bytes(writer, "data", event->data, length);
        break;
    case NSP_EVENT_GAP:
        nsp_writer_u64(writer, "to", event->gap_to);
        break;
    case NSP_EVENT_END:
        nsp_writer_bool(writer, "truncated", event->truncated);
        break;
    case NSP_EVENT_EXITED:
        write_exit(writer, nsp_process_exit(process));
        break;
    case NSP_EVENT_FINISHED:
        if (event->error.code != NSP_E_NONE)
            nsp_writer_error(writer, "error", &event->error);
        nsp_writer_int(writer, "status", status);
        break;
    default:
        break;
    }
}

int nsctl_json_event(const struct nsp_process *process, const struct nsp_event *event, int status,
                     size_t *length, char **ret_line, struct nsp_error *err)
{
    struct nsp_writer writer;
    if (*length > NSCTL_JSON_DATA_MAX)
        *length = NSCTL_JSON_DATA_MAX;
    nsp_writer_init(&writer, LINE_MAX_BYTES);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "event", names[event->kind]);
    write_fields(&writer, process, event, status, *length);
    nsp_writer_close(&writer, '}');
    nsp_writer_newline(&writer);
    return nsp_writer_take(&writer, ret_line, err);
}
