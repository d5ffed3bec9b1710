/* Readers of a live process whose output the test itself writes. */
#include "agent/process/reader.h"
#include "tests/support/reading.h"
#include "tests/support/unit.h"

enum { RING = NSP_LIMIT_RING_MIN };

/* Plain reading */

START_TEST(a_reader_gets_what_is_there_and_then_what_comes)
{
    struct puppet puppet = process_set_puppet();
    puppet_say(&puppet, 0, "one");
    reading_attach(&puppet, &reading_plain);
    ck_assert_str_eq(reading_pull(), "0@0:one");
    ck_assert_str_eq(reading_pull(), "");
    puppet_say(&puppet, 0, "two");
    puppet_say(&puppet, 1, "err");
    ck_assert_str_eq(reading_pull(), "1@0:err 0@3:two");
}
END_TEST

START_TEST(each_reader_has_its_own_offset)
{
    struct puppet puppet = process_set_puppet();
    struct reader second;
    struct reader_options later = {.follow = true, .from = {4, 1}};
    puppet_say(&puppet, 0, "abcdef");
    puppet_say(&puppet, 1, "xy");
    reading_attach(&puppet, &reading_plain);
    reading_attach_to(&second, &puppet, &later);
    ck_assert_str_eq(reading_pull(), "0@0:abcdef 1@0:xy");
    ck_assert_str_eq(reading_pull_from(&second, UINT64_MAX, UINT64_MAX, UINT64_MAX),
                     "0@4:ef 1@1:y");
}
END_TEST

START_TEST(a_reader_at_the_tail_gets_only_what_comes)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options tail = {.follow = true, .tail = true, .from = {999, 999}};
    puppet_say(&puppet, 0, "old");
    reading_attach(&puppet, &tail);
    ck_assert_str_eq(reading_pull(), "");
    puppet_say(&puppet, 0, "new");
    ck_assert_str_eq(reading_pull(), "0@3:new");
}
END_TEST

START_TEST(an_offset_beyond_the_end_is_refused_by_name)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options beyond = {.follow = true, .from = {3, 1}, .lossless = true};
    struct nsp_error err = NSP_ERROR_INIT;
    puppet_say(&puppet, 0, "abc");
    ck_assert_int_eq(
        reader_attach(&reading.reader, puppet.process, &beyond, reading_on_superseded, NULL, &err),
        -1);
    ck_assert_int_eq(err.code, NSP_E_OFFSET);
    ck_assert_str_eq(err.object, "stderr_from");
    ck_assert_uint_eq(reader_count(puppet.process), 0);
    ck_assert_ptr_null(puppet.process->readers);
}
END_TEST

START_TEST(credit_and_the_largest_piece_limit_what_is_handed_out)
{
    struct puppet puppet = process_set_puppet();
    puppet_say(&puppet, 0, "abcdef");
    puppet_say(&puppet, 1, "xyz");
    reading_attach(&puppet, &reading_plain);
    ck_assert_str_eq(reading_pull_from(&reading.reader, 0, 0, UINT64_MAX), "");
    ck_assert_str_eq(reading_pull_from(&reading.reader, 0, UINT64_MAX, 2), "1@0:xy 1@2:z");
    struct reader_piece piece;
    reader_pull(&reading.reader, (uint64_t[]){4, 0}, 100, &piece);
    ck_assert_int_eq(piece.kind, READER_DATA);
    ck_assert_uint_eq(piece.length, 4);
    ck_assert_str_eq(reading_pull(), "0@4:ef");
}
END_TEST

START_TEST(both_outputs_have_their_turn)
{
    struct puppet puppet = process_set_puppet();
    puppet_say(&puppet, 0, "aaa");
    puppet_say(&puppet, 1, "bbb");
    reading_attach(&puppet, &reading_plain);
    ck_assert_str_eq(reading_pull_from(&reading.reader, 9, 9, 1),
                     "0@0:a 1@0:b 0@1:a 1@1:b 0@2:a 1@2:b");
}
END_TEST

