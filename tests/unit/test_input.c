/* Standard input of a process: the writers' order, what counts as delivered, and its ends. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/process/input.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

enum { CHUNK = 65536, MUCH = 2 << 20 };

/* A writer, and what it was told. */
struct pen {
    struct input_writer writer;
    uint64_t delivered;
    unsigned emptied;
};

static struct pen pens[3];
static unsigned taken;
static struct puppet puppet;

static void on_delivered(void *arg, uint64_t length)
{
    struct pen *pen = arg;
    pen->delivered += length;
}

static void on_emptied(void *arg)
{
    struct pen *pen = arg;
    pen->emptied++;
}

static void on_taken(void *arg)
{
    (void)arg;
    taken++;
}

static void setup(void)
{
    struct launch_options options = process_set_options(NULL);
    options.input = true;
    puppet = process_set_puppet_of(options);
    for (int i = 0; i < 3; i++) {
        pens[i] = (struct pen){.delivered = 0};
        input_writer_init(&pens[i].writer, on_delivered, on_emptied, &pens[i]);
        pens[i].writer.taken = on_taken;
    }
}

static void teardown(void)
{
    for (int i = 0; i < 3; i++)
        input_writer_done(&puppet.process->input, &pens[i].writer);
}

static struct input *input(void)
{
    return &puppet.process->input;
}

static uint64_t offset(void)
{
    return puppet.process->record->input_offset;
}

static void write_bytes(struct pen *pen, const void *bytes, size_t length)
{
    ck_assert_int_eq(input_write(input(), &pen->writer, bytes, length, NULL), 0);
}

static void write_text(struct pen *pen, const char *text)
{
    write_bytes(pen, text, strlen(text));
}

/* Bytes in the pipe and in the queue, after fill_pipe. */
static uint64_t full, waiting;

/* Writes until the pipe takes no more. */
static void fill_pipe(struct pen *pen)
{
    static char bytes[CHUNK];
    memset(bytes, '.', sizeof bytes);
    for (uint64_t done = 0; nsp_buf_length(&pen->writer.queue) == 0; done += sizeof bytes) {
        ck_assert_uint_lt(done, MUCH);
        write_bytes(pen, bytes, sizeof bytes);
    }
    full = pen->delivered;
    waiting = nsp_buf_length(&pen->writer.queue);
    pen->emptied = 0;
}

static const char *read_text(void)
{
    static char text[MUCH];
    ssize_t length = read(puppet.in, text, sizeof text - 1);
    if (length < 0)
        return strerror(errno);
    text[length] = '\0';
    return length > 0 ? text : "(end)";
}

static void read_away(size_t length)
{
    static char bytes[CHUNK];
    while (length > 0) {
        ssize_t got = read(puppet.in, bytes, length < sizeof bytes ? length : sizeof bytes);
        if (got > 0)
            length -= (size_t)got;
        process_set_turn();
    }
}

START_TEST(bytes_arrive_at_once_and_count)
{
    write_text(&pens[0], "hello ");
    write_text(&pens[0], "world");
    ck_assert_uint_eq(offset(), 11);
    ck_assert_uint_eq(pens[0].delivered, 11);
    ck_assert_uint_eq(pens[0].emptied, 2);
    ck_assert_str_eq(read_text(), "hello world");
}
END_TEST

START_TEST(what_the_pipe_does_not_take_waits)
{
    fill_pipe(&pens[0]);
    ck_assert_uint_eq(offset(), full);
    ck_assert_uint_eq(nsp_buf_length(&pens[0].writer.queue), waiting);
    ck_assert_uint_eq(pens[0].emptied, 0);
    read_away(full);
    PROCESS_SET_AWAIT(offset() == full + waiting);
    ck_assert_uint_eq(pens[0].delivered, full + waiting);
    ck_assert_uint_eq(pens[0].emptied, 1);
}
END_TEST

START_TEST(writers_are_served_in_the_order_in_which_they_came)
{
    fill_pipe(&pens[0]);
    write_text(&pens[1], "second");
    write_text(&pens[2], "third");
    write_text(&pens[0], "first");
    read_away(full + waiting);
    PROCESS_SET_AWAIT(offset() == full + waiting + 16);
    ck_assert_str_eq(read_text(), "firstsecondthird");
}
END_TEST

