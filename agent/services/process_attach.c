/* An attachment lives from process_attach_begin until its call ends. Nothing is handed out before
 * `started` was told. The end is looked for in a deferred call, never from inside a pull, so that
 * the last piece is on its way before the response.
 *
 *   WAITING (for execve) -> OPEN -> (all handed out: response)
 */
#include "agent/services/process_attach.h"

#include <stdlib.h>
#include <string.h>

#include "agent/process/reader.h"
#include "agent/services/process_record.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

const char *const process_attach_until[] = {"drained", "closed", NULL};
enum { UNTIL_DRAINED, UNTIL_CLOSED };

struct attachment {
    const struct process_service *service;
    struct call *call;
    struct process *process;
    struct reader reader;
    struct process_observer observer;
    struct input_writer writer;
    struct loop_deferred finish;
    bool is_open, is_writer, until_closed, follow;
};

static const uint8_t channels[TABLE_OUTPUTS] = {NSP_CHANNEL_STDOUT, NSP_CHANNEL_STDERR};

static void release(struct attachment *attachment, bool lost)
{
    loop_undefer(attachment->service->loop, &attachment->finish);
    process_unobserve(attachment->process, &attachment->observer);
    input_writer_done(&attachment->process->input, &attachment->writer);
    reader_detach(&attachment->reader, lost);
    free(attachment);
}

static void fail(struct attachment *attachment, const struct nsp_error *err)
{
    struct call *call = attachment->call;
    release(attachment, false);
    call_fail(call, err);
}

static void respond(struct attachment *attachment)
{
    struct call *call = attachment->call;
    const struct table_record *record = attachment->process->record;
    struct reply *reply = reply_new();
    reply_text(reply, "id", record->id);
    process_record_exit(reply, attachment->process);
    reply_u64(reply, "stdout", attachment->reader.next[0]);
    reply_u64(reply, "stderr", attachment->reader.next[1]);
    reply_bool(reply, "stdout_closed", !record->outputs[0].is_open);
    reply_bool(reply, "stderr_closed", !record->outputs[1].is_open);
    /* A reader that is to try again finds its place kept. */
    release(attachment, call_is_broken(call));
    call_reply(call, reply);
}

static bool is_complete(const struct attachment *attachment)
{
    if (call_is_broken(attachment->call))
        return true;
    if (!attachment->is_open || !reader_has_all(&attachment->reader, attachment->until_closed))
        return false;
    return !attachment->follow || process_is_exited(attachment->process);
}

static void on_finish(void *arg)
{
    struct attachment *attachment = arg;
    if (is_complete(attachment))
        respond(attachment);
}

static void look_for_end(struct attachment *attachment)
{
    if (is_complete(attachment))
        loop_defer(attachment->service->loop, &attachment->finish);
}

static void on_pull(void *arg, const uint64_t *allowance, size_t max,
                    struct stream_piece *ret_piece)
{
    struct attachment *attachment = arg;
    ret_piece->kind = STREAM_NOTHING;
    if (!attachment->is_open || call_is_broken(attachment->call))
        return;
    const uint64_t allowed[TABLE_OUTPUTS] = {allowance[channels[0]], allowance[channels[1]]};
    struct reader_piece piece;
    reader_pull(&attachment->reader, allowed, max, &piece);
    static const enum stream_piece_kind kinds[] = {
        [READER_NOTHING] = STREAM_NOTHING, [READER_DATA] = STREAM_DATA,
        [READER_GAP] = STREAM_GAP,         [READER_END] = STREAM_END,
        [READER_BLOCKED] = STREAM_BLOCKED,
    };
    ret_piece->kind = kinds[piece.kind];
    if (piece.kind != READER_NOTHING) {
        *ret_piece = (struct stream_piece){
            .kind = kinds[piece.kind],
            .channel = channels[piece.output],
            .offset = piece.offset,
            .gap_to = piece.gap_to,
            .truncated = piece.truncated,
            .length = piece.length,
            .iov = {piece.iov[0], piece.iov[1]},
            .iov_count = piece.iov_count,
        };
    }
    look_for_end(attachment);
}

