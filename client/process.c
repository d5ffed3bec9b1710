/* A process as the user of the library sees it, over any number of connections.
 *
 * It is one call whose request is made anew for each connection: process.start until
 * process.started has told the id (the same key each time, so that a start whose answer was lost
 * starts nothing again), process.attach from then on, under the same reader name and from the
 * offsets received so far. Invariants:
 *   - an output byte is queued once (output.c), an input byte leaves its queue once (input.c);
 *   - a notification that every connection repeats becomes an event once (`told`);
 *   - FINISHED comes after everything else was taken.
 */
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/client.h"
#include "client/exit.h"
#include "client/input.h"
#include "client/nsclient.h"
#include "client/output.h"
#include "client/start.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

/* Credit windows that may wait for the user in a queue: each connection opens a new one, and none
 * is made use of while there would be no room for it. */
enum { WINDOWS = 4, OUTPUTS = 2 };

enum {
    TOLD_STARTED = 1 << NSP_EVENT_STARTED,
    TOLD_STDIN_CLOSED = 1 << NSP_EVENT_STDIN_CLOSED,
    TOLD_EXITED = 1 << NSP_EVENT_EXITED,
    TOLD_DRAINED = 1 << NSP_EVENT_DRAINED,
    TOLD_FINISHED = 1 << NSP_EVENT_FINISHED,
};

struct nsp_process {
    struct nsp_client *client;
    struct nsp_call *call;

    char *start; /* the parameters of process.start; NULL when it was attached to */
    struct nsp_attach attach;
    char reader[NSP_START_READER_SIZE];
    char id[NSP_ID_SIZE];
    int64_t pid;

    struct nsp_events queues[OUTPUTS]; /* interleaved: only the first is used */
    struct nsp_output outputs[OUTPUTS];
    struct nsp_input input;

    unsigned told;    /* events that have happened */
    unsigned pending; /* those that were not taken yet */
    struct nsp_exit exit;
    struct nsp_error error;
};

static struct nsp_output *output_of(struct nsp_process *process, int channel)
{
    return channel == NSP_CHANNEL_STDOUT   ? &process->outputs[0]
           : channel == NSP_CHANNEL_STDERR ? &process->outputs[1]
                                           : NULL;
}

static void tell(struct nsp_process *process, enum nsp_event_kind kind)
{
    if (process->told & 1u << kind)
        return;
    process->told |= 1u << kind;
    process->pending |= 1u << kind;
}

/* ---- the request -------------------------------------------------------------------------- */

static void write_reader(struct nsp_writer *writer, const struct nsp_process *process)
{
    const struct nsp_attach *attach = &process->attach;
    const struct nsp_output *out = &process->outputs[0], *err = &process->outputs[1];
    if (attach->tail && !out->known) {
        nsp_writer_bool(writer, "tail", true);
    } else {
        nsp_writer_u64(writer, "stdout_from", out->known ? out->next : attach->stdout_from);
        nsp_writer_u64(writer, "stderr_from", err->known ? err->next : attach->stderr_from);
    }
    nsp_writer_text(writer, "reader", process->reader);
    if (attach->droppable)
        nsp_writer_bool(writer, "lossless", false);
    if (attach->hold_ms > 0)
        nsp_writer_u64(writer, "hold_ms", attach->hold_ms);
    if (attach->interleaved)
        nsp_writer_bool(writer, "interleaved", true);
    if (attach->no_follow)
        nsp_writer_bool(writer, "follow", false);
    if (attach->until_closed)
        nsp_writer_text(writer, "until", "closed");
}

static int attach_params(const struct nsp_process *process, char **ret_params,
                         struct nsp_error *err)
{
    struct nsp_writer writer;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "id", process->id);
    write_reader(&writer, process);
    if (process->attach.use_stdin)
        nsp_writer_bool(&writer, "stdin", true);
    nsp_writer_close(&writer, '}');
    return nsp_writer_take(&writer, ret_params, err);
}

/* A whole window must fit into each queue, whatever the user does. */
static bool has_room(const struct nsp_process *process)
{
    uint64_t most = (WINDOWS - 1) * nsp_client_credit(process->client);
    return process->outputs[0].queued + process->outputs[1].queued <= most;
}

static int on_request(void *arg, const char **ret_method, char **ret_params, struct nsp_error *err)
{
    struct nsp_process *process = arg;
    if (!has_room(process))
        return 0;
    if (process->id[0]) {
        *ret_method = "process.attach";
        return attach_params(process, ret_params, err) < 0 ? -1 : 1;
    }
    *ret_method = "process.start";
    *ret_params = strdup(process->start);
    if (!*ret_params)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a request");
    return 1;
}

