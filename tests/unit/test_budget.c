/* The budget of all rings: whose output gives way when it is short, and whose does not. */
#include "agent/process/budget.h"

#include <sys/sysinfo.h>

#include "tests/support/reading.h"
#include "tests/support/unit.h"

enum { RING = NSP_LIMIT_RING_MIN };

static const struct table_output *state_of(const struct puppet *puppet)
{
    return &puppet->process->record->outputs[0];
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

static struct puppet small_puppet(void)
{
    return process_set_small_puppet(TABLE_POLICY_AUTO);
}

/* Exited, and nobody holds its pipes any more. */
static void end(struct puppet *puppet)
{
    puppet_close_output(puppet, 0);
    puppet_close_output(puppet, 1);
    process_set_kill(puppet->process);
    const struct table_output *outputs = puppet->process->record->outputs;
    PROCESS_SET_AWAIT(!outputs[0].is_open && !outputs[1].is_open);
}

static void evict_all(void)
{
    ck_assert(!processes_reserve(process_set.set, UINT64_MAX));
}

START_TEST(without_a_choice_it_is_an_eighth_of_the_memory)
{
    struct sysinfo info;
    ck_assert_int_eq(sysinfo(&info), 0);
    uint64_t memory = (uint64_t)info.totalram * info.mem_unit;
    ck_assert_uint_eq(budget_default(), memory / 8);
    ck_assert_uint_eq(process_set_stats().ring_budget, memory / 8);
    set_budget(3 * RING);
    ck_assert_uint_eq(process_set_stats().ring_budget, 3 * RING);
}
END_TEST

START_TEST(while_nobody_has_exited_there_is_what_is_left)
{
    set_budget(8 * RING);
    ck_assert(processes_reserve(process_set.set, 8 * RING));
    ck_assert(!processes_reserve(process_set.set, 8 * RING + 1));
}
END_TEST

START_TEST(exited_output_gives_way_oldest_first)
{
    set_budget(8 * RING);
    struct puppet oldest = small_puppet(), newer = small_puppet();
    puppet_flood(&oldest, 0, 0, RING);
    puppet_flood(&newer, 0, 0, RING);
    end(&oldest);
    end(&newer);
    ck_assert_uint_eq(charged(), 2 * RING);
    ck_assert(processes_reserve(process_set.set, 6 * RING));
    ck_assert(!state_of(&oldest)->is_evicted);
    ck_assert(processes_reserve(process_set.set, 7 * RING));
    ck_assert(state_of(&oldest)->is_evicted);
    ck_assert_uint_eq(state_of(&oldest)->ring.tail, RING);
    ck_assert(!state_of(&newer)->is_evicted);
    ck_assert_uint_eq(charged(), RING);
    ck_assert(!processes_reserve(process_set.set, 9 * RING));
    ck_assert(state_of(&newer)->is_evicted);
    ck_assert_uint_eq(charged(), 0);
}
END_TEST

START_TEST(output_that_is_open_or_promised_does_not_give_way)
{
    struct puppet open = small_puppet(), promised = small_puppet();
    puppet_say(&open, 0, "abc");
    puppet_say(&promised, 0, "abc");
    reading_attach(&promised, &reading_lossless);
    process_set_kill(open.process);
    end(&promised);
    evict_all();
    ck_assert(!state_of(&open)->is_evicted);
    ck_assert(!state_of(&promised)->is_evicted);
    reader_detach(&reading.reader, false);
    evict_all();
    ck_assert(state_of(&promised)->is_evicted);
}
END_TEST

START_TEST(what_gives_way_counts_as_dropped_once_unless_a_lossless_reader_had_it)
{
    struct puppet puppet = small_puppet();
    puppet_say(&puppet, 0, "abcdef");
    reading_attach(&puppet, &reading_lossless);
    reader_consumed(&reading.reader, 0, 2);
    reader_detach(&reading.reader, false);
    end(&puppet);
    evict_all();
    ck_assert_uint_eq(state_of(&puppet)->dropped, 4);
    evict_all();
    ck_assert_uint_eq(state_of(&puppet)->dropped, 4);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("budget");
    PROCESS_SET_CASE(result, "budget", without_a_choice_it_is_an_eighth_of_the_memory,
                     while_nobody_has_exited_there_is_what_is_left,
                     exited_output_gives_way_oldest_first,
                     output_that_is_open_or_promised_does_not_give_way,
                     what_gives_way_counts_as_dropped_once_unless_a_lossless_reader_had_it);
    return result;
}

UNIT_MAIN(suite)
