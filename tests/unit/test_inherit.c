/* Sorting what the store holds. */
#include <stdlib.h>

#include "agent/process/inherit.h"
#include "tests/support/unit.h"

START_TEST(nothing_there_is_minus_one_everywhere)
{
    struct inherit *inherit = inherit_new(NULL, 0);
    for (unsigned i = 0; i < STOREWIRE_LISTENER; i++)
        ck_assert_int_eq(inherit->single[i], -1);
    for (unsigned i = 0; i < TABLE_SLOTS; i++) {
        for (unsigned end = 0; end < ENDS; end++)
            ck_assert_int_eq(inherit->ends[i].fds[end], -1);
    }
    free(inherit);
}
END_TEST

START_TEST(each_kind_comes_to_its_place)
{
    const struct store_item items[] = {
        {{STOREWIRE_TABLE, 0}, 10},  {{STOREWIRE_INPUT_STAGE_WRITE, 0}, 11},
        {{STOREWIRE_STDIN, 0}, 12},  {{STOREWIRE_STDOUT, 3}, 13},
        {{STOREWIRE_STDERR, 3}, 14}, {{STOREWIRE_STATUS, TABLE_SLOTS - 1}, 15},
    };
    struct inherit *inherit = inherit_new(items, sizeof items / sizeof items[0]);
    ck_assert_int_eq(inherit->single[STOREWIRE_TABLE], 10);
    ck_assert_int_eq(inherit->single[STOREWIRE_ARENA], -1);
    ck_assert_int_eq(inherit->single[STOREWIRE_INPUT_STAGE_WRITE], 11);
    ck_assert_int_eq(inherit->ends[0].fds[ENDS_INPUT], 12);
    ck_assert_int_eq(inherit->ends[3].fds[ENDS_OUTPUT], 13);
    ck_assert_int_eq(inherit->ends[3].fds[ENDS_OUTPUT + 1], 14);
    ck_assert_int_eq(inherit->ends[TABLE_SLOTS - 1].fds[ENDS_STATUS], 15);
    free(inherit);
}
END_TEST

START_TEST(listeners_and_slots_that_there_are_not_are_left_out)
{
    const struct store_item items[] = {
        {{STOREWIRE_LISTENER, 0}, 10},
        {{STOREWIRE_STDIN, TABLE_SLOTS}, 11},
        {{STOREWIRE_STATUS, UINT32_MAX}, 12},
    };
    struct inherit *inherit = inherit_new(items, sizeof items / sizeof items[0]);
    ck_assert_int_eq(inherit->ends[0].fds[ENDS_INPUT], -1);
    ck_assert_int_eq(inherit->ends[TABLE_SLOTS - 1].fds[ENDS_INPUT], -1);
    ck_assert_int_eq(inherit->ends[TABLE_SLOTS - 1].fds[ENDS_STATUS], -1);
    free(inherit);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("inherit");
    TCase *tests = tcase_create("inherit");
    tcase_add_test(tests, nothing_there_is_minus_one_everywhere);
    tcase_add_test(tests, each_kind_comes_to_its_place);
    tcase_add_test(tests, listeners_and_slots_that_there_are_not_are_left_out);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