/* ---- what the agent tells ----------------------------------------------------------------- */

static int on_started(struct nsp_process *process, const struct nsp_json *params,
                      struct nsp_error *err)
{
    const char *id = nsp_json_text(params, "process", "");
    size_t length = strlen(id);
    if (length == 0 || length >= sizeof process->id)
        return nsp_fail(err, NSP_E_PROTOCOL, "process.started without an id");
    uint64_t window = nsp_client_credit(process->client);
    for (int i = 0; i < OUTPUTS; i++)
        nsp_events_set_ceiling(&process->queues[i], WINDOWS * OUTPUTS * window);
    if (nsp_output_started(&process->outputs[0], nsp_json_u64(params, "stdout_from", 0), window,
                           err) < 0 ||
        nsp_output_started(&process->outputs[1], nsp_json_u64(params, "stderr_from", 0), window,
                           err) < 0 ||
        nsp_input_started(&process->input, nsp_json_u64(params, "stdin_offset", 0), window, err) <
            0)
        return -1;
    memcpy(process->id, id, length + 1);
    process->pid = nsp_json_int(params, "pid", 0);
    tell(process, NSP_EVENT_STARTED);
    nsp_call_data_ready(process->call);
    return 0;
}

static void on_exited(struct nsp_process *process, const struct nsp_json *exit)
{
    if (!nsp_json_is_object(exit) || process->told & TOLD_EXITED)
        return;
    nsp_exit_read(exit, &process->exit);
    tell(process, NSP_EVENT_EXITED);
}

static int on_notify(void *arg, const char *method, const struct nsp_json *params,
                     struct nsp_error *err)
{
    struct nsp_process *process = arg;
    if (strcmp(method, "process.started") == 0)
        return on_started(process, params, err);
    if (strcmp(method, "process.exited") == 0) {
        const struct nsp_json *exit = nsp_json_get(params, "exit");
        on_exited(process, exit ? exit : params);
    } else if (strcmp(method, "process.drained") == 0) {
        tell(process, NSP_EVENT_DRAINED);
    } else if (strcmp(method, "process.stdin_closed") == 0 && process->input.enabled) {
        nsp_input_reader_gone(&process->input);
        tell(process, NSP_EVENT_STDIN_CLOSED);
    }
    /* Notifications that a newer agent may have are no matter. */
    return 0;
}

static void send_credit(struct nsp_process *process, const struct nsp_output *output)
{
    uint8_t payload[8];
    struct nsp_frame frame;
    nsp_output_credit(output, &frame, payload);
    nsp_call_send_frame(process->call, &frame, payload);
}

static int on_channel(void *arg, const struct nsp_frame *frame, const uint8_t *payload,
                      struct nsp_error *err)
{
    struct nsp_process *process = arg;
    bool credit_due = false;
    if (frame->type == NSP_FRAME_CREDIT && frame->channel == NSP_CHANNEL_STDIN) {
        /* It may have crossed the end of our input. */
        if (process->input.dead)
            return 0;
        if (nsp_input_credit(&process->input, frame->offset, nsp_frame_get_u64(payload), err) < 0)
            return -1;
        nsp_call_data_ready(process->call);
        return 0;
    }
    struct nsp_output *output = output_of(process, frame->channel);
    if (!output || frame->type == NSP_FRAME_CREDIT)
        return nsp_fail(err, NSP_E_PROTOCOL, "%s on channel %u", nsp_frame_type_name(frame->type),
                        frame->channel);
    if (nsp_output_frame(output, frame, payload, &credit_due, err) < 0)
        return -1;
    if (credit_due)
        send_credit(process, output);
    return 0;
}

static bool on_pull(void *arg, size_t max, struct nsp_frame *ret_frame, const uint8_t **ret_payload)
{
    struct nsp_process *process = arg;
    return nsp_input_pull(&process->input, max, ret_frame, ret_payload);
}

static void on_lost(void *arg)
{
    struct nsp_process *process = arg;
    for (int i = 0; i < OUTPUTS; i++)
        nsp_output_lost(&process->outputs[i]);
    nsp_input_lost(&process->input);
}

/* The agent says how much there is; less than that would be a silent loss. */
static void check_complete(struct nsp_process *process, const struct nsp_json *result)
{
    static const char *const names[OUTPUTS] = {"stdout", "stderr"};
    for (int i = 0; i < OUTPUTS && !process->attach.no_follow; i++) {
        uint64_t end = nsp_json_u64(result, names[i], 0);
        uint64_t next = process->outputs[i].next;
        if (process->outputs[i].known && next < end)
            nsp_fail_on(&process->error, NSP_E_PROTOCOL, names[i], "%s ended at %llu of %llu bytes",
                        names[i], (unsigned long long)next, (unsigned long long)end);
    }
}