START_TEST(a_writer_that_leaves_takes_its_undelivered_bytes_along)
{
    fill_pipe(&pens[0]);
    write_text(&pens[1], "kept");
    input_writer_done(input(), &pens[0].writer);
    read_away(full);
    PROCESS_SET_AWAIT(offset() == full + 4);
    ck_assert_str_eq(read_text(), "kept");
    ck_assert_uint_eq(pens[0].delivered, full);
}
END_TEST

START_TEST(a_writer_that_leaves_also_takes_its_end_along)
{
    fill_pipe(&pens[0]);
    input_end(input(), &pens[0].writer);
    input_writer_done(input(), &pens[0].writer);
    read_away(full);
    process_set_settle(5);
    ck_assert(input_is_open(input()));
    write_text(&pens[1], "on");
    ck_assert_str_eq(read_text(), "on");
}
END_TEST

START_TEST(too_much_is_refused_and_changes_nothing)
{
    static char bytes[NSP_LIMIT_STDIN_QUEUE];
    struct nsp_error err = NSP_ERROR_INIT;
    fill_pipe(&pens[0]);
    ck_assert_int_eq(input_write(input(), &pens[0].writer, bytes, sizeof bytes, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_uint_eq(nsp_buf_length(&pens[0].writer.queue), waiting);
    /* The limit is the process's, not the writer's. */
    ck_assert_int_eq(input_write(input(), &pens[1].writer, bytes, sizeof bytes, &err), -1);
    ck_assert_str_eq(err.object, "stdin_queue");
    write_bytes(&pens[1], bytes, sizeof bytes - waiting);
    ck_assert_int_eq(input_write(input(), &pens[0].writer, "x", 1, &err), -1);
}
END_TEST

START_TEST(an_end_comes_after_the_writers_bytes)
{
    fill_pipe(&pens[0]);
    input_end(input(), &pens[0].writer);
    ck_assert(input_is_open(input()));
    read_away(full);
    PROCESS_SET_AWAIT(!input_is_open(input()));
    ck_assert_uint_eq(offset(), full + waiting);
    ck_assert_uint_eq(pens[0].emptied, 1);
    ck_assert_int_eq(puppet.process->record->input, TABLE_INPUT_CLOSED);
    read_away(waiting);
    PROCESS_SET_AWAIT(strcmp(read_text(), "(end)") == 0);
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDIN), 0);
}
END_TEST

START_TEST(an_end_without_bytes_is_told_too)
{
    struct witness witness;
    witness_watch(&witness, puppet.process);
    input_end(input(), &pens[0].writer);
    ck_assert_uint_eq(pens[0].emptied, 1);
    ck_assert(!input_is_open(input()));
    input_end(input(), &pens[1].writer);
    ck_assert_uint_eq(pens[1].emptied, 1);
    PROCESS_SET_AWAIT(strcmp(read_text(), "(end)") == 0);
}
END_TEST

START_TEST(an_end_drops_what_other_writers_still_have)
{
    fill_pipe(&pens[0]);
    input_end(input(), &pens[0].writer);
    write_text(&pens[1], "too late");
    read_away(full);
    PROCESS_SET_AWAIT(!input_is_open(input()));
    ck_assert_uint_eq(pens[1].delivered, 8);
    ck_assert_uint_eq(pens[1].emptied, 1);
    ck_assert_uint_eq(offset(), full + waiting);
}
END_TEST

START_TEST(bytes_for_a_closed_input_are_taken_and_dropped)
{
    input_end(input(), &pens[0].writer);
    write_text(&pens[1], "nobody");
    ck_assert_uint_eq(pens[1].delivered, 6);
    ck_assert_uint_eq(pens[1].emptied, 1);
    ck_assert_uint_eq(offset(), 0);
}
END_TEST

/* Its own end, and the sleeping process's. */
static void lose_readers(void)
{
    close(puppet.in);
    process_set_kill(puppet.process);
}

