#include "agent/process/output.h"

#include <poll.h>

#include "agent/base/log.h"
#include "agent/process/ends.h"
#include "agent/process/pipe.h"
#include "agent/process/processes.h"

/* One turn of the loop takes at most so much from one output, so that others have their turn. */
enum { TURN_BYTES = 4 * STAGE_BYTES, PAGE = 4096 };

static struct table_output *state_of(const struct output *output)
{
    return &output->process->record->outputs[output->number];
}

static uint64_t page_round(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

uint64_t output_touched(const struct output *output)
{
    const struct ring_state *state = output->ring.state;
    if (state_of(output)->is_evicted)
        return 0;
    return page_round(state->head < state->size ? state->head : state->size);
}

/* While bytes may come, the ring may touch all of its present size. */
static void update_promise(struct output *output)
{
    uint64_t promised = output->fd < 0 ? 0 : output->ring.state->size - output_touched(output);
    arena_promise(processes_arena(output->process->set), output->promised, promised);
    output->promised = promised;
}

/* The first byte that must not be overwritten. */
static uint64_t keep_from(const struct output *output)
{
    const struct table_record *record = output->process->record;
    uint64_t keep = record->policy == TABLE_POLICY_BLOCK ? state_of(output)->released
                                                         : output->ring.state->head;
    if (record->policy == TABLE_POLICY_DROP)
        return keep;
    for (unsigned i = 0; i < NSP_LIMIT_READERS; i++) {
        const struct table_hold *hold = &record->holds[i];
        if (hold->state != TABLE_HOLD_FREE && hold->consumed[output->number] < keep)
            keep = hold->consumed[output->number];
    }
    return keep > output->ring.state->tail ? keep : output->ring.state->tail;
}

/* Bytes that may come now, having grown the ring as far as that helps and memory allows. */
static uint64_t make_room(struct output *output)
{
    struct ring_state *state = output->ring.state;
    uint64_t room = ring_room(&output->ring, keep_from(output));
    if (state->head >= state->size && !ring_can_grow(&output->ring))
        return room; /* has wrapped: no new page is touched */
    while (state->head + STAGE_BYTES > state->size && ring_can_grow(&output->ring) &&
           processes_reserve(output->process->set, state->size)) {
        ring_grow(&output->ring);
        update_promise(output);
    }
    room = ring_room(&output->ring, keep_from(output));
    return room;
}

static void close_pipe(struct output *output)
{
    io_close(output->io);
    output->io = NULL;
    output->fd = -1;
    update_promise(output);
    store_drop(processes_store(output->process->set), ends_kind(ENDS_OUTPUT + output->number),
               output->process->slot);
}

/* After the exit: the pipe has been seen empty, so what the process wrote is all in the ring. */
static void set_drained(struct output *output)
{
    struct table_output *state = state_of(output);
    if (state->is_drained || !process_is_exited(output->process))
        return;
    state->drained = output->ring.state->head;
    TABLE_IN_ORDER();
    state->is_drained = true;
    if (process_is_drained(output->process))
        process_notify(output->process, PROCESS_DRAINED);
}

void output_close(struct output *output, bool truncated)
{
    if (output->fd < 0)
        return;
    state_of(output)->truncated = truncated;
    TABLE_IN_ORDER();
    state_of(output)->is_open = false;
    close_pipe(output);
    set_drained(output);
    process_notify(output->process, PROCESS_CLOSED);
}

static void wait_for_bytes(struct output *output, bool wanted)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (output->io && io_want(output->io, wanted ? IO_READ : 0, &err) < 0)
        processes_fatal(output->process->set, "cannot watch an output", &err);
}

/* A pipe that was full once is made larger. */
static void enlarge(struct output *output)
{
    if (!output->enlarged)
        pipe_enlarge(output->fd);
    output->enlarged = true;
}

static void note_arrival(struct output *output, uint64_t from, uint64_t tail, uint64_t touched)
{
    struct table_output *state = state_of(output);
    struct process *process = output->process;
    uint64_t length = state->ring.head - from;
    struct arrivals arrivals = process_arrivals(process);
    arrivals_append(&arrivals, output->number, from, length);
    uint64_t lost_from = tail > state->released ? tail : state->released;
    if (state->ring.tail > lost_from)
        state->dropped += state->ring.tail - lost_from;
    arena_charge(processes_arena(process->set), output_touched(output) - touched);
    update_promise(output);
}

/* No room: nothing can be moved, but the pipe may be empty or at its end all the same. */
static void look_at_full(struct output *output)
{
    struct pollfd pipe = {.fd = output->fd, .events = POLLIN};
    wait_for_bytes(output, false);
    process_notify(output->process, PROCESS_OUTPUT);
    if (poll(&pipe, 1, 0) < 0 || (pipe.revents & POLLIN))
        return;
    if (pipe.revents & POLLHUP)
        output_close(output, false);
    else
        set_drained(output);
}

/* Moves one piece. Returns false when there is nothing more to do in this turn. */
static bool pump_once(struct output *output, uint64_t *ret_moved)
{
    struct process *process = output->process;
    uint64_t room = make_room(output);
    if (room == 0) {
        look_at_full(output);
        return false;
    }
    uint64_t from = output->ring.state->head, tail = output->ring.state->tail;
    uint64_t touched = output_touched(output);
    enum stage_result result;
    struct nsp_error err = NSP_ERROR_INIT;
    if (stage_move_output(processes_output_stage(process->set), output->fd, &output->ring,
                          process->slot, output->number, room, &result, ret_moved, &err) < 0) {
        processes_fatal(process->set, "cannot move output", &err);
        return false;
    }
    if (result == STAGE_END) {
        output_close(output, false);
        return false;
    }
    if (result == STAGE_NOTHING) {
        wait_for_bytes(output, true);
        set_drained(output);
        return false;
    }
    note_arrival(output, from, tail, touched);
    if (*ret_moved >= 65536)
        enlarge(output);
    return true;
}

void output_pump(struct output *output)
{
    if (output->fd < 0) {
        set_drained(output);
        return;
    }
    uint64_t total = 0, moved = 0;
    while (total < TURN_BYTES && pump_once(output, &moved)) {
        total += moved;
        /* Less than a pipe page's worth left behind is likely nothing: leave it to the loop, unless
         * the exit makes it worth knowing that the pipe is empty. */
        if (moved < PIPE_PAGE && !process_is_exited(output->process)) {
            wait_for_bytes(output, true);
            break;
        }
    }
    if (total > 0)
        process_notify(output->process, PROCESS_OUTPUT);
}

static void on_readable(void *arg, unsigned ready)
{
    (void)ready;
    output_pump(arg);
}

bool output_is_blocked(const struct output *output)
{
    return output->io && io_wanted(output->io) == 0;
}

void output_resume(struct output *output)
{
    if (output_is_blocked(output) && make_room(output) > 0)
        wait_for_bytes(output, true);
}

int output_open(struct output *output, int fd, struct nsp_error *err)
{
    if (io_new(processes_loop(output->process->set), fd, IO_READ, on_readable, output, &output->io,
               err) < 0)
        return -1;
    output->fd = fd;
    update_promise(output);
    return 0;
}

void output_done(struct output *output)
{
    if (output->io)
        io_close(output->io);
    output->io = NULL;
    output->fd = -1;
    arena_promise(processes_arena(output->process->set), output->promised, 0);
    output->promised = 0;
}
