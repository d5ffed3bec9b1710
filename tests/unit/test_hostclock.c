/* The wall clock from the host, with clocks of the test's own. */
#include <errno.h>

#include "agent/os/hostclock.h"
#include "tests/support/unit.h"

static struct timespec clock_now, clock_set;
static unsigned sets;
static int get_errno, set_errno;

static int get(clockid_t clock, struct timespec *time)
{
    ck_assert_int_eq(clock, CLOCK_REALTIME);
    errno = get_errno;
    *time = clock_now;
    return get_errno ? -1 : 0;
}

static int set(clockid_t clock, const struct timespec *time)
{
    ck_assert_int_eq(clock, CLOCK_REALTIME);
    sets++;
    errno = set_errno;
    clock_set = *time;
    return set_errno ? -1 : 0;
}

static const struct hostclock_calls calls = {get, set};
static bool was_set;
static int64_t offset;
static struct nsp_error err;

static int apply(int64_t unix_ns)
{
    err = NSP_ERROR_INIT;
    return hostclock_set_with(&calls, unix_ns, &was_set, &offset, &err);
}

static void setup(void)
{
    clock_now = (struct timespec){.tv_sec = 1000, .tv_nsec = 500000000};
    get_errno = set_errno = 0;
    sets = 0;
    was_set = true;
    offset = 0;
}

START_TEST(a_small_difference_is_left)
{
    ck_assert_int_eq(apply(1000600000000), 0);
    ck_assert(!was_set);
    ck_assert_int_eq(offset, 100000000);
    ck_assert_int_eq(apply(1000400000000), 0);
    ck_assert(!was_set);
    ck_assert_int_eq(offset, -100000000);
    ck_assert_uint_eq(sets, 0);
}
END_TEST

START_TEST(a_larger_one_is_stepped_either_way)
{
    ck_assert_int_eq(apply(1000600000001), 0);
    ck_assert(was_set);
    ck_assert_int_eq(clock_set.tv_sec, 1000);
    ck_assert_int_eq(clock_set.tv_nsec, 600000001);
    was_set = false;
    ck_assert_int_eq(apply(1000399999999), 0);
    ck_assert(was_set);
    ck_assert_int_eq(clock_set.tv_nsec, 399999999);
    ck_assert_uint_eq(sets, 2);
}
END_TEST

START_TEST(years_are_no_matter)
{
    ck_assert_int_eq(apply(INT64_C(1900000000123456789)), 0);
    ck_assert(was_set);
    ck_assert_int_eq(clock_set.tv_sec, 1900000000);
    ck_assert_int_eq(clock_set.tv_nsec, 123456789);
    ck_assert_int_eq(apply(INT64_MAX), 0);
    ck_assert_int_eq(clock_set.tv_sec, INT64_MAX / 1000000000);
}
END_TEST

START_TEST(no_time_is_refused)
{
    ck_assert_int_eq(apply(0), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_int_eq(apply(INT64_MIN), -1);
    ck_assert_uint_eq(sets, 0);
}
END_TEST

START_TEST(failures_are_told)
{
    set_errno = EPERM;
    ck_assert_int_eq(apply(1), -1);
    ck_assert_int_eq(err.code, NSP_E_PERMISSION);
    set_errno = EINVAL;
    ck_assert_int_eq(apply(1), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    get_errno = EINVAL;
    ck_assert_int_eq(apply(1), -1);
    ck_assert_str_eq(err.op, "clock_gettime");
}
END_TEST

START_TEST(the_real_clock_is_read)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
    ck_assert_int_eq(
        hostclock_set(now.tv_sec * INT64_C(1000000000) + now.tv_nsec, &was_set, &offset, &err), 0);
    ck_assert(!was_set);
    ck_assert_int_le(offset, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("hostclock");
    TCase *tests = tcase_create("hostclock");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_small_difference_is_left);
    tcase_add_test(tests, a_larger_one_is_stepped_either_way);
    tcase_add_test(tests, years_are_no_matter);
    tcase_add_test(tests, no_time_is_refused);
    tcase_add_test(tests, failures_are_told);
    tcase_add_test(tests, the_real_clock_is_read);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
