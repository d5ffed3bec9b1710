/* Which of the exited processes are kept, by their number and by their age. */
#include "agent/base/clock.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

START_TEST(beyond_the_limit_the_oldest_unobserved_are_forgotten)
{
    struct witness witness;
    uint64_t now = clock_now_ns();
    for (unsigned i = 0; i < NSP_LIMIT_EXITED + 3; i++)
        process_set_exited_entry(i, now + i);
    witness_watch(&witness, process_set_numbered(1));
    processes_on_wake(process_set.set);
    ck_assert_uint_eq(process_set_stats().exited, NSP_LIMIT_EXITED);
    ck_assert_ptr_null(process_set_numbered(0));
    ck_assert_ptr_nonnull(process_set_numbered(1));
    ck_assert_ptr_null(process_set_numbered(2));
    ck_assert_ptr_null(process_set_numbered(3));
    ck_assert_ptr_nonnull(process_set_numbered(4));
    process_unobserve(process_set_numbered(1), &witness.observer);
}
END_TEST

START_TEST(the_limit_holds_after_a_restart_too)
{
    uint64_t now = clock_now_ns();
    for (unsigned i = 0; i < NSP_LIMIT_EXITED + 3; i++)
        process_set_exited_entry(i, now - i);
    process_set_restart();
    ck_assert_uint_eq(process_set_stats().exited, NSP_LIMIT_EXITED);
    ck_assert_ptr_nonnull(process_set_numbered(0));
    ck_assert_ptr_null(process_set_numbered(NSP_LIMIT_EXITED + 2));
    ck_assert_ptr_null(process_set_numbered(NSP_LIMIT_EXITED));
    ck_assert_ptr_nonnull(process_set_numbered(NSP_LIMIT_EXITED - 1));
}
END_TEST

/* When an exit of that time is too old, in ms from now. */
static uint64_t exit_due_in(int64_t ms)
{
    return clock_now_ns() - NSP_LIMIT_EXITED_AGE * CLOCK_NS_PER_S + (uint64_t)ms * CLOCK_NS_PER_MS;
}

START_TEST(the_exited_are_forgotten_when_they_are_too_old)
{
    process_set_exited_entry(0, exit_due_in(20));
    process_set_exited_entry(1, exit_due_in(250));
    process_set_exited_entry(2, exit_due_in(100000));
    PROCESS_SET_AWAIT(!process_set_numbered(0));
    ck_assert_ptr_nonnull(process_set_numbered(1));
    PROCESS_SET_AWAIT(!process_set_numbered(1));
    process_set_settle(20);
    ck_assert_ptr_nonnull(process_set_numbered(2));
}
END_TEST

START_TEST(the_old_are_forgotten_after_a_restart_too)
{
    process_set_exited_entry(0, exit_due_in(100000));
    process_set_exited_entry(1, exit_due_in(200));
    process_set_restart();
    ck_assert_ptr_nonnull(process_set_numbered(1));
    PROCESS_SET_AWAIT(!process_set_numbered(1));
    ck_assert_ptr_nonnull(process_set_numbered(0));
}
END_TEST

START_TEST(who_is_looked_at_is_not_forgotten_for_its_age)
{
    struct witness witness;
    uint64_t exited_ns = exit_due_in(20);
    witness_watch(&witness, process_set_exited_entry(0, exited_ns));
    process_set_exited_entry(1, exited_ns);
    PROCESS_SET_AWAIT(!process_set_numbered(1));
    ck_assert_ptr_nonnull(process_set_numbered(0));
    process_unobserve(process_set_numbered(0), &witness.observer);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("retention");
    PROCESS_SET_CASE(result, "number", beyond_the_limit_the_oldest_unobserved_are_forgotten,
                     the_limit_holds_after_a_restart_too);
    PROCESS_SET_CASE(result, "age", the_exited_are_forgotten_when_they_are_too_old,
                     the_old_are_forgotten_after_a_restart_too,
                     who_is_looked_at_is_not_forgotten_for_its_age);
    return result;
}

UNIT_MAIN(suite)
