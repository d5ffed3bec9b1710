/* Outputs: what the ring takes under each policy, how it grows within the budget of all rings, and
 * how a pipe's end, its emptiness after the exit, and giving it up are told apart. */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/process/output.h"
#include "agent/process/reader.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

/* MUCH: more than a ring and a pipe take. */
enum { RING = NSP_LIMIT_RING_MIN, MUCH = 32 * RING };

static const struct reader_options lossless = {.follow = true, .lossless = true};

static void on_superseded(void *arg)
{
    (void)arg;
}

static const struct table_output *state_of(const struct puppet *puppet, unsigned output)
{
    return &puppet->process->record->outputs[output];
}

static uint64_t charged(void)
{
    return arena_charged(processes_arena(process_set.set));
}

static void set_budget(uint64_t bytes)
{
    process_set.ring_budget = bytes;
    process_set_restart();
}

static struct puppet puppet_with_ring(uint64_t bytes)
{
    struct launch_options options = process_set_options(NULL);
    options.ring_bytes = bytes;
    return process_set_puppet_of(options);
}

/* Growth and budget */

START_TEST(a_ring_grows_with_its_output_up_to_its_size)
{
    struct puppet puppet = puppet_with_ring(4 * RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.size, RING);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, 3 * RING), 3 * RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.tail, 0);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.size, 4 * RING);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 3 * RING, 2 * RING), 2 * RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.size, 4 * RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.tail, RING);
}
END_TEST

START_TEST(only_touched_pages_are_charged)
{
    struct puppet puppet = puppet_with_ring(1 << 20);
    uint64_t before = charged();
    puppet_say(&puppet, 0, "x");
    ck_assert_uint_eq(charged() - before, 4096);
    puppet_say(&puppet, 0, "yz");
    ck_assert_uint_eq(charged() - before, 4096);
    puppet_say(&puppet, 1, "err");
    ck_assert_uint_eq(charged() - before, 8192);
    puppet_flood(&puppet, 0, 0, 10000);
    ck_assert_uint_eq(charged() - before, 4096 + 12288);
}
END_TEST

START_TEST(a_ring_that_has_wrapped_touches_no_more)
{
    struct puppet puppet = puppet_with_ring(RING);
    puppet_flood(&puppet, 0, 0, 3 * RING);
    ck_assert_uint_eq(charged(), RING);
    ck_assert_uint_eq(output_touched(&puppet.process->outputs[0]), RING);
}
END_TEST

START_TEST(a_ring_grows_only_as_far_as_the_budget_permits)
{
    set_budget(3 * RING);
    struct puppet puppet = puppet_with_ring(64 * RING);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, 8 * RING), 8 * RING);
    ck_assert_uint_le(state_of(&puppet, 0)->ring.size, 2 * RING);
    ck_assert_uint_le(charged(), 3 * RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.head, 8 * RING);
}
END_TEST

START_TEST(a_forgotten_process_gives_its_charge_back)
{
    struct puppet puppet = puppet_with_ring(RING);
    struct nsp_error err = NSP_ERROR_INIT;
    puppet_flood(&puppet, 0, 0, RING);
    puppet_say(&puppet, 1, "err");
    process_set_kill(puppet.process);
    ck_assert_uint_eq(charged(), RING + 4096);
    ck_assert_int_eq(process_forget(puppet.process, &err), 0);
    /* Some pages may be kept for the next process in the slot. */
    struct process *next = process_set_shell("exit 0");
    ck_assert_uint_eq(next->slot, 0);
    ck_assert_uint_eq(charged(), 0);
}
END_TEST

/* Policies */

START_TEST(under_auto_nothing_blocks_without_a_lossless_reader)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, 4 * RING), 4 * RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->dropped, 3 * RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->released, 0);
}
END_TEST

START_TEST(under_block_nothing_is_dropped_that_no_lossless_reader_had)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_BLOCK);
    ck_assert_uint_lt(puppet_flood(&puppet, 0, 0, MUCH), MUCH);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.head, RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.tail, 0);
    ck_assert(output_is_blocked(&puppet.process->outputs[0]));
    /* The other output goes on. */
    puppet_say(&puppet, 1, "err");
}
END_TEST

START_TEST(under_block_a_plain_reader_releases_nothing)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_BLOCK);
    const struct reader_options plain = {.follow = true};
    struct reader reader;
    struct reader_piece piece;
    puppet_flood(&puppet, 0, 0, 4 * RING);
    ck_assert_int_eq(reader_attach(&reader, puppet.process, &plain, on_superseded, NULL, NULL), 0);
    reader_pull(&reader, (uint64_t[]){RING, 0}, RING, &piece);
    reader_consumed(&reader, 0, RING);
    process_set_settle(5);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.head, RING);
}
END_TEST

