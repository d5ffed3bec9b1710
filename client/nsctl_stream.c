/* One round of the loop: hand out the events that descriptors 1 and 2 can take, wait for whichever
 * of connection, signals, input and blocked outputs comes first, let the client work.
 *
 * Nothing here waits for a single descriptor: an output that stands still only makes its own
 * channel stand still, by the credit that is not given back.
 */
#include "client/nsctl_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/nsctl_json.h"
#include "client/nsctl_report.h"
#include "client/nsctl_signals.h"
#include "client/nsctl_sink.h"
#include "protocol/cleanup.h"

enum { OUTAGE_TOLD = 1000, READ_SIZE = 64 * 1024 };

enum slot { CLIENT, SIGNALS, INPUT, OUTPUT, ERRORS, SLOTS };

struct stream {
    struct nsctl *ctl;
    struct nsp_process *process;
    const struct nsctl_stream_options *options;
    struct nsctl_signals signals;
    struct nsctl_sink sinks[2]; /* standard output, standard error */
    bool discard[2];            /* nobody reads it any more */
    bool reading;               /* of descriptor 0 */
    bool outage_told;
    bool over;
    bool complete; /* everything was received, and the process has exited */
    int status;
};

/* ---- output ------------------------------------------------------------------------------- */

static void end(struct stream *stream, int status)
{
    stream->over = true;
    stream->status = status;
}

/* As in a local pipeline: the process that we run gets SIGPIPE, and what it still writes goes
 * nowhere. A process that has a name, or was only attached to, is left alone. */
static void on_broken_pipe(struct stream *stream, int index)
{
    stream->discard[index] = true;
    if (index == 1)
        return;
    stream->status = NSCTL_SIGNAL + SIGPIPE;
    if (stream->options->own && !stream->options->keep)
        nsctl_signals_add(&stream->signals, SIGPIPE);
    else
        end(stream, NSCTL_SIGNAL + SIGPIPE);
}

static void on_write_error(struct stream *stream, int index, const struct nsp_error *error)
{
    if (error->sys_errno == EPIPE) {
        on_broken_pipe(stream, index);
        return;
    }
    nsctl_report_note("standard %s: %s", index ? "error" : "output", error->msg);
    end(stream, NSCTL_ERROR);
}

static void write_data(struct stream *stream, const struct nsp_event *event)
{
    int index = event->channel == 3;
    struct nsp_error error = NSP_ERROR_INIT;
    long n = (long)event->length;
    if (!stream->discard[index])
        n = nsctl_sink_write(&stream->sinks[index], event->data, event->length, &error);
    if (n < 0)
        on_write_error(stream, index, &error);
    else if (n > 0)
        nsp_process_take(stream->process, event, (size_t)n);
}

static int status_of(const struct stream *stream, const struct nsp_event *event)
{
    const struct nsp_exit *ended = nsp_process_exit(stream->process);
    if (stream->discard[0])
        return NSCTL_SIGNAL + SIGPIPE;
    if (event->error.code != NSP_E_NONE)
        return nsp_exit_status_of_error(&event->error);
    return ended->exited ? nsp_exit_status(ended) : NSCTL_OK;
}

static void finish(struct stream *stream, const struct nsp_event *event)
{
    stream->complete = event->error.code == NSP_E_NONE && nsp_process_exit(stream->process)->exited;
    if (event->error.code != NSP_E_NONE && !stream->ctl->settings.json)
        nsctl_report_error(stream->ctl, &event->error);
    end(stream, status_of(stream, event));
}

static void close_input(struct stream *stream)
{
    stream->reading = false;
    /* Whoever writes to us shall see that nobody reads. */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, STDIN_FILENO);
    close(null);
}

static void print_event(struct stream *stream, const struct nsp_event *event)
{
    switch (event->kind) {
    case NSP_EVENT_DATA:
        write_data(stream, event);
        return;
    case NSP_EVENT_GAP:
        nsctl_report_note("%s: bytes %" PRIu64 "..%" PRIu64 " are lost",
                          event->channel == 2 ? "stdout" : "stderr", event->offset, event->gap_to);
        break;
    case NSP_EVENT_FINISHED:
        finish(stream, event);
        break;
    default:
        break;
    }
    nsp_process_take(stream->process, event, 0);
}

static void print_json(struct stream *stream, const struct nsp_event *event)
{
    AUTO_FREE char *line = NULL;
    struct nsp_error error = NSP_ERROR_INIT;
    size_t length = event->length;
    int status = event->kind == NSP_EVENT_FINISHED ? status_of(stream, event) : 0;
    if (nsctl_json_event(stream->process, event, status, &length, &line, &error) < 0 ||
        (!stream->discard[0] &&
         nsctl_sink_queue(&stream->sinks[0], line, strlen(line), &error) < 0))
        on_write_error(stream, 0, &error);
    if (event->kind == NSP_EVENT_FINISHED)
        finish(stream, event);
    nsp_process_take(stream->process, event, length);
}

/* What may be taken now: with --json everything goes to one place, in lines. */
static unsigned wanted(const struct stream *stream)
{
    unsigned channels = NSP_PEEK_ALL;
    if (stream->ctl->settings.json)
        return nsp_buf_length(&stream->sinks[0].queue) > 0 ? 0 : channels;
    if (stream->sinks[0].blocked)
        channels &= ~(unsigned)NSP_PEEK_STDOUT;
    if (stream->sinks[1].blocked)
        channels &= ~(unsigned)NSP_PEEK_STDERR;
    return channels;
}