START_TEST(the_end_comes_once_and_after_the_bytes)
{
    struct puppet puppet = process_set_puppet();
    reading_attach(&puppet, &reading_plain);
    puppet_say(&puppet, 0, "last");
    process_set_kill(puppet.process);
    ck_assert_str_eq(reading_pull(), "0@0:last");
    puppet_close_output(&puppet, 0);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[0].is_open);
    ck_assert_str_eq(reading_pull(), "end0@4");
    ck_assert_str_eq(reading_pull(), "");
    puppet_close_output(&puppet, 1);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[1].is_open);
    ck_assert_str_eq(reading_pull(), "end1@0");
}
END_TEST

START_TEST(an_end_needs_no_credit)
{
    struct puppet puppet = process_set_puppet();
    reading_attach(&puppet, &reading_plain);
    process_set_kill(puppet.process);
    output_close(&puppet.process->outputs[0], true);
    output_close(&puppet.process->outputs[1], false);
    ck_assert_str_eq(reading_pull_from(&reading.reader, 0, 0, 0), "end0@0! end1@0");
}
END_TEST

START_TEST(a_merged_process_has_one_output)
{
    struct launch_options options = process_set_options(NULL);
    options.merge = true;
    struct puppet puppet = process_set_puppet_of(options);
    reading_attach(&puppet, &reading_in_order);
    puppet_say(&puppet, 0, "out ");
    puppet_say(&puppet, 1, "err");
    ck_assert_str_eq(reading_pull(), "0@0:out err");
    process_set_kill(puppet.process);
    puppet_close_output(&puppet, 0);
    puppet_close_output(&puppet, 1);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[0].is_open);
    ck_assert_str_eq(reading_pull(), "end0@7");
    ck_assert(reader_has_all(&reading.reader, true));
}
END_TEST

/* Gaps */

START_TEST(a_slow_reader_is_told_exactly_which_bytes_are_gone)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_DROP);
    reading_attach(&puppet, &reading_plain);
    ck_assert_uint_eq(puppet_flood(&puppet, 0, 0, RING + 1000), RING + 1000);
    ck_assert_str_eq(reading_pull(), "gap0@0-1000 0@1000#65536");
    ck_assert_uint_eq(puppet.process->record->outputs[0].dropped, 1000);
}
END_TEST

START_TEST(what_follows_a_gap_are_the_right_bytes)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_DROP);
    struct reader_piece piece;
    uint64_t wrong = 0, all[] = {UINT64_MAX, UINT64_MAX};
    reading_attach(&puppet, &reading_plain);
    puppet_flood(&puppet, 0, 0, RING + 1000);
    reader_pull(&reading.reader, all, UINT64_MAX, &piece);
    ck_assert_int_eq(piece.kind, READER_GAP);
    reader_pull(&reading.reader, all, UINT64_MAX, &piece);
    ck_assert_int_eq(piece.iov_count, 2);
    for (int i = 0; i < piece.iov_count; i++)
        for (size_t at = 0; at < piece.iov[i].iov_len; at++)
            wrong += ((const uint8_t *)piece.iov[i].iov_base)[at] != puppet_pattern(piece.offset++);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(a_reader_from_before_the_tail_starts_with_a_gap)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_AUTO);
    struct reader_options from = {.follow = true, .from = {500, 0}};
    puppet_flood(&puppet, 0, 0, RING + 1000);
    reading_attach(&puppet, &from);
    ck_assert_str_eq(reading_pull(), "gap0@500-1000 0@1000#65536");
}
END_TEST

START_TEST(evicted_output_is_a_gap_up_to_its_end)
{
    struct puppet puppet = process_set_puppet();
    puppet_say(&puppet, 0, "gone");
    process_set_kill(puppet.process);
    puppet_close_output(&puppet, 0);
    puppet_close_output(&puppet, 1);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[0].is_open);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[1].is_open);
    processes_reserve(process_set.set, UINT64_MAX);
    reading_attach(&puppet, &reading_lossless);
    ck_assert_str_eq(reading_pull(), "gap0@0-4 end1@0 end0@4");
}
END_TEST

/* In the order of arrival */