START_TEST(under_drop_the_newest_bytes_are_kept)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_DROP);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, 4 * RING), 4 * RING);
    const struct ring_state *ring = &state_of(&puppet, 0)->ring;
    ck_assert_uint_eq(ring->head, 4 * RING);
    ck_assert_uint_eq(ring->tail, 3 * RING);
    ck_assert_uint_eq(puppet.process->region.rings[0][0], puppet_pattern(3 * RING));
}
END_TEST

START_TEST(bytes_that_a_lossless_reader_had_are_not_dropped_ones)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader reader;
    ck_assert_int_eq(reader_attach(&reader, puppet.process, &lossless, on_superseded, NULL, NULL),
                     0);
    puppet_flood(&puppet, 0, 0, RING);
    reader_consumed(&reader, 0, RING);
    puppet_flood(&puppet, 0, RING, RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.tail, RING);
    ck_assert_uint_eq(state_of(&puppet, 0)->dropped, 0);
    reader_detach(&reader, false);
    puppet_flood(&puppet, 0, 2 * RING, 100);
    ck_assert_uint_eq(state_of(&puppet, 0)->dropped, 100);
}
END_TEST

START_TEST(a_busy_pipe_is_made_larger)
{
    struct puppet puppet = puppet_with_ring(1 << 20);
    int before = fcntl(puppet.out[0], F_GETPIPE_SZ);
    puppet_flood(&puppet, 0, 0, 4 * RING);
    ck_assert_int_gt(fcntl(puppet.out[0], F_GETPIPE_SZ), before);
    ck_assert_int_eq(fcntl(puppet.out[1], F_GETPIPE_SZ), before);
}
END_TEST

/* Exit, drained, closed */

START_TEST(exit_and_the_end_of_output_are_two_facts)
{
    struct puppet puppet = process_set_puppet();
    struct witness witness;
    witness_watch(&witness, puppet.process);
    puppet_say(&puppet, 0, "abc");
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
    ck_assert_str_eq(witness.order, "XD");
    ck_assert_uint_eq(state_of(&puppet, 0)->drained, 3);
    puppet_say(&puppet, 0, "later");
    ck_assert_uint_eq(state_of(&puppet, 0)->drained, 3);
    puppet_close_output(&puppet, 0);
    PROCESS_SET_AWAIT(witness.count[PROCESS_CLOSED] == 1);
    puppet_close_output(&puppet, 1);
    PROCESS_SET_AWAIT(witness.count[PROCESS_CLOSED] == 2);
    ck_assert_str_eq(witness.order, "XDCC");
    ck_assert(!state_of(&puppet, 0)->truncated);
    ck_assert_uint_eq(witness.count[PROCESS_OUTPUT], 2);
}
END_TEST

START_TEST(output_may_close_long_before_the_exit)
{
    struct process *process = process_set_shell("exec >&- 2>&-; exec sleep 60");
    struct witness witness;
    PROCESS_SET_AWAIT(!process->record->outputs[0].is_open && !process->record->outputs[1].is_open);
    ck_assert(!process_is_exited(process) && !process_is_drained(process));
    witness_watch(&witness, process);
    process_set_kill(process);
    ck_assert_str_eq(witness.order, "XD");
}
END_TEST

START_TEST(what_was_written_before_the_exit_is_all_there_when_drained)
{
    struct process *process = process_set_shell("head -c 300000 /dev/zero; echo end >&2");
    PROCESS_SET_AWAIT(process_is_drained(process));
    ck_assert_uint_eq(process->record->outputs[0].drained, 300000);
    ck_assert_uint_eq(process->record->outputs[1].drained, 4);
}
END_TEST

START_TEST(a_full_ring_is_not_drained_until_the_rest_has_been_read)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_BLOCK);
    struct reader reader;
    uint64_t through = puppet_flood(&puppet, 0, 0, 4 * RING);
    process_set_kill(puppet.process);
    process_set_settle(5);
    ck_assert(!process_is_drained(puppet.process));
    ck_assert_int_eq(reader_attach(&reader, puppet.process, &lossless, on_superseded, NULL, NULL),
                     0);
    for (uint64_t head = 0; head < through; head = state_of(&puppet, 0)->ring.head) {
        reader_consumed(&reader, 0, state_of(&puppet, 0)->ring.head);
        process_set_turn();
    }
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
    ck_assert_uint_eq(state_of(&puppet, 0)->drained, through);
}
END_TEST