static void on_done(void *arg, const struct nsp_json *result, const struct nsp_error *error)
{
    struct nsp_process *process = arg;
    on_lost(process);
    if (result) {
        on_exited(process, nsp_json_get(result, "exit"));
        check_complete(process, result);
    } else {
        process->error = *error;
    }
    nsp_input_reader_gone(&process->input);
    tell(process, NSP_EVENT_FINISHED);
}

static const struct nsp_call_handler handler = {
    .request = on_request,
    .notify = on_notify,
    .channel = on_channel,
    .pull = on_pull,
    .lost = on_lost,
    .done = on_done,
};

/* ---- making and freeing ------------------------------------------------------------------- */

static int process_create(struct nsp_client *client, const struct nsp_attach *attach,
                          struct nsp_process **ret_process, struct nsp_error *err)
{
    struct nsp_process *process = calloc(1, sizeof *process);
    if (!process)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a process");
    process->client = client;
    if (attach)
        process->attach = *attach;
    for (int i = 0; i < OUTPUTS; i++) {
        int queue = process->attach.interleaved ? 0 : i;
        nsp_events_init(&process->queues[i], WINDOWS * OUTPUTS * NSP_LIMIT_INITIAL_CREDIT);
        nsp_output_init(&process->outputs[i], (uint8_t)(NSP_CHANNEL_STDOUT + i),
                        &process->queues[queue]);
    }
    if (nsp_start_random(process->reader, sizeof process->reader, err) < 0) {
        nsp_process_free(process);
        return -1;
    }
    *ret_process = process;
    return 0;
}

static int start_params(const struct nsp_start *start, const struct nsp_process *process,
                        char **ret_params, struct nsp_error *err)
{
    char key[NSP_START_KEY_SIZE];
    struct nsp_writer writer;
    if (!start->argv == !start->command)
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "either argv or command is needed");
    if (nsp_start_random(key, sizeof key, err) < 0)
        return -1;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_start_write(&writer, start, key);
    if (process) {
        nsp_writer_bool(&writer, "attach", true);
        write_reader(&writer, process);
    }
    nsp_writer_close(&writer, '}');
    return nsp_writer_take(&writer, ret_params, err);
}

int nsp_process_start(struct nsp_client *client, const struct nsp_start *start,
                      const struct nsp_attach *attach, struct nsp_process **ret_process,
                      struct nsp_error *err)
{
    struct nsp_process *process = NULL;
    if (process_create(client, attach, &process, err) < 0)
        return -1;
    process->attach.use_stdin = start->stdin_pipe;
    nsp_input_init(&process->input, start->stdin_pipe);
    if (start_params(start, process, &process->start, err) < 0 ||
        nsp_call_open(client, &handler, process, &process->call, err) < 0) {
        nsp_process_free(process);
        return -1;
    }
    *ret_process = process;
    return 0;
}

int nsp_process_attach(struct nsp_client *client, const char *id, const struct nsp_attach *attach,
                       struct nsp_process **ret_process, struct nsp_error *err)
{
    struct nsp_process *process = NULL;
    size_t length = strlen(id);
    if (length == 0 || length >= NSP_ID_SIZE)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, id, "an id has 1 to %d characters",
                           NSP_ID_SIZE - 1);
    if (process_create(client, attach, &process, err) < 0)
        return -1;
    nsp_input_init(&process->input, process->attach.use_stdin);
    memcpy(process->id, id, length + 1);
    if (nsp_call_open(client, &handler, process, &process->call, err) < 0) {
        nsp_process_free(process);
        return -1;
    }
    *ret_process = process;
    return 0;
}

void nsp_process_free(struct nsp_process *process)
{
    if (!process)
        return;
    nsp_call_free(process->call);
    for (int i = 0; i < OUTPUTS; i++)
        nsp_events_done(&process->queues[i]);
    nsp_input_done(&process->input);
    free(process->start);
    free(process);
}

