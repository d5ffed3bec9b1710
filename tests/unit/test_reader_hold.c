/* Lossless readers: what they keep in the ring, and their places. */
#include "agent/process/reader.h"
#include "tests/support/reading.h"
#include "tests/support/unit.h"

/* MUCH: more than a ring and a pipe take. */
enum { RING = NSP_LIMIT_RING_MIN, MUCH = 32 * RING };

/* Lossless readers */

START_TEST(a_lossless_reader_holds_the_ring_until_it_has_consumed)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    reading_attach(&puppet, &reading_lossless);
    ck_assert_uint_lt(puppet_flood(&puppet, 0, 0, MUCH), MUCH);
    ck_assert_uint_eq(reading_head(&puppet, 0), RING);
    ck_assert(reading_is_blocked(&puppet, 0));
    ck_assert_str_eq(reading_pull(), "0@0#65536 blocked0@65536");
    reader_consumed(&reading.reader, 0, 1000);
    ck_assert(!reading_is_blocked(&puppet, 0));
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == RING + 1000);
    ck_assert_str_eq(reading_pull(), "0@65536#1000 blocked0@66536");
    ck_assert_uint_eq(puppet.process->record->outputs[0].dropped, 0);
}
END_TEST

START_TEST(blocked_is_told_once_an_offset)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    reading_attach(&puppet, &reading_lossless);
    puppet_flood(&puppet, 0, 0, 4 * RING);
    ck_assert_str_eq(reading_pull(), "0@0#65536 blocked0@65536");
    ck_assert_str_eq(reading_pull(), "");
    reader_consumed(&reading.reader, 0, 1);
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == RING + 1);
    ck_assert_str_eq(reading_pull_from(&reading.reader, 1, 1, 1), "0@65536#1 blocked0@65537");
}
END_TEST

START_TEST(blocked_is_told_only_to_who_holds_the_ring_up)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader other, watcher;
    reading_attach(&puppet, &reading_lossless);
    reading_attach_to(&other, &puppet, &reading_lossless);
    reading_attach_to(&watcher, &puppet, &reading_plain);
    puppet_flood(&puppet, 0, 0, 4 * RING);
    ck_assert_str_eq(reading_pull(), "0@0#65536 blocked0@65536");
    ck_assert_str_eq(reading_pull_from(&watcher, UINT64_MAX, 0, UINT64_MAX), "0@0#65536");
    reader_consumed(&reading.reader, 0, RING);
    ck_assert_str_eq(reading_pull(), "");
    ck_assert(reading_is_blocked(&puppet, 0));
    ck_assert_str_eq(reading_pull_from(&other, UINT64_MAX, 0, UINT64_MAX),
                     "0@0#65536 blocked0@65536");
}
END_TEST

START_TEST(the_slowest_lossless_reader_decides)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader slow;
    reading_attach(&puppet, &reading_lossless);
    reading_attach_to(&slow, &puppet, &reading_lossless);
    puppet_flood(&puppet, 0, 0, 4 * RING);
    reader_consumed(&reading.reader, 0, 5000);
    reader_consumed(&slow, 0, 10);
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == RING + 10);
    process_set_settle(5);
    ck_assert_uint_eq(reading_head(&puppet, 0), RING + 10);
    ck_assert_uint_eq(puppet.process->record->outputs[0].released, 10);
    reader_detach(&slow, false);
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == RING + 5000);
}
END_TEST

START_TEST(acknowledgements_do_not_go_back)
{
    struct puppet puppet = process_set_puppet();
    puppet_say(&puppet, 0, "abcdef");
    reading_attach(&puppet, &reading_lossless);
    reading_pull();
    reader_consumed(&reading.reader, 0, 4);
    reader_consumed(&reading.reader, 0, 2);
    ck_assert_uint_eq(puppet.process->record->holds[reading.reader.hold].consumed[0], 4);
    ck_assert_uint_eq(puppet.process->record->outputs[0].released, 4);
}
END_TEST

START_TEST(under_policy_drop_nobody_holds_the_ring)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_DROP);
    reading_attach(&puppet, &reading_lossless);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, 2 * RING), 2 * RING);
    ck_assert_str_eq(reading_pull(), "gap0@0-65536 0@65536#65536");
}
END_TEST

START_TEST(there_are_places_for_so_many_and_no_more)
{
    struct puppet puppet = process_set_puppet();
    static struct reader readers[NSP_LIMIT_READERS];
    struct nsp_error err = NSP_ERROR_INIT;
    for (unsigned i = 0; i < NSP_LIMIT_READERS; i++)
        reading_attach_to(&readers[i], &puppet, &reading_lossless);
    ck_assert_uint_eq(reader_count(puppet.process), NSP_LIMIT_READERS);
    ck_assert_int_eq(reader_attach(&reading.reader, puppet.process, &reading_lossless,
                                   reading_on_superseded, NULL, &err),
                     -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "readers");
    reading_attach(&puppet, &reading_plain);
    reader_detach(&readers[3], false);
    ck_assert_int_eq(reader_attach(&readers[3], puppet.process, &reading_lossless,
                                   reading_on_superseded, NULL, &err),
                     0);
    ck_assert_uint_eq(reading.superseded, 0);
}
END_TEST

/* Places */

