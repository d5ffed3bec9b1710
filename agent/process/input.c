#include "agent/process/input.h"

#include <poll.h>
#include <sys/ioctl.h>

#include "agent/base/log.h"
#include "agent/process/pipe.h"
#include "agent/process/processes.h"
#include "protocol/limits.h"

static void set_closed(struct input *input)
{
    struct process *process = input->process;
    process->record->input = TABLE_INPUT_CLOSED;
    io_close(input->io);
    input->io = NULL;
    input->fd = -1;
    /* The process sees end of file only when the store's copy is closed too. */
    store_drop(processes_store(process->set), STOREWIRE_STDIN, process->slot);
}

static void wait_for_room(struct input *input, bool wanted)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (input->io && io_want(input->io, wanted ? IO_WRITE : 0, &err) < 0)
        processes_fatal(input->process->set, "cannot watch standard input", &err);
}

static struct input_writer *first_pending(const struct input *input)
{
    for (struct input_writer *writer = input->writers; writer; writer = writer->next)
        if (nsp_buf_length(&writer->queue) > 0 || writer->wants_end)
            return writer;
    return NULL;
}

/* Bytes that nobody will read count as taken, so that the writer is not kept waiting. */
static void drop_all(struct input *input)
{
    struct input_writer *writer;
    while ((writer = first_pending(input))) {
        uint64_t length = nsp_buf_length(&writer->queue);
        nsp_buf_consume(&writer->queue, length);
        writer->wants_end = false;
        if (length > 0)
            writer->delivered(writer->arg, length);
        if (writer->emptied)
            writer->emptied(writer->arg);
    }
}

/* Told first: what is taken from a writer after that is dropped. */
static void reader_is_gone(struct input *input)
{
    set_closed(input);
    process_notify(input->process, PROCESS_INPUT_CLOSED);
    drop_all(input);
}

static void finish_writer(struct input *input, struct input_writer *writer)
{
    if (writer->wants_end) {
        writer->wants_end = false;
        if (input->io)
            set_closed(input);
    }
    if (writer->emptied)
        writer->emptied(writer->arg);
}

/* About how much the pipe takes now: what is staged beyond that would be thrown away and written
 * again. Never 0, since only trying tells that the reader is gone. A pipe that was too small once
 * is made larger. */
static size_t room_for(struct input *input, size_t wanted)
{
    int waiting = 0;
    if (ioctl(input->fd, FIONREAD, &waiting) < 0)
        return wanted;
    size_t used = (size_t)waiting;
    if (input->capacity < used + wanted && !input->enlarged) {
        pipe_enlarge(input->fd);
        input->capacity = pipe_capacity(input->fd);
        input->enlarged = true;
    }
    size_t room = input->capacity > used + PIPE_PAGE ? input->capacity - used : PIPE_PAGE;
    return room < wanted ? room : wanted;
}

/* Moves what the pipe takes of a writer's bytes. */
static enum stage_result move(struct input *input, const void *bytes, size_t length,
                              uint64_t *ret_moved)
{
    struct process *process = input->process;
    enum stage_result result = STAGE_NOTHING;
    struct nsp_error err = NSP_ERROR_INIT;
    *ret_moved = 0;
    if (stage_move_input(processes_input_stage(process->set), input->fd, process->slot, bytes,
                         room_for(input, length), &process->record->input_offset, &result,
                         ret_moved, &err) < 0) {
        processes_fatal(process->set, "cannot move input", &err);
        return STAGE_NOTHING;
    }
    return result;
}

/* Serves the first writer that has something. Returns false when the pipe takes no more. */
static bool pump_once(struct input *input, struct input_writer *writer)
{
    uint64_t moved = 0;
    enum stage_result result = STAGE_MOVED;
    if (nsp_buf_length(&writer->queue) > 0) {
        result = move(input, nsp_buf_bytes(&writer->queue), nsp_buf_length(&writer->queue), &moved);
        nsp_buf_consume(&writer->queue, moved);
        if (moved > 0)
            writer->delivered(writer->arg, moved);
    }
    if (result == STAGE_END) {
        reader_is_gone(input);
        return false;
    }
    if (result == STAGE_NOTHING)
        return false;
    if (nsp_buf_length(&writer->queue) == 0) {
        nsp_buf_shrink(&writer->queue, 65536);
        finish_writer(input, writer);
    }
    return true;
}