START_TEST(interleaved_bytes_come_in_the_order_of_arrival)
{
    struct puppet puppet = process_set_puppet();
    reading_attach(&puppet, &reading_in_order);
    puppet_say(&puppet, 1, "e1");
    puppet_say(&puppet, 0, "o1");
    puppet_say(&puppet, 0, "o2");
    puppet_say(&puppet, 1, "e2");
    ck_assert_str_eq(reading_pull(), "1@0:e1 0@0:o1o2 1@2:e2");
    puppet_say(&puppet, 1, "e3");
    puppet_say(&puppet, 0, "o3");
    ck_assert_str_eq(reading_pull(), "1@4:e3 0@4:o3");
}
END_TEST

START_TEST(the_order_is_known_to_who_comes_later)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options middle = {.follow = true, .interleaved = true, .from = {1, 3}};
    puppet_say(&puppet, 0, "o1");
    puppet_say(&puppet, 1, "e1");
    puppet_say(&puppet, 0, "o2");
    puppet_say(&puppet, 1, "e2");
    reading_attach(&puppet, &reading_in_order);
    ck_assert_str_eq(reading_pull(), "0@0:o1 1@0:e1 0@2:o2 1@2:e2");
    reading_attach(&puppet, &middle);
    ck_assert_str_eq(reading_pull(), "0@1:1 0@2:o2 1@3:2");
}
END_TEST

START_TEST(out_of_credit_on_one_output_the_other_does_not_overtake)
{
    struct puppet puppet = process_set_puppet();
    reading_attach(&puppet, &reading_in_order);
    puppet_say(&puppet, 0, "o1");
    puppet_say(&puppet, 1, "e1");
    ck_assert_str_eq(reading_pull_from(&reading.reader, 0, 100, 100), "");
    ck_assert_str_eq(reading_pull_from(&reading.reader, 100, 100, 1), "0@0:o 0@1:1 1@0:e 1@1:1");
}
END_TEST

START_TEST(forgotten_order_loses_no_bytes)
{
    struct puppet puppet = process_set_puppet();
    const struct arrivals arrivals = process_arrivals(puppet.process);
    puppet_say(&puppet, 0, "o1");
    puppet_say(&puppet, 1, "e1");
    puppet_say(&puppet, 0, "o2");
    /* As many arrivals of nothing as make it forget the first two. */
    for (unsigned i = 0; i < ARRIVALS_MAX - 1; i++)
        arrivals_append(&arrivals, i % 2, 0, 0);
    reading_attach(&puppet, &reading_in_order);
    struct arrival arrival;
    uint64_t first = 0;
    ck_assert(arrivals_get(&arrivals, &first, &arrival));
    ck_assert_uint_eq(first, 2);
    ck_assert_str_eq(reading_pull(), "0@0:o1o2 1@0:e1");
}
END_TEST

START_TEST(interleaved_gaps_are_told_in_their_place)
{
    struct puppet puppet = process_set_small_puppet(TABLE_POLICY_DROP);
    reading_attach(&puppet, &reading_in_order);
    puppet_say(&puppet, 1, "first");
    puppet_flood(&puppet, 0, 0, RING + 10);
    puppet_say(&puppet, 1, "last");
    ck_assert_str_eq(reading_pull(), "1@0:first gap0@0-10 0@10#65536 1@5:last");
}
END_TEST

START_TEST(the_order_includes_what_the_dead_agent_had_not_noted)
{
    struct puppet puppet = process_set_puppet();
    puppet_say(&puppet, 0, "o1");
    puppet_say(&puppet, 1, "e1");
    puppet.process->record->arrivals = 1;
    puppet_restart(&puppet);
    reading_attach(&puppet, &reading_in_order);
    puppet_say(&puppet, 0, "o2");
    ck_assert_str_eq(reading_pull(), "0@0:o1 1@0:e1 0@2:o2");
}
END_TEST

/* Without following, and the last byte */

