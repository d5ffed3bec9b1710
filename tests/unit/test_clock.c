#include "agent/base/clock.h"

#include <time.h>
#include <unistd.h>

#include "tests/support/unit.h"

START_TEST(time_since_boot_only_grows)
{
    uint64_t last = clock_now_ns();
    ck_assert_uint_gt(last, 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_now_ns();
        ck_assert_uint_ge(now, last);
        last = now;
    }
}
END_TEST

START_TEST(time_since_boot_counts_nanoseconds)
{
    uint64_t before = clock_now_ns();
    usleep(20000);
    uint64_t passed = clock_now_ns() - before;
    ck_assert_uint_ge(passed, 20 * CLOCK_NS_PER_MS);
    ck_assert_uint_lt(passed, 5 * CLOCK_NS_PER_S);
}
END_TEST

START_TEST(wall_clock_time_is_the_systems)
{
    int64_t seconds = clock_unix_ms() / 1000;
    ck_assert_int_le(seconds, (int64_t)time(NULL) + 1);
    ck_assert_int_ge(seconds, (int64_t)time(NULL) - 2);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("clock");
    TCase *clocks = tcase_create("clocks");
    tcase_add_test(clocks, time_since_boot_only_grows);
    tcase_add_test(clocks, time_since_boot_counts_nanoseconds);
    tcase_add_test(clocks, wall_clock_time_is_the_systems);
    suite_add_tcase(all, clocks);
    return all;
}

UNIT_MAIN(suite)
