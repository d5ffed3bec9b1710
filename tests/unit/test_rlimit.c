#include "agent/os/rlimit.h"

#include <string.h>

#include "tests/support/unit.h"

START_TEST(every_resource_has_a_name_that_leads_back)
{
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        const char *name = rlimit_name(resource);
        ck_assert_ptr_nonnull(name);
        ck_assert_int_eq(rlimit_by_name(name), resource);
    }
    ck_assert_int_eq(rlimit_by_name("nofile"), RLIMIT_NOFILE);
}
END_TEST

START_TEST(what_is_no_resource_has_no_name_and_no_number)
{
    ck_assert_ptr_null(rlimit_name(RLIM_NLIMITS));
    ck_assert_ptr_null(rlimit_name(-1));
    ck_assert_int_eq(rlimit_by_name("NOFILE"), -1);
    ck_assert_int_eq(rlimit_by_name(""), -1);
}
END_TEST

START_TEST(raising_keeps_what_was_before)
{
    struct rlimit limit = {100, 200};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rlimit_raise_nofile();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, 200);
    rlimit_raise_nofile();
    ck_assert_uint_eq(rlimit_original_nofile()->rlim_cur, 100);
    ck_assert_uint_eq(rlimit_original_nofile()->rlim_max, 200);
}
END_TEST

START_TEST(a_limit_that_cannot_be_raised_stays)
{
    const struct rlimit limit = {200, 200};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rlimit_raise_nofile();
    ck_assert_ptr_null(rlimit_original_nofile());
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("rlimit");
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, every_resource_has_a_name_that_leads_back);
    tcase_add_test(limits, what_is_no_resource_has_no_name_and_no_number);
    tcase_add_test(limits, raising_keeps_what_was_before);
    tcase_add_test(limits, a_limit_that_cannot_be_raised_stays);
    suite_add_tcase(all, limits);
    return all;
}

UNIT_MAIN(suite)
