/* The environment of a new process. */
#include <stdlib.h>

#include "agent/os/environment.h"
#include "tests/support/unit.h"

static char **merged;

static void merge(const char *const *defaults, const char *const *variables)
{
    merged = environment_merge((char *const *)defaults, (char *const *)variables);
    ck_assert_ptr_nonnull(merged);
}

static void forget(void)
{
    free(merged);
}

static void assert_merged(const char *const *expected)
{
    size_t i;
    for (i = 0; expected[i]; i++)
        ck_assert_str_eq(merged[i], expected[i]);
    ck_assert_ptr_null(merged[i]);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__ __VA_OPT__(, ) NULL                                                            \
    }

START_TEST(without_variables_it_is_the_default)
{
    merge(WORDS("A=1", "B=2"), WORDS());
    assert_merged(WORDS("A=1", "B=2"));
}
END_TEST

START_TEST(variables_come_after_the_default)
{
    merge(WORDS("A=1"), WORDS("B=2", "C="));
    assert_merged(WORDS("A=1", "B=2", "C="));
}
END_TEST

START_TEST(a_variable_replaces_the_default_of_its_name)
{
    merge(WORDS("A=1", "B=2", "C=3"), WORDS("B=x=y", "A="));
    assert_merged(WORDS("C=3", "B=x=y", "A="));
}
END_TEST

START_TEST(names_are_compared_whole_and_with_their_case)
{
    merge(WORDS("PATH=/a", "path=/b", "PAT=/c"), WORDS("PATHS=1", "PA=2", "Path=3"));
    assert_merged(WORDS("PATH=/a", "path=/b", "PAT=/c", "PATHS=1", "PA=2", "Path=3"));
    forget();
    merge(WORDS("PATH=/a", "PATH2=/b"), WORDS("PATH=/c"));
    assert_merged(WORDS("PATH2=/b", "PATH=/c"));
}
END_TEST

START_TEST(a_default_without_a_value_is_replaced_too)
{
    merge(WORDS("A", "B=2"), WORDS("A=1"));
    assert_merged(WORDS("B=2", "A=1"));
}
END_TEST

START_TEST(nothing_and_nothing_is_nothing)
{
    merge(WORDS(), WORDS());
    assert_merged(WORDS());
}
END_TEST

START_TEST(no_list_of_variables_is_none)
{
    merge(WORDS("A=1"), NULL);
    assert_merged(WORDS("A=1"));
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("environment");
    TCase *tests = tcase_create("environment");
    tcase_add_checked_fixture(tests, NULL, forget);
    tcase_add_test(tests, without_variables_it_is_the_default);
    tcase_add_test(tests, variables_come_after_the_default);
    tcase_add_test(tests, a_variable_replaces_the_default_of_its_name);
    tcase_add_test(tests, names_are_compared_whole_and_with_their_case);
    tcase_add_test(tests, a_default_without_a_value_is_replaced_too);
    tcase_add_test(tests, nothing_and_nothing_is_nothing);
    tcase_add_test(tests, no_list_of_variables_is_none);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