static void on_consumed(void *arg, uint8_t channel, uint64_t offset)
{
    struct attachment *attachment = arg;
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        if (channel == channels[i])
            reader_consumed(&attachment->reader, i, offset);
}

static void on_data(void *arg, uint8_t channel, const void *bytes, size_t length)
{
    struct attachment *attachment = arg;
    struct input *input = &attachment->process->input;
    struct nsp_error err = NSP_ERROR_INIT;
    /* What may not be written is dropped: the client was told by process.stdin_closed. */
    if (!input_claim(input, &attachment->writer))
        stream_consumed(call_stream(attachment->call), channel, length);
    else if (input_write(input, &attachment->writer, bytes, length, &err) < 0)
        fail(attachment, &err);
}

static void on_end(void *arg, uint8_t channel)
{
    (void)channel;
    struct attachment *attachment = arg;
    if (input_claim(&attachment->process->input, &attachment->writer))
        input_end(&attachment->process->input, &attachment->writer);
}

static void on_gone(void *arg, enum stream_gone why)
{
    release(arg, why == STREAM_LOST);
}

static const struct stream_handler handler = {
    .pull = on_pull, .consumed = on_consumed, .data = on_data, .end = on_end, .gone = on_gone};

static void on_delivered(void *arg, uint64_t length)
{
    const struct attachment *attachment = arg;
    stream_consumed(call_stream(attachment->call), NSP_CHANNEL_STDIN, length);
}

static struct reply *new_notification(const struct attachment *attachment)
{
    struct reply *reply = reply_new();
    reply_text(reply, "process", attachment->process->record->id);
    return reply;
}

static void tell_started(struct attachment *attachment)
{
    const struct table_record *record = attachment->process->record;
    struct reply *reply = new_notification(attachment);
    reply_int(reply, "pid", record->pid);
    reply_bool(reply, "running", !process_is_exited(attachment->process));
    reply_bytes(reply, "argv0", record->argv, strnlen(record->argv, record->argv_length));
    reply_u64(reply, "stdin_offset", record->input_offset);
    reply_u64(reply, "stdout_from", attachment->reader.next[0]);
    reply_u64(reply, "stderr_from", attachment->reader.next[1]);
    reply_bool(reply, "merged", record->merged);
    call_notify(attachment->call, "process.started", reply);
}

static void tell_exited(struct attachment *attachment)
{
    struct reply *reply = new_notification(attachment);
    process_record_exit_members(reply, attachment->process);
    call_notify(attachment->call, "process.exited", reply);
}

static void tell_drained(struct attachment *attachment)
{
    const struct table_record *record = attachment->process->record;
    struct reply *reply = new_notification(attachment);
    reply_u64(reply, "stdout", record->outputs[0].drained);
    reply_u64(reply, "stderr", record->outputs[1].drained);
    call_notify(attachment->call, "process.drained", reply);
}

static void tell_input_closed(struct attachment *attachment)
{
    if (!attachment->is_writer)
        return;
    struct reply *reply = new_notification(attachment);
    reply_u64(reply, "offset", attachment->process->record->input_offset);
    reply_bool(reply, "taken", attachment->writer.is_out);
    call_notify(attachment->call, "process.stdin_closed", reply);
}

static void on_taken(void *arg)
{
    tell_input_closed(arg);
}

/* The program runs, or has run. */
static void open_channels(struct attachment *attachment)
{
    struct process *process = attachment->process;
    struct stream *stream = call_stream(attachment->call);
    attachment->is_open = true;
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        stream_open_output(stream, channels[i], attachment->reader.next[i]);
    attachment->writer.from = process->record->input_offset;
    if (attachment->is_writer)
        stream_open_input(stream, NSP_CHANNEL_STDIN, process->record->input_offset,
                          NSP_LIMIT_STDIN_QUEUE);
    tell_started(attachment);
    if (!input_is_open(&process->input))
        tell_input_closed(attachment);
    if (process_is_exited(process))
        tell_exited(attachment);
    if (process_is_drained(process))
        tell_drained(attachment);
    stream_ready(stream);
    look_for_end(attachment);
}