START_TEST(a_reader_that_is_gone_is_noticed_at_the_exit)
{
    struct witness witness;
    witness_watch(&witness, puppet.process);
    lose_readers();
    ck_assert(!input_is_open(input()));
    ck_assert_uint_eq(witness.count[PROCESS_INPUT_CLOSED], 1);
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STDIN) == 0);
}
END_TEST

START_TEST(a_reader_that_is_gone_is_noticed_at_the_next_write)
{
    struct process *process;
    const char *const argv[] = {"sh", "-c", "exec <&-; exec sleep 60", NULL};
    struct launch_options options = process_set_options((char *const *)argv);
    struct witness witness;
    options.input = true;
    process = process_set_launch(&options);
    witness_watch(&witness, process);
    for (int i = 0; i < PROCESS_SET_TURNS && input_is_open(&process->input); i++) {
        ck_assert_int_eq(input_write(&process->input, &pens[2].writer, "x", 1, NULL), 0);
        process_set_turn();
    }
    ck_assert(!input_is_open(&process->input));
    ck_assert_str_eq(witness.order, "I");
    input_writer_done(&process->input, &pens[2].writer);
}
END_TEST

START_TEST(who_waits_for_a_reader_that_goes_waits_no_longer)
{
    struct witness witness;
    fill_pipe(&pens[0]);
    write_text(&pens[1], "waiting");
    input_end(input(), &pens[1].writer);
    witness_watch(&witness, puppet.process);
    lose_readers();
    ck_assert_uint_eq(pens[0].delivered, full + waiting);
    ck_assert_uint_eq(pens[0].emptied, 1);
    ck_assert_uint_eq(pens[1].delivered, 7);
    ck_assert_uint_eq(pens[1].emptied, 1);
    ck_assert_uint_eq(offset(), full);
    ck_assert_uint_eq(witness.count[PROCESS_INPUT_CLOSED], 1);
}
END_TEST

START_TEST(an_exit_does_not_close_what_others_still_read)
{
    process_set_kill(puppet.process);
    process_set_settle(5);
    ck_assert(input_is_open(input()));
    write_text(&pens[0], "heir");
    ck_assert_str_eq(read_text(), "heir");
}
END_TEST

START_TEST(after_a_restart_the_offset_goes_on)
{
    fill_pipe(&pens[0]);
    input_writer_done(input(), &pens[0].writer);
    puppet_restart(&puppet);
    ck_assert_uint_eq(offset(), full);
    read_away(full);
    write_text(&pens[1], "again");
    ck_assert_uint_eq(offset(), full + 5);
    ck_assert_str_eq(read_text(), "again");
}
END_TEST

START_TEST(a_move_that_an_agent_cannot_finish_needs_a_successor)
{
    struct table_stage *journal = processes_input_stage(process_set.set)->journal;
    journal->phase = TABLE_STAGE_FILLING;
    write_text(&pens[0], "abc");
    ck_assert_uint_gt(process_set.fatal, 0);
    ck_assert_uint_eq(offset(), 0);
    ck_assert_uint_eq(pens[0].delivered, 0);
    input_writer_done(input(), &pens[0].writer);
    process_set.fatal = 0;
    puppet_restart(&puppet);
    write_text(&pens[1], "abc");
    ck_assert_str_eq(read_text(), "abc");
}
END_TEST

static struct input_writer *to_end;

static void on_emptied_end(void *arg)
{
    (void)arg;
    input_writer_done(input(), to_end);
}

START_TEST(a_writer_may_end_itself_when_it_is_emptied)
{
    struct input_writer once;
    input_writer_init(&once, on_delivered, on_emptied_end, &pens[0]);
    to_end = &once;
    ck_assert_int_eq(input_write(input(), &once, "bye", 3, NULL), 0);
    write_text(&pens[1], "next");
    ck_assert_str_eq(read_text(), "byenext");
    fill_pipe(&pens[2]);
    input_writer_init(&once, on_delivered, on_emptied_end, &pens[0]);
    ck_assert_int_eq(input_write(input(), &once, "bye", 3, NULL), 0);
    lose_readers();
    ck_assert(!once.is_linked);
}
END_TEST

/* Streams */