int nsp_process_launch(struct nsp_client *client, const struct nsp_start *start, char *ret_id,
                       int64_t *ret_pid, struct nsp_error *err)
{
    AUTO_FREE char *params = NULL;
    AUTO_FREE char *text = NULL;
    struct nsp_json *json = NULL;
    if (start_params(start, NULL, &params, err) < 0 ||
        nsp_call_run(client, "process.start", params, NSP_CALL_REPEAT, &text, err) < 0 ||
        nsp_json_parse(text, strlen(text), &json, err) < 0)
        return -1;
    const char *id = nsp_json_text(json, "id", "");
    int result = 0;
    if (strlen(id) == 0 || strlen(id) >= NSP_ID_SIZE) {
        result = nsp_fail(err, NSP_E_PROTOCOL, "process.start answered without an id");
    } else {
        memcpy(ret_id, id, strlen(id) + 1);
        *ret_pid = nsp_json_int(json, "pid", 0);
    }
    nsp_json_free(json);
    return result;
}

/* ---- the user's side ---------------------------------------------------------------------- */

static bool peek_control(const struct nsp_process *process, unsigned kinds,
                         struct nsp_event *ret_event)
{
    static const enum nsp_event_kind order[] = {NSP_EVENT_STARTED, NSP_EVENT_STDIN_CLOSED,
                                                NSP_EVENT_EXITED, NSP_EVENT_DRAINED,
                                                NSP_EVENT_FINISHED};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!(process->pending & kinds & 1u << order[i]))
            continue;
        *ret_event = (struct nsp_event){.kind = order[i]};
        if (order[i] == NSP_EVENT_FINISHED)
            ret_event->error = process->error;
        return true;
    }
    return false;
}

bool nsp_process_peek(const struct nsp_process *process, unsigned wanted,
                      struct nsp_event *ret_event)
{
    struct nsp_event event;
    bool empty = true;
    if (wanted & NSP_PEEK_CONTROL && peek_control(process, ~(unsigned)TOLD_FINISHED, ret_event))
        return true;
    for (int i = 0; i < OUTPUTS; i++) {
        if (!nsp_events_front(&process->queues[i], &event))
            continue;
        empty = false;
        if (wanted & 1u << event.channel) {
            *ret_event = event;
            return true;
        }
    }
    return empty && wanted & NSP_PEEK_CONTROL && peek_control(process, TOLD_FINISHED, ret_event);
}

void nsp_process_take(struct nsp_process *process, const struct nsp_event *event, size_t length)
{
    struct nsp_output *output = output_of(process, event->channel);
    if (!output) {
        process->pending &= ~(1u << event->kind);
        return;
    }
    if (event->kind != NSP_EVENT_DATA)
        length = 0;
    else if (length > event->length)
        length = event->length;
    nsp_events_take(output->events, length);
    if (length > 0 && nsp_output_take(output, length))
        send_credit(process, output);
    if (nsp_call_queued(process->call))
        nsp_client_wake(process->client);
}

int nsp_process_next(struct nsp_process *process, struct nsp_event *ret_event, int64_t timeout,
                     struct nsp_error *err)
{
    uint64_t deadline = nsp_client_now() + (uint64_t)timeout;
    while (!nsp_process_peek(process, NSP_PEEK_ALL, ret_event)) {
        int64_t left = -1;
        if (process->told & TOLD_FINISHED)
            return nsp_fail(err, NSP_E_STATE, "the stream of process %s is over", process->id);
        if (timeout >= 0) {
            uint64_t now = nsp_client_now();
            if (now >= deadline)
                return 0;
            left = (int64_t)(deadline - now);
        }
        /* A client that fails ends the call, and FINISHED tells it. */
        if (nsp_client_step(process->client, left, err) < 0 && !(process->told & TOLD_FINISHED))
            return -1;
    }
    return 1;
}

const char *nsp_process_id(const struct nsp_process *process)
{
    return process->id;
}

int64_t nsp_process_pid(const struct nsp_process *process)
{
    return process->pid;
}

const struct nsp_exit *nsp_process_exit(const struct nsp_process *process)
{
    return &process->exit;
}

bool nsp_process_finished(const struct nsp_process *process)
{
    return (process->told & TOLD_FINISHED) && !(process->pending & TOLD_FINISHED);
}

size_t nsp_process_room(const struct nsp_process *process)
{
    return nsp_input_room(&process->input);
}

size_t nsp_process_write(struct nsp_process *process, const void *bytes, size_t length)
{
    size_t taken = nsp_input_write(&process->input, bytes, length);
    if (taken > 0)
        nsp_call_data_ready(process->call);
    return taken;
}

void nsp_process_close_stdin(struct nsp_process *process)
{
    nsp_input_close(&process->input);
    nsp_call_data_ready(process->call);
}

size_t nsp_process_unread(const struct nsp_process *process)
{
    return nsp_buf_length(&process->input.bytes);
}
