#include "agent/process/reader.h"

#include "agent/base/clock.h"
#include "agent/process/deadlines.h"
#include "agent/process/processes.h"

static struct table_hold *hold_of(const struct reader *reader)
{
    return reader->hold < 0 ? NULL : &reader->process->record->holds[reader->hold];
}

/* What no lossless reader needs any more grows only; called before a place is given up or after it
 * has moved on. */
static void update_released(struct process *process)
{
    for (unsigned output = 0; output < process_output_count(process); output++) {
        uint64_t lowest = UINT64_MAX;
        for (unsigned i = 0; i < NSP_LIMIT_READERS; i++) {
            const struct table_hold *hold = &process->record->holds[i];
            if (hold->state != TABLE_HOLD_FREE && hold->consumed[output] < lowest)
                lowest = hold->consumed[output];
        }
        struct table_output *state = &process->record->outputs[output];
        if (lowest != UINT64_MAX && lowest > state->released)
            state->released = lowest;
    }
}

static void resume_outputs(struct process *process)
{
    for (unsigned i = 0; i < process_output_count(process); i++)
        output_resume(&process->outputs[i]);
}

static void free_hold(struct process *process, struct table_hold *hold)
{
    update_released(process);
    hold->state = TABLE_HOLD_FREE;
}

/* Attached readers are found through the process, so that a successor can take a place over. */
static void supersede(struct process *process, int hold)
{
    for (struct reader *reader = process->readers; reader; reader = reader->next_reader) {
        if (reader->hold == hold) {
            reader->hold = -1;
            reader->superseded(reader->arg);
            return;
        }
    }
}

static int find_hold(const struct process *process, uint64_t name)
{
    for (int i = 0; i < NSP_LIMIT_READERS; i++) {
        const struct table_hold *hold = &process->record->holds[i];
        if (hold->state != TABLE_HOLD_FREE && hold->is_named && hold->name == name)
            return i;
    }
    return -1;
}

static int take_hold(struct reader *reader, const struct reader_options *options,
                     struct nsp_error *err)
{
    struct process *process = reader->process;
    int place = options->is_named ? find_hold(process, options->name) : -1;
    if (place >= 0 && process->record->holds[place].state == TABLE_HOLD_ATTACHED)
        supersede(process, place);
    for (int i = 0; place < 0 && i < NSP_LIMIT_READERS; i++)
        if (process->record->holds[i].state == TABLE_HOLD_FREE)
            place = i;
    if (place < 0)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "readers", "%d lossless readers are the limit",
                           NSP_LIMIT_READERS);
    struct table_hold *hold = &process->record->holds[place];
    hold->name = options->name;
    hold->is_named = options->is_named;
    hold->hold_ms = options->is_named ? (uint32_t)options->hold_ms : 0;
    hold->deadline_ns = 0;
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++) {
        uint64_t tail = process->record->outputs[i].ring.tail;
        hold->consumed[i] = reader->next[i] > tail ? reader->next[i] : tail;
    }
    TABLE_IN_ORDER();
    hold->state = TABLE_HOLD_ATTACHED;
    reader->hold = place;
    return 0;
}

static int set_cursors(struct reader *reader, const struct reader_options *options,
                       struct nsp_error *err)
{
    static const char *const fields[] = {"stdout_from", "stderr_from"};
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++) {
        uint64_t head = reader->process->record->outputs[i].ring.head;
        if (!options->tail && options->from[i] > head)
            return nsp_fail_on(err, NSP_E_OFFSET, fields[i],
                               "offset %llu is beyond the end at %llu",
                               (unsigned long long)options->from[i], (unsigned long long)head);
        reader->next[i] = options->tail ? head : options->from[i];
        reader->stop[i] = options->follow ? UINT64_MAX : head;
    }
    return 0;
}

int reader_attach(struct reader *reader, struct process *process,
                  const struct reader_options *options, void (*superseded)(void *), void *arg,
                  struct nsp_error *err)
{
    *reader = (struct reader){.process = process,
                              .interleaved = options->interleaved,
                              .hold = -1,
                              .superseded = superseded,
                              .arg = arg};
    if (set_cursors(reader, options, err) < 0)
        return -1;
    if (options->lossless && take_hold(reader, options, err) < 0)
        return -1;
    reader->next_reader = process->readers;
    process->readers = reader;
    /* Where it goes on may be later than what its predecessor had acknowledged. */
    update_released(process);
    resume_outputs(process);
    deadlines_arm(process);
    return 0;
}

static void data_piece(struct reader *reader, unsigned output, uint64_t max,
                       struct reader_piece *ret_piece)
{
    const struct ring *ring = &reader->process->outputs[output].ring;
    uint64_t length = ring->state->head - reader->next[output];
    if (length > max)
        length = max;
    *ret_piece = (struct reader_piece){
        .kind = READER_DATA, .output = output, .offset = reader->next[output], .length = length};
    ret_piece->iov_count = ring_read_slices(ring, reader->next[output], length, ret_piece->iov);
    reader->next[output] += length;
}

/* The ring is full of what this reader was sent and has not acknowledged. */
static bool is_holding_up(const struct reader *reader, unsigned output)
{
    const struct table_hold *hold = hold_of(reader);
    return hold && hold->consumed[output] < reader->next[output] &&
           output_is_blocked(&reader->process->outputs[output]);
}

