#include "agent/process/arrivals.h"
#include "tests/support/unit.h"

static struct arrival latest[ARRIVALS_MAX];
static uint64_t count;
static const struct arrivals arrivals = {&count, latest};

START_TEST(arrivals_are_kept_in_order)
{
    arrivals_append(&arrivals, 0, 0, 10);
    arrivals_append(&arrivals, 1, 0, 5);
    arrivals_append(&arrivals, 0, 10, 1);
    struct arrival arrival;
    uint64_t n = 1;
    ck_assert(arrivals_get(&arrivals, &n, &arrival));
    ck_assert_uint_eq(arrival.output, 1);
    n = 2;
    ck_assert(arrivals_get(&arrivals, &n, &arrival));
    ck_assert_uint_eq(arrival.offset, 10);
    n = 3;
    ck_assert(!arrivals_get(&arrivals, &n, &arrival));
}
END_TEST

START_TEST(bytes_that_follow_on_lengthen_the_last_arrival)
{
    arrivals_append(&arrivals, 0, 0, 10);
    arrivals_append(&arrivals, 0, 10, 20);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(latest[0].length, 30);
}
END_TEST

START_TEST(an_arrival_does_not_grow_beyond_its_field)
{
    uint64_t offset = 0;
    for (int i = 0; i < 40; i++, offset += 1 << 28)
        arrivals_append(&arrivals, 0, offset, 1 << 28);
    uint64_t total = 0;
    struct arrival arrival;
    for (uint64_t n = 0; arrivals_get(&arrivals, &n, &arrival); n++)
        total += arrival.length;
    ck_assert_uint_eq(total, offset);
    ck_assert_uint_gt(count, 1);
}
END_TEST

START_TEST(old_arrivals_are_forgotten_and_the_oldest_kept_is_told)
{
    for (uint64_t i = 0; i < ARRIVALS_MAX + 10; i++)
        arrivals_append(&arrivals, i % 2, i / 2, 1);
    uint64_t n = 0;
    struct arrival arrival;
    ck_assert(arrivals_get(&arrivals, &n, &arrival));
    ck_assert_uint_eq(n, 10);
    ck_assert_uint_eq(arrival.offset, 5);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("arrivals");
    TCase *tests = tcase_create("arrivals");
    tcase_add_test(tests, arrivals_are_kept_in_order);
    tcase_add_test(tests, bytes_that_follow_on_lengthen_the_last_arrival);
    tcase_add_test(tests, an_arrival_does_not_grow_beyond_its_field);
    tcase_add_test(tests, old_arrivals_are_forgotten_and_the_oldest_kept_is_told);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