START_TEST(without_following_it_ends_at_what_was_there)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options snapshot = {0};
    puppet_say(&puppet, 0, "abc");
    reading_attach(&puppet, &snapshot);
    puppet_say(&puppet, 0, "def");
    puppet_say(&puppet, 1, "new");
    ck_assert(!reader_has_all(&reading.reader, true));
    ck_assert_str_eq(reading_pull(), "0@0:abc");
    ck_assert(reader_has_all(&reading.reader, true));
}
END_TEST

START_TEST(without_following_a_known_end_is_told_too)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options snapshot = {0};
    puppet_say(&puppet, 0, "abc");
    output_close(&puppet.process->outputs[1], false);
    reading_attach(&puppet, &snapshot);
    ck_assert(!reader_has_all(&reading.reader, false));
    ck_assert_str_eq(reading_pull(), "0@0:abc end1@0");
    ck_assert(reader_has_all(&reading.reader, true));
}
END_TEST

/* The entry of the order at which it stops goes on behind the stop. */
START_TEST(without_following_the_order_does_not_hide_an_end)
{
    struct puppet puppet = process_set_puppet();
    struct reader_options snapshot = {.interleaved = true};
    puppet_say(&puppet, 1, "e");
    puppet_say(&puppet, 0, "abc");
    reading_attach(&puppet, &snapshot);
    puppet_say(&puppet, 0, "def");
    output_close(&puppet.process->outputs[1], false);
    ck_assert_str_eq(reading_pull(), "1@0:e 0@0:abc end1@1");
    ck_assert(reader_has_all(&reading.reader, true));
}
END_TEST

START_TEST(it_has_all_of_an_exit_when_the_drained_bytes_are_out)
{
    struct puppet puppet = process_set_puppet();
    reading_attach(&puppet, &reading_plain);
    ck_assert(!reader_has_all(&reading.reader, false));
    puppet_say(&puppet, 0, "abc");
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
    ck_assert(!reader_has_all(&reading.reader, false));
    /* Written by another after the exit. */
    puppet_say(&puppet, 0, "late");
    ck_assert_str_eq(reading_pull_from(&reading.reader, 3, 0, 3), "0@0:abc 0@3:lat 0@6:e");
    ck_assert(reader_has_all(&reading.reader, false));
    ck_assert(!reader_has_all(&reading.reader, true));
    puppet_close_output(&puppet, 0);
    puppet_close_output(&puppet, 1);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[0].is_open);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[1].is_open);
    ck_assert(!reader_has_all(&reading.reader, false));
    ck_assert_str_eq(reading_pull(), "end1@0 end0@7");
    ck_assert(reader_has_all(&reading.reader, true));
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("reader");
    PROCESS_SET_CASE(result, "reading", a_reader_gets_what_is_there_and_then_what_comes,
                     each_reader_has_its_own_offset, a_reader_at_the_tail_gets_only_what_comes,
                     an_offset_beyond_the_end_is_refused_by_name,
                     credit_and_the_largest_piece_limit_what_is_handed_out,
                     both_outputs_have_their_turn, the_end_comes_once_and_after_the_bytes,
                     an_end_needs_no_credit, a_merged_process_has_one_output);
    PROCESS_SET_CASE(result, "gaps", a_slow_reader_is_told_exactly_which_bytes_are_gone,
                     what_follows_a_gap_are_the_right_bytes,
                     a_reader_from_before_the_tail_starts_with_a_gap,
                     evicted_output_is_a_gap_up_to_its_end);
    PROCESS_SET_CASE(result, "order", interleaved_bytes_come_in_the_order_of_arrival,
                     the_order_is_known_to_who_comes_later,
                     out_of_credit_on_one_output_the_other_does_not_overtake,
                     forgotten_order_loses_no_bytes, interleaved_gaps_are_told_in_their_place,
                     the_order_includes_what_the_dead_agent_had_not_noted);
    PROCESS_SET_CASE(result, "ends", without_following_it_ends_at_what_was_there,
                     without_following_a_known_end_is_told_too,
                     without_following_the_order_does_not_hide_an_end,
                     it_has_all_of_an_exit_when_the_drained_bytes_are_out);
    return result;
}

UNIT_MAIN(suite)