static void on_event(void *arg, struct process *process, enum process_event event)
{
    struct attachment *attachment = arg;
    struct nsp_error err = NSP_ERROR_INIT;
    /* Before anything is sent, so that the response goes out together with the last notification.
     */
    if (event == PROCESS_EXITED || event == PROCESS_DRAINED)
        loop_defer(attachment->service->loop, &attachment->finish);
    switch (event) {
    case PROCESS_STARTED:
        open_channels(attachment);
        break;
    case PROCESS_FAILED:
        fail(attachment, &process->failure);
        return;
    case PROCESS_FORGOTTEN:
        nsp_fail_on(&err, NSP_E_NOT_FOUND, process->record->id, "the process was forgotten");
        fail(attachment, &err);
        return;
    case PROCESS_EXITED:
        tell_exited(attachment);
        break;
    case PROCESS_DRAINED:
        tell_drained(attachment);
        break;
    case PROCESS_INPUT_CLOSED:
        tell_input_closed(attachment);
        break;
    case PROCESS_OUTPUT:
    case PROCESS_CLOSED:
        break;
    }
    if (attachment->is_open)
        stream_ready(call_stream(attachment->call));
    look_for_end(attachment);
}

static void on_superseded(void *arg)
{
    struct attachment *attachment = arg;
    struct nsp_error err = NSP_ERROR_INIT;
    nsp_fail_on(&err, NSP_E_CANCELLED, attachment->process->record->id,
                "another stream has taken over this reader's name");
    fail(attachment, &err);
}

static int read_options(const struct process_attach_params *params,
                        struct reader_options *ret_options, struct nsp_error *err)
{
    uint64_t name = 0;
    if (params->reader) {
        char *end;
        name = strtoull(params->reader, &end, 16);
        if (strspn(params->reader, "0123456789abcdefABCDEF") != 16)
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "reader",
                               "a reader's name is 16 hexadecimal digits");
    }
    *ret_options = (struct reader_options){
        .from = {(uint64_t)params->stdout_from, (uint64_t)params->stderr_from},
        .tail = params->tail,
        .lossless = params->lossless && params->follow,
        .is_named = params->reader != NULL,
        .name = name,
        .hold_ms = (uint64_t)params->hold_ms,
        .interleaved = params->interleaved,
        .follow = params->follow,
    };
    return 0;
}

static struct attachment *new_attachment(const struct process_service *service, struct call *call,
                                         struct process *process,
                                         const struct process_attach_params *params)
{
    struct attachment *attachment = calloc(1, sizeof *attachment);
    if (!attachment)
        return NULL;
    attachment->service = service;
    attachment->call = call;
    attachment->process = process;
    attachment->is_writer = params->stdin_writer;
    attachment->until_closed = params->until == UNTIL_CLOSED;
    attachment->follow = params->follow;
    attachment->observer = (struct process_observer){.event = on_event, .arg = attachment};
    attachment->finish = (struct loop_deferred){.callback = on_finish, .arg = attachment};
    input_writer_init(&attachment->writer, on_delivered, NULL, attachment);
    attachment->writer.taken = on_taken;
    return attachment;
}

void process_attach_begin(const struct process_service *service, struct call *call,
                          struct process *process, const struct process_attach_params *params)
{
    struct reader_options options;
    struct nsp_error err = NSP_ERROR_INIT;
    if (read_options(params, &options, &err) < 0) {
        call_fail(call, &err);
        return;
    }
    AUTO_FREE struct attachment *attachment = new_attachment(service, call, process, params);
    if (!attachment) {
        nsp_fail_on(&err, NSP_E_EXHAUSTED, "memory", "no memory to attach");
        call_fail(call, &err);
        return;
    }
    if (reader_attach(&attachment->reader, process, &options, on_superseded, attachment, &err) <
        0) {
        call_fail(call, &err);
        return;
    }
    process_observe(process, &attachment->observer);
    call_set_handler(call, &handler, attachment);
    struct attachment *kept = STEAL(attachment);
    if (process->record->state != TABLE_STARTING)
        open_channels(kept);
}
