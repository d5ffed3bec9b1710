#include "client/events.h"

#include <string.h>

#include "client/table.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

enum { OUT = 2, ERR = 3, CEILING = 1000 };

static struct nsp_events events;
static struct nsp_event event;

static void setup(void)
{
    nsp_events_init(&events, CEILING);
}

static void teardown(void)
{
    nsp_events_done(&events);
}

static void add(uint8_t channel, uint64_t offset, const char *text)
{
    ck_assert_int_eq(nsp_events_data(&events, channel, offset, text, strlen(text), NULL), 0);
}

static void expect_data(int channel, uint64_t offset, const char *text)
{
    ck_assert(nsp_events_front(&events, &event));
    ck_assert_int_eq(event.kind, NSP_EVENT_DATA);
    ck_assert_int_eq(event.channel, channel);
    ck_assert_uint_eq(event.offset, offset);
    ck_assert_uint_eq(event.length, strlen(text));
    ck_assert_mem_eq(event.data, text, event.length);
}

START_TEST(bytes_that_follow_each_other_are_one_stretch)
{
    ck_assert(!nsp_events_front(&events, &event));
    add(OUT, 5, "ab");
    add(OUT, 7, "cd");
    expect_data(OUT, 5, "abcd");
    nsp_events_take(&events, 3);
    expect_data(OUT, 8, "d");
    add(OUT, 9, "e");
    expect_data(OUT, 8, "de");
    nsp_events_take(&events, 100);
    ck_assert(!nsp_events_front(&events, &event));
    nsp_events_take(&events, 1);
}
END_TEST

START_TEST(order_is_kept_over_channels_and_kinds)
{
    add(OUT, 0, "a");
    add(ERR, 0, "b");
    ck_assert_int_eq(nsp_events_gap(&events, ERR, 1, 4, NULL), 0);
    ck_assert_int_eq(nsp_events_gap(&events, ERR, 4, 6, NULL), 0);
    add(ERR, 6, "c");
    ck_assert_int_eq(nsp_events_end(&events, OUT, 1, true, NULL), 0);
    expect_data(OUT, 0, "a");
    nsp_events_take(&events, 1);
    expect_data(ERR, 0, "b");
    nsp_events_take(&events, 1);
    ck_assert(nsp_events_front(&events, &event));
    ck_assert_int_eq(event.kind, NSP_EVENT_GAP);
    ck_assert_uint_eq(event.offset, 1);
    ck_assert_uint_eq(event.gap_to, 6);
    nsp_events_take(&events, 0);
    expect_data(ERR, 6, "c");
    nsp_events_take(&events, 1);
    ck_assert(nsp_events_front(&events, &event));
    ck_assert_int_eq(event.kind, NSP_EVENT_END);
    ck_assert(event.truncated);
    ck_assert_uint_eq(event.offset, 1);
    nsp_events_take(&events, 0);
    ck_assert(!nsp_events_front(&events, &event));
}
END_TEST

START_TEST(a_part_of_an_older_stretch_can_be_taken)
{
    add(OUT, 0, "abc");
    add(ERR, 0, "x");
    nsp_events_take(&events, 1);
    expect_data(OUT, 1, "bc");
    nsp_events_take(&events, 2);
    expect_data(ERR, 0, "x");
}
END_TEST

START_TEST(the_ceiling_holds_and_leaves_what_was_there)
{
    static char bytes[CEILING];
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_events_data(&events, OUT, 0, bytes, CEILING, NULL), 0);
    ck_assert_int_eq(nsp_events_data(&events, OUT, CEILING, "x", 1, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_uint_eq(nsp_events_length(&events), CEILING);
    nsp_events_set_ceiling(&events, 10);
    nsp_events_set_ceiling(&events, CEILING + 1);
    ck_assert_int_eq(nsp_events_data(&events, OUT, CEILING, "x", 1, NULL), 0);
    ck_assert(nsp_events_front(&events, &event));
    ck_assert_uint_eq(event.length, CEILING + 1);
}
END_TEST

START_TEST(single_bytes_that_alternate_fit_up_to_the_ceiling)
{
    for (uint64_t i = 0; i < CEILING / 2; i++) {
        add(OUT, i, "o");
        add(ERR, i, "e");
    }
    for (uint64_t i = 0; i < CEILING / 2; i++) {
        expect_data(OUT, i, "o");
        nsp_events_take(&events, 1);
        expect_data(ERR, i, "e");
        nsp_events_take(&events, 1);
    }
}
END_TEST

/* ---- table -------------------------------------------------------------------------------- */

START_TEST(table_finds_what_was_put_and_not_removed)
{
    struct nsp_table table = {0};
    static char values[64];
    for (uint32_t i = 0; i < 64; i++)
        ck_assert_int_eq(nsp_table_put(&table, 2 * i + 1, &values[i], NULL), 0);
    for (uint32_t i = 0; i < 64; i += 2)
        nsp_table_remove(&table, 2 * i + 1);
    nsp_table_remove(&table, 2);
    nsp_table_remove(&table, 1000);
    for (uint32_t i = 0; i < 64; i++)
        ck_assert_ptr_eq(nsp_table_get(&table, 2 * i + 1), i % 2 ? &values[i] : NULL);
    ck_assert_ptr_null(nsp_table_get(&table, 4));
    nsp_table_clear(&table);
    ck_assert_ptr_null(nsp_table_get(&table, 3));
    nsp_table_done(&table);
}
END_TEST

START_TEST(table_has_a_ceiling)
{
    struct nsp_table table = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    for (uint32_t i = 0; i < NSP_LIMIT_STREAMS; i++)
        ck_assert_int_eq(nsp_table_put(&table, i, &table, NULL), 0);
    ck_assert_int_eq(nsp_table_put(&table, NSP_LIMIT_STREAMS, &table, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    nsp_table_done(&table);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/events");
    TCase *queue = tcase_create("queue");
    tcase_add_checked_fixture(queue, setup, teardown);
    tcase_add_test(queue, bytes_that_follow_each_other_are_one_stretch);
    tcase_add_test(queue, order_is_kept_over_channels_and_kinds);
    tcase_add_test(queue, a_part_of_an_older_stretch_can_be_taken);
    tcase_add_test(queue, the_ceiling_holds_and_leaves_what_was_there);
    tcase_add_test(queue, single_bytes_that_alternate_fit_up_to_the_ceiling);
    suite_add_tcase(suite, queue);
    TCase *table = tcase_create("table");
    tcase_add_test(table, table_finds_what_was_put_and_not_removed);
    tcase_add_test(table, table_has_a_ceiling);
    suite_add_tcase(suite, table);
    return suite;
}

UNIT_MAIN(suite)