static void hand_out(struct stream *stream)
{
    struct nsp_event event;
    struct nsp_error error = NSP_ERROR_INIT;
    if (!stream->discard[0] && nsctl_sink_flush(&stream->sinks[0], &error) < 0)
        on_write_error(stream, 0, &error);
    while (!stream->over && nsp_process_peek(stream->process, wanted(stream), &event)) {
        if (event.kind == NSP_EVENT_STDIN_CLOSED && stream->reading)
            close_input(stream);
        if (stream->ctl->settings.json)
            print_json(stream, &event);
        else
            print_event(stream, &event);
    }
}

/* ---- input, signals, the connection ------------------------------------------------------- */

static void read_input(struct stream *stream)
{
    char bytes[READ_SIZE];
    size_t room = nsp_process_room(stream->process);
    ssize_t n = read(STDIN_FILENO, bytes, room < sizeof bytes ? room : sizeof bytes);
    if (n > 0) {
        nsp_process_write(stream->process, bytes, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0)
        nsctl_report_note("standard input: %s", strerrordesc_np(errno));
    stream->reading = false;
    nsp_process_close_stdin(stream->process);
}

static void tell_outage(struct stream *stream, uint64_t now)
{
    struct nsp_client *client = stream->ctl->client;
    if (nsp_client_state(client) == NSP_CLIENT_READY) {
        if (stream->outage_told)
            nsctl_report_note("connected again");
        stream->outage_told = false;
    } else if (!stream->outage_told && nsp_client_outage(client, now) > OUTAGE_TOLD) {
        nsctl_report_note("the connection is lost (%s); trying again",
                          nsp_client_last_error(client)->msg);
        stream->outage_told = true;
    }
}

static void detach(struct stream *stream)
{
    const char *id = nsp_process_id(stream->process);
    nsctl_report_note("detached; the process goes on, `nsctl attach %s` comes back to it", id);
    end(stream, NSCTL_SIGNAL + SIGINT);
}

static int wait_time(const struct stream *stream, uint64_t now)
{
    int64_t due = nsp_client_timeout(stream->ctl->client, now);
    uint64_t outage = nsp_client_outage(stream->ctl->client, now);
    if (outage > 0 && outage <= OUTAGE_TOLD && (due < 0 || due > OUTAGE_TOLD))
        due = OUTAGE_TOLD + 1 - (int64_t)outage;
    return due > INT32_MAX ? INT32_MAX : (int)due;
}

static void prepare(const struct stream *stream, struct pollfd slots[SLOTS])
{
    for (int i = 0; i < SLOTS; i++)
        slots[i] = (struct pollfd){.fd = -1};
    slots[CLIENT].fd = nsp_client_fd(stream->ctl->client);
    slots[CLIENT].events = nsp_client_events(stream->ctl->client);
    slots[SIGNALS].fd = stream->signals.fd;
    slots[SIGNALS].events = POLLIN;
    if (stream->reading && nsp_process_room(stream->process) > 0)
        slots[INPUT] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    for (int i = 0; i < 2; i++)
        if (stream->sinks[i].blocked)
            slots[OUTPUT + i] = (struct pollfd){.fd = stream->sinks[i].fd, .events = POLLOUT};
}

static void turn(struct stream *stream)
{
    struct pollfd slots[SLOTS];
    prepare(stream, slots);
    if (poll(slots, SLOTS, wait_time(stream, nsp_client_now())) < 0)
        for (int i = 0; i < SLOTS; i++)
            slots[i].revents = 0;
    uint64_t now = nsp_client_now();
    for (int i = 0; i < 2; i++)
        if (slots[OUTPUT + i].revents)
            stream->sinks[i].blocked = false;
    if (slots[INPUT].revents)
        read_input(stream);
    if (slots[SIGNALS].revents && nsctl_signals_read(&stream->signals, now))
        detach(stream);
    if (nsp_process_pid(stream->process) > 0)
        nsctl_signals_send(&stream->signals, stream->ctl->client, nsp_process_id(stream->process));
    /* A client that has failed ends the process's stream with the reason. */
    (void)nsp_client_process(stream->ctl->client, slots[CLIENT].revents, now, NULL);
    tell_outage(stream, now);
}

/* The last lines are written out even if that takes a while: nothing else is left to do. */
static void flush_rest(struct stream *stream)
{
    struct nsctl_sink *sink = &stream->sinks[0];
    struct nsp_error error = NSP_ERROR_INIT;
    int result = 0;
    while (!stream->discard[0] && result == 0) {
        struct pollfd slot = {.fd = sink->fd, .events = POLLOUT};
        if (sink->blocked && poll(&slot, 1, -1) > 0)
            sink->blocked = false;
        result = nsctl_sink_flush(sink, &error);
    }
    if (result < 0)
        on_write_error(stream, 0, &error);
}

int nsctl_stream_run(struct nsctl *ctl, struct nsp_process *process,
                     const struct nsctl_stream_options *options, bool *ret_forget)
{
    struct stream stream = {
        .ctl = ctl, .process = process, .options = options, .reading = options->use_stdin};
    struct nsp_error error = NSP_ERROR_INIT;
    if (nsctl_signals_init(&stream.signals, options->own, &error) < 0)
        return nsctl_report_error(ctl, &error);
    nsctl_sink_init(&stream.sinks[0], STDOUT_FILENO);
    nsctl_sink_init(&stream.sinks[1], STDERR_FILENO);
    hand_out(&stream);
    while (!stream.over) {
        turn(&stream);
        hand_out(&stream);
    }
    flush_rest(&stream);
    nsctl_sink_done(&stream.sinks[0]);
    nsctl_sink_done(&stream.sinks[1]);
    nsctl_signals_done(&stream.signals);
    *ret_forget = stream.complete;
    return stream.status;
}