START_TEST(a_ring_that_is_exactly_full_is_drained_and_closed_all_the_same)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_BLOCK);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, RING), RING);
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
    ck_assert(state_of(&puppet, 0)->is_open);
    ck_assert_uint_eq(state_of(&puppet, 0)->drained, RING);
}
END_TEST

START_TEST(a_ring_that_is_exactly_full_ends_with_the_exit_of_the_last_writer)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_BLOCK);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, RING), RING);
    puppet_close_output(&puppet, 0);
    puppet_close_output(&puppet, 1);
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(!state_of(&puppet, 0)->is_open);
    ck_assert(!state_of(&puppet, 0)->truncated);
}
END_TEST

START_TEST(output_that_is_given_up_says_so)
{
    struct puppet puppet = process_set_puppet();
    struct witness witness;
    struct output *output = &puppet.process->outputs[0];
    witness_watch(&witness, puppet.process);
    puppet_say(&puppet, 0, "abc");
    output_close(output, true);
    ck_assert(state_of(&puppet, 0)->truncated);
    ck_assert(!state_of(&puppet, 0)->is_open);
    ck_assert_int_eq(output->fd, -1);
    ck_assert_str_eq(witness.order, "C");
    output_close(output, false);
    ck_assert_str_eq(witness.order, "C");
    ck_assert(state_of(&puppet, 0)->truncated);
    /* The writer learns it. */
    PROCESS_SET_AWAIT(write(puppet.out[0], "x", 1) < 0);
}
END_TEST

START_TEST(a_closed_output_leaves_the_store)
{
    struct puppet puppet = process_set_puppet();
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDOUT), 1);
    output_close(&puppet.process->outputs[0], false);
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STDOUT) == 0);
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDERR), 1);
}
END_TEST

START_TEST(a_move_that_an_agent_cannot_finish_needs_a_successor_and_loses_nothing)
{
    struct puppet puppet = process_set_puppet();
    struct table_stage *journal = processes_output_stage(process_set.set)->journal;
    const struct table_stage before = *journal;
    journal->phase = TABLE_STAGE_FILLING;
    ck_assert_int_eq(write(puppet.out[0], "abc", 3), 3);
    PROCESS_SET_AWAIT(process_set.fatal > 0);
    ck_assert_uint_eq(state_of(&puppet, 0)->ring.head, 0);
    *journal = before;
    process_set.fatal = 0;
    puppet_restart(&puppet);
    PROCESS_SET_AWAIT(state_of(&puppet, 0)->ring.head == 3);
}
END_TEST

START_TEST(a_flood_on_one_output_leaves_the_loop_to_others)
{
    struct launch_options options = process_set_options(NULL);
    struct puppet puppet = process_set_puppet_of(options);
    struct process *flood = process_set_shell("exec cat /dev/zero");
    PROCESS_SET_AWAIT(flood->record->outputs[0].ring.head > (16 << 20));
    puppet_say(&puppet, 0, "still here");
    process_set_kill(flood);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("output");
    PROCESS_SET_CASE(result, "budget", a_ring_grows_with_its_output_up_to_its_size,
                     only_touched_pages_are_charged, a_ring_that_has_wrapped_touches_no_more,
                     a_ring_grows_only_as_far_as_the_budget_permits,
                     a_forgotten_process_gives_its_charge_back);
    PROCESS_SET_CASE(
        result, "policies", under_auto_nothing_blocks_without_a_lossless_reader,
        under_block_nothing_is_dropped_that_no_lossless_reader_had,
        under_block_a_plain_reader_releases_nothing, under_drop_the_newest_bytes_are_kept,
        bytes_that_a_lossless_reader_had_are_not_dropped_ones, a_busy_pipe_is_made_larger);
    PROCESS_SET_CASE(result, "ends", exit_and_the_end_of_output_are_two_facts,
                     output_may_close_long_before_the_exit,
                     what_was_written_before_the_exit_is_all_there_when_drained,
                     a_full_ring_is_not_drained_until_the_rest_has_been_read,
                     a_ring_that_is_exactly_full_is_drained_and_closed_all_the_same,
                     a_ring_that_is_exactly_full_ends_with_the_exit_of_the_last_writer,
                     output_that_is_given_up_says_so, a_closed_output_leaves_the_store,
                     a_move_that_an_agent_cannot_finish_needs_a_successor_and_loses_nothing,
                     a_flood_on_one_output_leaves_the_loop_to_others);
    return result;
}

UNIT_MAIN(suite)