START_TEST(the_first_bytes_claim_the_input)
{
    ck_assert(input_claim(input(), &pens[0].writer));
    write_text(&pens[0], "abc");
    ck_assert(input_claim(input(), &pens[0].writer));
    ck_assert_uint_eq(taken, 0);
    ck_assert(!pens[0].writer.is_out);
}
END_TEST

START_TEST(a_stream_that_goes_on_where_it_was_told_takes_the_input_over)
{
    ck_assert(input_claim(input(), &pens[0].writer));
    write_text(&pens[0], "abc");
    pens[1].writer.from = 3;
    ck_assert(input_claim(input(), &pens[1].writer));
    ck_assert_uint_eq(taken, 1);
    ck_assert(pens[0].writer.is_out);
    /* For good, and told once. */
    ck_assert(!input_claim(input(), &pens[0].writer));
    ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(a_stream_that_others_have_overtaken_is_refused)
{
    ck_assert(input_claim(input(), &pens[0].writer));
    write_text(&pens[0], "abc");
    pens[1].writer.from = 2;
    ck_assert(!input_claim(input(), &pens[1].writer));
    ck_assert_uint_eq(taken, 1);
    ck_assert(pens[1].writer.is_out);
    ck_assert(input_claim(input(), &pens[0].writer));
}
END_TEST

START_TEST(nobody_takes_the_input_from_a_stream_with_bytes_waiting)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert(input_claim(input(), &pens[0].writer));
    fill_pipe(&pens[0]);
    pens[1].writer.from = full;
    ck_assert(!input_claim(input(), &pens[1].writer));
    ck_assert_int_eq(input_take(input(), &err), -1);
    ck_assert_int_eq(err.code, NSP_E_STATE);
    ck_assert_str_eq(err.object, puppet.process->record->id);
    ck_assert(!pens[0].writer.is_out);
    input_writer_done(input(), &pens[0].writer);
    ck_assert_int_eq(input_take(input(), &err), 0);
}
END_TEST

START_TEST(a_call_takes_the_input_from_an_idle_stream)
{
    ck_assert_int_eq(input_take(input(), NULL), 0);
    ck_assert(input_claim(input(), &pens[0].writer));
    write_text(&pens[0], "abc");
    ck_assert_int_eq(input_take(input(), NULL), 0);
    ck_assert_uint_eq(taken, 1);
    ck_assert(!input_claim(input(), &pens[0].writer));
}
END_TEST

START_TEST(a_closed_input_cannot_be_claimed)
{
    input_end(input(), &pens[0].writer);
    ck_assert(!input_claim(input(), &pens[1].writer));
    ck_assert_uint_eq(taken, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("input");
    TCase *tests = PROCESS_SET_CASE(
        result, "input", bytes_arrive_at_once_and_count, what_the_pipe_does_not_take_waits,
        writers_are_served_in_the_order_in_which_they_came,
        a_writer_that_leaves_takes_its_undelivered_bytes_along,
        a_writer_that_leaves_also_takes_its_end_along, too_much_is_refused_and_changes_nothing,
        an_end_comes_after_the_writers_bytes, an_end_without_bytes_is_told_too,
        an_end_drops_what_other_writers_still_have, bytes_for_a_closed_input_are_taken_and_dropped,
        a_reader_that_is_gone_is_noticed_at_the_exit,
        a_reader_that_is_gone_is_noticed_at_the_next_write,
        who_waits_for_a_reader_that_goes_waits_no_longer,
        an_exit_does_not_close_what_others_still_read, after_a_restart_the_offset_goes_on,
        a_move_that_an_agent_cannot_finish_needs_a_successor,
        a_writer_may_end_itself_when_it_is_emptied);
    TCase *streams = PROCESS_SET_CASE(result, "streams", the_first_bytes_claim_the_input,
                                      a_stream_that_goes_on_where_it_was_told_takes_the_input_over,
                                      a_stream_that_others_have_overtaken_is_refused,
                                      nobody_takes_the_input_from_a_stream_with_bytes_waiting,
                                      a_call_takes_the_input_from_an_idle_stream,
                                      a_closed_input_cannot_be_claimed);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_checked_fixture(streams, setup, teardown);
    return result;
}

UNIT_MAIN(suite)