/* What the output has for the reader now, with at most max bytes of data. */
static void pull_output(struct reader *reader, unsigned output, uint64_t max,
                        struct reader_piece *ret_piece)
{
    const struct table_output *state = &reader->process->record->outputs[output];
    uint64_t next = reader->next[output];
    ret_piece->kind = READER_NOTHING;
    if (reader->ended[output])
        return;
    if (next < state->ring.tail) {
        *ret_piece = (struct reader_piece){
            .kind = READER_GAP, .output = output, .offset = next, .gap_to = state->ring.tail};
        reader->next[output] = state->ring.tail;
    } else if (next < state->ring.head && next < reader->stop[output]) {
        uint64_t left = reader->stop[output] - next;
        if (max > 0)
            data_piece(reader, output, max < left ? max : left, ret_piece);
    } else if (next == state->ring.head && !state->is_open) {
        *ret_piece = (struct reader_piece){
            .kind = READER_END, .output = output, .offset = next, .truncated = state->truncated};
        reader->ended[output] = true;
    } else if (next == state->ring.head && next != reader->blocked[output] &&
               is_holding_up(reader, output)) {
        *ret_piece =
            (struct reader_piece){.kind = READER_BLOCKED, .output = output, .offset = next};
        reader->blocked[output] = next;
    }
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void pull_in_turn(struct reader *reader, const uint64_t *allowance, uint64_t max,
                         struct reader_piece *ret_piece)
{
    unsigned count = process_output_count(reader->process);
    ret_piece->kind = READER_NOTHING;
    for (unsigned i = 0; i < count && ret_piece->kind == READER_NOTHING; i++) {
        unsigned output = (reader->turn + i) % count;
        pull_output(reader, output, smaller(max, allowance[output]), ret_piece);
        if (ret_piece->kind != READER_NOTHING)
            reader->turn = output + 1;
    }
}

/* In order of arrival: only the output of the present arrival may go on, and only to its end. Bytes
 * before it whose own arrivals are forgotten come first. */
static void pull_in_order(struct reader *reader, const uint64_t *allowance, uint64_t max,
                          struct reader_piece *ret_piece)
{
    const struct arrivals arrivals = process_arrivals(reader->process);
    struct arrival arrival;
    while (arrivals_get(&arrivals, &reader->arrival, &arrival)) {
        /* Where the reader stops counts as the end: behind it nothing is kept waiting. */
        unsigned output = arrival.output;
        uint64_t end = smaller(arrival.offset + arrival.length, reader->stop[output]);
        if (reader->next[output] < end) {
            uint64_t left = end - reader->next[output];
            pull_output(reader, output, smaller(smaller(max, allowance[output]), left), ret_piece);
            return;
        }
        /* The last one may still become longer. */
        if (reader->arrival + 1 == *arrivals.count)
            break;
        reader->arrival++;
    }
    pull_in_turn(reader, allowance, max, ret_piece);
}

void reader_pull(struct reader *reader, const uint64_t *allowance, uint64_t max,
                 struct reader_piece *ret_piece)
{
    if (reader->interleaved)
        pull_in_order(reader, allowance, max, ret_piece);
    else
        pull_in_turn(reader, allowance, max, ret_piece);
}

void reader_consumed(struct reader *reader, unsigned output, uint64_t offset)
{
    struct table_hold *hold = hold_of(reader);
    if (!hold || offset <= hold->consumed[output])
        return;
    hold->consumed[output] = offset;
    update_released(reader->process);
    output_resume(&reader->process->outputs[output]);
}

bool reader_has_all(const struct reader *reader, bool until_closed)
{
    const struct process *process = reader->process;
    for (unsigned i = 0; i < process_output_count(process); i++) {
        const struct table_output *state = &process->record->outputs[i];
        if (reader->ended[i])
            continue;
        /* An end that is known already is handed out too. */
        if (!state->is_open && reader->next[i] == state->ring.head)
            return false;
        if (reader->next[i] >= reader->stop[i])
            continue;
        if (until_closed || !state->is_drained || reader->next[i] < state->drained)
            return false;
    }
    return true;
}

void reader_detach(struct reader *reader, bool lost)
{
    struct process *process = reader->process;
    struct reader **place = &process->readers;
    while (*place && *place != reader)
        place = &(*place)->next_reader;
    if (*place)
        *place = reader->next_reader;
    struct table_hold *hold = hold_of(reader);
    if (!hold)
        return;
    reader->hold = -1;
    if (lost && hold->hold_ms > 0) {
        hold->deadline_ns = clock_now_ns() + hold->hold_ms * CLOCK_NS_PER_MS;
        TABLE_IN_ORDER();
        hold->state = TABLE_HOLD_DEPARTED;
    } else {
        free_hold(process, hold);
        resume_outputs(process);
    }
    deadlines_arm(process);
}

void reader_expire_holds(struct process *process, uint64_t now)
{
    bool freed = false;
    for (unsigned i = 0; i < NSP_LIMIT_READERS; i++) {
        struct table_hold *hold = &process->record->holds[i];
        if (hold->state == TABLE_HOLD_DEPARTED && hold->deadline_ns <= now) {
            free_hold(process, hold);
            freed = true;
        }
    }
    if (freed)
        resume_outputs(process);
}

void reader_depart_all(struct process *process)
{
    uint64_t now = clock_now_ns();
    for (unsigned i = 0; i < NSP_LIMIT_READERS; i++) {
        struct table_hold *hold = &process->record->holds[i];
        if (hold->state != TABLE_HOLD_ATTACHED)
            continue;
        hold->deadline_ns = now + hold->hold_ms * CLOCK_NS_PER_MS;
        TABLE_IN_ORDER();
        hold->state = TABLE_HOLD_DEPARTED;
    }
}

unsigned reader_count(const struct process *process)
{
    unsigned count = 0;
    for (unsigned i = 0; i < NSP_LIMIT_READERS; i++)
        count += process->record->holds[i].state != TABLE_HOLD_FREE;
    return count;
}
