#include "agent/services/process_stdin.h"

#include <stdlib.h>

struct writing {
    struct call *call;
    struct process *process;
    struct process_observer observer;
    struct input_writer writer;
    uint64_t expected; /* delivered offset when all went well */
    bool is_begun;     /* process_stdin_begin has returned */
    bool is_done;
};

static void release(struct writing *writing)
{
    process_unobserve(writing->process, &writing->observer);
    input_writer_done(&writing->process->input, &writing->writer);
    free(writing);
}

static void fail_closed(struct writing *writing)
{
    struct nsp_error err = NSP_ERROR_INIT;
    nsp_fail_on(&err, NSP_E_STATE, writing->process->record->id, "standard input is closed");
    struct call *call = writing->call;
    release(writing);
    call_fail(call, &err);
}

static void finish(struct writing *writing)
{
    if (writing->process->record->input_offset < writing->expected) {
        fail_closed(writing);
        return;
    }
    struct call *call = writing->call;
    struct reply *reply = reply_new();
    reply_u64(reply, "offset", writing->process->record->input_offset);
    release(writing);
    call_reply(call, reply);
}

static void on_delivered(void *arg, uint64_t length)
{
    (void)arg;
    (void)length;
}

static void on_emptied(void *arg)
{
    struct writing *writing = arg;
    writing->is_done = true;
    if (writing->is_begun)
        finish(writing);
}

static void on_event(void *arg, struct process *process, enum process_event event)
{
    (void)process;
    struct writing *writing = arg;
    if (event == PROCESS_FORGOTTEN || event == PROCESS_FAILED)
        fail_closed(writing);
}

static void on_gone(void *arg, enum stream_gone why)
{
    (void)why;
    release(arg);
}

static const struct stream_handler handler = {.gone = on_gone};

/* How many of the bytes were delivered before. */
static int leading_repetition(const struct process *process, size_t length, int64_t offset,
                              size_t *ret_skip, struct nsp_error *err)
{
    uint64_t delivered = process->record->input_offset;
    if (offset >= 0 && (uint64_t)offset > delivered)
        return nsp_fail_on(err, NSP_E_OFFSET, "offset", "delivered are %llu bytes, not %lld",
                           (unsigned long long)delivered, (long long)offset);
    uint64_t skip = offset < 0 ? 0 : delivered - (uint64_t)offset;
    *ret_skip = skip < length ? (size_t)skip : length;
    return 0;
}

static int write_all(struct writing *writing, const char *bytes, size_t length, bool close,
                     struct nsp_error *err)
{
    struct input *input = &writing->process->input;
    if (length > 0 && input_write(input, &writing->writer, bytes, length, err) < 0)
        return -1;
    if (close && input_is_open(input))
        input_end(input, &writing->writer);
    return 0;
}

void process_stdin_begin(struct call *call, struct process *process, const void *bytes,
                         size_t length, int64_t offset, bool close)
{
    struct nsp_error err = NSP_ERROR_INIT;
    size_t skip = 0;
    struct writing *writing = NULL;
    if (!input_is_open(&process->input) && length > 0) {
        nsp_fail_on(&err, NSP_E_STATE, process->record->id, "standard input is closed");
    } else if (input_take(&process->input, &err) == 0 &&
               leading_repetition(process, length, offset, &skip, &err) == 0) {
        writing = calloc(1, sizeof *writing);
        if (!writing)
            nsp_fail_on(&err, NSP_E_EXHAUSTED, "memory", "no memory to write");
    }
    if (!writing) {
        call_fail(call, &err);
        return;
    }
    writing->call = call;
    writing->process = process;
    writing->expected = process->record->input_offset + length - skip;
    writing->observer = (struct process_observer){.event = on_event, .arg = writing};
    input_writer_init(&writing->writer, on_delivered, on_emptied, writing);
    process_observe(process, &writing->observer);
    if (write_all(writing, (const char *)bytes + skip, length - skip, close, &err) < 0) {
        release(writing);
        call_fail(call, &err);
        return;
    }
    bool has_work = length > skip || (close && input_is_open(&process->input));
    if (writing->is_done || !has_work) {
        finish(writing);
        return;
    }
    writing->is_begun = true;
    call_set_handler(call, &handler, writing);
}