static void pump(struct input *input)
{
    if (input->is_pumping)
        return;
    input->is_pumping = true;
    struct input_writer *writer;
    while (input->io && (writer = first_pending(input)) && pump_once(input, writer))
        ;
    if (!input->io)
        drop_all(input);
    wait_for_room(input, first_pending(input) != NULL);
    input->is_pumping = false;
}

static void on_writable(void *arg, unsigned ready)
{
    (void)ready;
    pump(arg);
}

int input_open(struct input *input, int fd, struct nsp_error *err)
{
    if (io_new(processes_loop(input->process->set), fd, 0, on_writable, input, &input->io, err) < 0)
        return -1;
    input->fd = fd;
    input->capacity = pipe_capacity(fd);
    return 0;
}

void input_done(struct input *input)
{
    if (input->io)
        io_close(input->io);
    input->io = NULL;
    input->fd = -1;
}

void input_check(struct input *input)
{
    struct pollfd pipe = {.fd = input->fd, .events = 0};
    if (input->io && poll(&pipe, 1, 0) > 0 && (pipe.revents & POLLERR))
        reader_is_gone(input);
}

bool input_is_open(const struct input *input)
{
    return input->io != NULL;
}

void input_writer_init(struct input_writer *writer, void (*delivered)(void *, uint64_t),
                       void (*emptied)(void *), void *arg)
{
    *writer = (struct input_writer){.delivered = delivered, .emptied = emptied, .arg = arg};
    nsp_buf_init(&writer->queue, NSP_LIMIT_STDIN_QUEUE);
}

static void lose(struct input_writer *writer)
{
    if (writer->is_out)
        return;
    writer->is_out = true;
    writer->taken(writer->arg);
}

/* Bytes that wait in all writers' queues. */
static uint64_t waiting_bytes(const struct input *input)
{
    uint64_t total = 0;
    for (const struct input_writer *writer = input->writers; writer; writer = writer->next)
        total += nsp_buf_length(&writer->queue);
    return total;
}

int input_take(struct input *input, struct nsp_error *err)
{
    struct input_writer *owner = input->owner;
    if (owner && nsp_buf_length(&owner->queue) > 0)
        return nsp_fail_on(err, NSP_E_STATE, input->process->record->id,
                           "another stream is writing to standard input");
    input->owner = NULL;
    if (owner)
        lose(owner);
    return 0;
}

bool input_claim(struct input *input, struct input_writer *writer)
{
    if (!input_is_open(input) || writer->is_out)
        return false;
    if (input->owner == writer)
        return true;
    if (input->process->record->input_offset != writer->from || waiting_bytes(input) > 0 ||
        input_take(input, NULL) < 0) {
        lose(writer);
        return false;
    }
    input->owner = writer;
    return true;
}

static void link_writer(struct input *input, struct input_writer *writer)
{
    if (writer->is_linked)
        return;
    struct input_writer **place = &input->writers;
    while (*place)
        place = &(*place)->next;
    *place = writer;
    writer->next = NULL;
    writer->is_linked = true;
}

int input_write(struct input *input, struct input_writer *writer, const void *bytes, size_t length,
                struct nsp_error *err)
{
    uint64_t moved = 0;
    if (waiting_bytes(input) + length > NSP_LIMIT_STDIN_QUEUE)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "stdin_queue",
                           "the process has not read what waits for it already");
    /* Nothing waits: straight from where the bytes are, without the queue. */
    if (input->io && !input->is_pumping && !first_pending(input))
        (void)move(input, bytes, length, &moved);
    if (moved > 0)
        writer->delivered(writer->arg, moved);
    if (moved == length && length > 0) {
        finish_writer(input, writer);
        return 0;
    }
    if (nsp_buf_append(&writer->queue, (const uint8_t *)bytes + moved, length - moved, err) < 0)
        return -1;
    link_writer(input, writer);
    pump(input);
    return 0;
}

void input_end(struct input *input, struct input_writer *writer)
{
    link_writer(input, writer);
    writer->wants_end = true;
    pump(input);
}

void input_writer_done(struct input *input, struct input_writer *writer)
{
    if (input->owner == writer)
        input->owner = NULL;
    for (struct input_writer **place = &input->writers; *place; place = &(*place)->next) {
        if (*place == writer) {
            *place = writer->next;
            break;
        }
    }
    writer->is_linked = false;
    nsp_buf_done(&writer->queue);
}