START_TEST(a_lost_reader_with_a_name_is_waited_for)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader_options options = reading_named(7, 60000);
    reading_attach(&puppet, &options);
    puppet_flood(&puppet, 0, 0, 4 * RING);
    reader_consumed(&reading.reader, 0, 100);
    reader_detach(&reading.reader, true);
    ck_assert_uint_eq(reader_count(puppet.process), 1);
    process_set_settle(5);
    ck_assert_uint_eq(reading_head(&puppet, 0), RING + 100);
    options.from[0] = 100;
    reading_attach(&puppet, &options);
    ck_assert_uint_eq(reader_count(puppet.process), 1);
    ck_assert_uint_eq(reading.superseded, 0);
    ck_assert_str_eq(reading_pull(), "0@100#65536 blocked0@65636");
}
END_TEST

START_TEST(a_lost_reader_without_a_name_or_time_is_not)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options options = reading_named(7, 0);
    reading_attach(&puppet, &reading_lossless);
    reader_detach(&reading.reader, true);
    ck_assert_uint_eq(reader_count(puppet.process), 0);
    reading_attach(&puppet, &options);
    reader_detach(&reading.reader, true);
    ck_assert_uint_eq(reader_count(puppet.process), 0);
}
END_TEST

START_TEST(a_reader_that_leaves_in_order_frees_its_place)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader_options options = reading_named(7, 60000);
    reading_attach(&puppet, &options);
    puppet_flood(&puppet, 0, 0, RING + 5000);
    ck_assert(reading_is_blocked(&puppet, 0));
    reader_detach(&reading.reader, false);
    ck_assert_uint_eq(reader_count(puppet.process), 0);
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == RING + 5000);
}
END_TEST

START_TEST(a_place_is_given_up_when_its_time_is_over)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader_options options = reading_named(7, 30);
    reading_attach(&puppet, &options);
    puppet_flood(&puppet, 0, 0, RING + 5000);
    reader_detach(&reading.reader, true);
    ck_assert_uint_eq(reader_count(puppet.process), 1);
    PROCESS_SET_AWAIT(reader_count(puppet.process) == 0);
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == RING + 5000);
}
END_TEST

START_TEST(under_policy_block_a_place_given_up_releases_what_it_had_consumed)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_BLOCK);
    reading_attach(&puppet, &reading_lossless);
    puppet_flood(&puppet, 0, 0, 4 * RING);
    reader_consumed(&reading.reader, 0, 300);
    reader_detach(&reading.reader, false);
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == RING + 300);
    process_set_settle(5);
    ck_assert_uint_eq(reading_head(&puppet, 0), RING + 300);
}
END_TEST

START_TEST(the_same_name_takes_an_attached_place_over)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options options = reading_named(7, 60000);
    struct reader second;
    puppet_say(&puppet, 0, "abcdef");
    reading_attach(&puppet, &options);
    reader_consumed(&reading.reader, 0, 5);
    int place = reading.reader.hold;
    options.from[0] = 2;
    reading_attach_to(&second, &puppet, &options);
    ck_assert_uint_eq(reading.superseded, 1);
    ck_assert_int_eq(reading.reader.hold, -1);
    ck_assert_int_eq(second.hold, place);
    ck_assert_uint_eq(puppet.process->record->holds[place].consumed[0], 2);
    /* What the old one still says does not count, also not its going away. */
    reader_consumed(&reading.reader, 0, 6);
    reader_detach(&reading.reader, true);
    ck_assert_uint_eq(puppet.process->record->holds[place].consumed[0], 2);
    ck_assert_int_eq(puppet.process->record->holds[place].state, TABLE_HOLD_ATTACHED);
    ck_assert_uint_eq(reader_count(puppet.process), 1);
}
END_TEST

START_TEST(another_name_and_no_name_take_places_of_their_own)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options zero = reading_named(0, 1000), one = reading_named(1, 1000);
    struct reader readers[3];
    reading_attach_to(&readers[0], &puppet, &zero);
    reading_attach_to(&readers[1], &puppet, &one);
    reading_attach_to(&readers[2], &puppet, &reading_lossless);
    ck_assert_uint_eq(reading.superseded, 0);
    ck_assert_uint_eq(reader_count(puppet.process), 3);
}
END_TEST

START_TEST(places_of_the_dead_agents_readers_are_kept_for_their_time)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader_options options = reading_named(7, 60000);
    reading_attach(&puppet, &options);
    struct reader unnamed;
    reading_attach_to(&unnamed, &puppet, &reading_lossless);
    reader_consumed(&unnamed, 0, 0);
    puppet_restart(&puppet);
    PROCESS_SET_AWAIT(reader_count(puppet.process) == 1);
    puppet_flood(&puppet, 0, 0, 4 * RING);
    ck_assert_uint_eq(reading_head(&puppet, 0), RING);
    reading_attach(&puppet, &options);
    ck_assert_str_eq(reading_pull(), "0@0#65536 blocked0@65536");
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("reader_hold");
    PROCESS_SET_CASE(result, "ring", a_lossless_reader_holds_the_ring_until_it_has_consumed,
                     blocked_is_told_once_an_offset, blocked_is_told_only_to_who_holds_the_ring_up,
                     the_slowest_lossless_reader_decides, acknowledgements_do_not_go_back,
                     under_policy_drop_nobody_holds_the_ring,
                     there_are_places_for_so_many_and_no_more);
    PROCESS_SET_CASE(result, "places", a_lost_reader_with_a_name_is_waited_for,
                     a_lost_reader_without_a_name_or_time_is_not,
                     a_reader_that_leaves_in_order_frees_its_place,
                     a_place_is_given_up_when_its_time_is_over,
                     under_policy_block_a_place_given_up_releases_what_it_had_consumed,
                     the_same_name_takes_an_attached_place_over,
                     another_name_and_no_name_take_places_of_their_own,
                     places_of_the_dead_agents_readers_are_kept_for_their_time);
    return result;
}

UNIT_MAIN(suite)
