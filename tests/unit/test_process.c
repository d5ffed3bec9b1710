/* One process: its observers, and forgetting it. */
#include <string.h>

#include "tests/support/process_set.h"
#include "tests/support/unit.h"

START_TEST(only_the_exited_can_be_forgotten)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct process *process = process_set_shell("exec sleep 60");
    struct witness witness;
    witness_watch(&witness, process);
    ck_assert_int_eq(process_forget(process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_STATE);
    ck_assert_str_eq(err.object, process->record->id);
    process_set_kill(process);
    ck_assert_uint_eq(process_set_stats().exited, 1);
    ck_assert_int_eq(process_forget(process, &err), 0);
    ck_assert_uint_eq(witness.count[PROCESS_FORGOTTEN], 1);
    ck_assert_uint_eq(process_set_stats().exited, 0);
    PROCESS_SET_AWAIT(process_set_stored() == STOREWIRE_LISTENER);
}
END_TEST

/* Observers */

struct chain {
    struct process_observer observer;
    struct chain *victims[2]; /* who is taken out by its callback */
    bool notifies;            /* once, from inside */
    unsigned count;
};

static void on_chain(void *arg, struct process *process, enum process_event event)
{
    struct chain *chain = arg;
    chain->count++;
    for (unsigned i = 0; i < 2; i++)
        if (chain->victims[i])
            process_unobserve(process, &chain->victims[i]->observer);
    if (chain->notifies) {
        chain->notifies = false;
        process_notify(process, event);
    }
}

static struct chain links[4]; /* 3 is told first */

static struct process *observed_by_four(void)
{
    struct process *process = process_set_entry("observed", "");
    memset(links, 0, sizeof links);
    for (unsigned i = 0; i < 4; i++) {
        links[i].observer = (struct process_observer){.event = on_chain, .arg = &links[i]};
        process_observe(process, &links[i].observer);
    }
    return process;
}

static void assert_counts(unsigned first, unsigned second, unsigned third, unsigned last)
{
    ck_assert_uint_eq(links[3].count, first);
    ck_assert_uint_eq(links[2].count, second);
    ck_assert_uint_eq(links[1].count, third);
    ck_assert_uint_eq(links[0].count, last);
}

START_TEST(every_observer_is_told)
{
    struct process *process = observed_by_four();
    process_notify(process, PROCESS_OUTPUT);
    assert_counts(1, 1, 1, 1);
    process_unobserve(process, &links[3].observer);
    process_unobserve(process, &links[0].observer);
    process_unobserve(process, &links[0].observer);
    process_notify(process, PROCESS_OUTPUT);
    assert_counts(1, 2, 2, 1);
}
END_TEST

START_TEST(an_observer_may_take_itself_and_others_out)
{
    struct process *process = observed_by_four();
    links[3].victims[0] = &links[3];
    links[3].victims[1] = &links[2];
    links[1].victims[0] = &links[2];
    links[1].victims[1] = &links[1];
    process_notify(process, PROCESS_OUTPUT);
    assert_counts(1, 0, 1, 1);
    process_notify(process, PROCESS_OUTPUT);
    assert_counts(1, 0, 1, 2);
}
END_TEST

START_TEST(a_notification_inside_another_reaches_all_and_the_outer_goes_on)
{
    struct process *process = observed_by_four();
    links[2].notifies = true;
    process_notify(process, PROCESS_OUTPUT);
    assert_counts(2, 2, 2, 2);
}
END_TEST

START_TEST(who_is_taken_out_inside_is_not_told_by_the_outer_one)
{
    struct process *process = observed_by_four();
    links[3].notifies = true;
    /* In the inner round; the outer one would have gone on with 2. */
    links[1].victims[0] = &links[2];
    links[1].victims[1] = &links[0];
    process_notify(process, PROCESS_OUTPUT);
    assert_counts(2, 1, 2, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("process");
    PROCESS_SET_CASE(result, "forgetting", only_the_exited_can_be_forgotten);
    PROCESS_SET_CASE(result, "observers", every_observer_is_told,
                     an_observer_may_take_itself_and_others_out,
                     a_notification_inside_another_reaches_all_and_the_outer_goes_on,
                     who_is_taken_out_inside_is_not_told_by_the_outer_one);
    return result;
}

UNIT_MAIN(suite)
