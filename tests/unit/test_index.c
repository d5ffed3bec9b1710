#include "agent/process/index.h"
#include "tests/support/unit.h"

static struct index_entry entries[INDEX_ENTRIES];
static uint64_t count;
static const struct index order = {&count, entries};

START_TEST(arrivals_are_kept_in_order)
{
    index_append(&order, 0, 0, 10);
    index_append(&order, 1, 0, 5);
    index_append(&order, 0, 10, 1);
    struct index_entry entry;
    uint64_t n = 1;
    ck_assert(index_get(&order, &n, &entry));
    ck_assert_uint_eq(entry.output, 1);
    n = 2;
    ck_assert(index_get(&order, &n, &entry));
    ck_assert_uint_eq(entry.offset, 10);
    n = 3;
    ck_assert(!index_get(&order, &n, &entry));
}
END_TEST

START_TEST(bytes_that_follow_on_lengthen_the_last_entry)
{
    index_append(&order, 0, 0, 10);
    index_append(&order, 0, 10, 20);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(entries[0].length, 30);
}
END_TEST

START_TEST(an_entry_does_not_grow_beyond_its_field)
{
    uint64_t offset = 0;
    for (int i = 0; i < 40; i++, offset += 1 << 28)
        index_append(&order, 0, offset, 1 << 28);
    uint64_t total = 0;
    struct index_entry entry;
    for (uint64_t n = 0; index_get(&order, &n, &entry); n++)
        total += entry.length;
    ck_assert_uint_eq(total, offset);
    ck_assert_uint_gt(count, 1);
}
END_TEST

START_TEST(old_entries_are_forgotten_and_the_oldest_kept_is_told)
{
    for (uint64_t i = 0; i < INDEX_ENTRIES + 10; i++)
        index_append(&order, i % 2, i / 2, 1);
    uint64_t n = 0;
    struct index_entry entry;
    ck_assert(index_get(&order, &n, &entry));
    ck_assert_uint_eq(n, 10);
    ck_assert_uint_eq(entry.offset, 5);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("index");
    TCase *tests = tcase_create("index");
    tcase_add_test(tests, arrivals_are_kept_in_order);
    tcase_add_test(tests, bytes_that_follow_on_lengthen_the_last_entry);
    tcase_add_test(tests, an_entry_does_not_grow_beyond_its_field);
    tcase_add_test(tests, old_entries_are_forgotten_and_the_oldest_kept_is_told);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
