/* The set of processes: slots, finding, observers, and which of the exited are forgotten. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

static struct process *allocate(const char *id, const char *key)
{
    struct process *process = NULL;
    ck_assert_int_eq(processes_allocate(process_set.set, id, key, &process, NULL), 0);
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++) {
        process->outputs[i].ring.state = &process->record->outputs[i].ring;
        ring_init_state(process->outputs[i].ring.state, NSP_LIMIT_RING_MIN);
    }
    return process;
}

/* In the books only: nothing ever ran. */
static struct process *allocate_exited(unsigned number, uint64_t exited_ns)
{
    char id[16];
    snprintf(id, sizeof id, "p%u", number);
    struct process *process = allocate(id, "");
    process->record->state = TABLE_RUNNING;
    process_on_exit(process, &(struct exitlog_record){.exited_ns = exited_ns, .pid = 99999999});
    return process;
}

static struct process *find(unsigned number)
{
    char id[16];
    snprintf(id, sizeof id, "p%u", number);
    return processes_find(process_set.set, id);
}

static struct processes_stats stats(void)
{
    struct processes_stats result;
    processes_stats(process_set.set, &result);
    return result;
}

/* Slots and names */

START_TEST(an_empty_set_finds_nothing)
{
    unsigned cursor = 0;
    ck_assert_ptr_null(processes_find(process_set.set, "x"));
    ck_assert_ptr_null(processes_find_key(process_set.set, "x"));
    ck_assert_ptr_null(processes_next(process_set.set, &cursor));
    ck_assert_uint_eq(processes_running(process_set.set), 0);
    ck_assert_uint_eq(stats().ring_bytes, 0);
    ck_assert_uint_gt(stats().ring_budget, 0);
}
END_TEST

START_TEST(a_process_is_found_by_id_and_key_until_it_is_removed)
{
    struct process *first = allocate("one", "key"), *second = allocate("two", "");
    ck_assert_ptr_eq(processes_find(process_set.set, "one"), first);
    ck_assert_ptr_eq(processes_find_key(process_set.set, "key"), first);
    ck_assert_ptr_null(processes_find(process_set.set, "key"));
    ck_assert_ptr_null(processes_find_key(process_set.set, "one"));
    ck_assert_ptr_null(processes_find_key(process_set.set, ""));
    processes_remove(process_set.set, first);
    ck_assert_ptr_null(processes_find(process_set.set, "one"));
    ck_assert_ptr_null(processes_find_key(process_set.set, "key"));
    ck_assert_ptr_eq(processes_find(process_set.set, "two"), second);
}
END_TEST

START_TEST(a_name_that_is_taken_leaves_nothing_behind)
{
    struct process *process = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    allocate("one", "key");
    ck_assert_int_eq(processes_allocate(process_set.set, "one", "", &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_int_eq(processes_allocate(process_set.set, "two", "key", &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_ptr_null(processes_find(process_set.set, "two"));
    ck_assert_uint_eq(processes_running(process_set.set), 1);
    ck_assert_uint_eq(allocate("three", "")->slot, 1);
}
END_TEST

START_TEST(all_are_visited_once)
{
    unsigned cursor = 0, seen = 0;
    struct process *process;
    allocate("a", "");
    struct process *gone = allocate("b", "");
    allocate("c", "");
    processes_remove(process_set.set, gone);
    while ((process = processes_next(process_set.set, &cursor)))
        seen += (unsigned)process->record->id[0];
    ck_assert_uint_eq(seen, 'a' + 'c');
}
END_TEST

START_TEST(the_slot_last_freed_is_used_first)
{
    struct process *processes[4];
    for (unsigned i = 0; i < 4; i++) {
        char id[2] = {(char)('a' + i), '\0'};
        processes[i] = allocate(id, "");
        ck_assert_uint_eq(processes[i]->slot, i);
    }
    processes_remove(process_set.set, processes[2]);
    processes_remove(process_set.set, processes[0]);
    processes_remove(process_set.set, processes[3]);
    ck_assert_uint_eq(allocate("e", "")->slot, 3);
    ck_assert_uint_eq(allocate("f", "")->slot, 0);
    ck_assert_uint_eq(allocate("g", "")->slot, 2);
    ck_assert_uint_eq(allocate("h", "")->slot, 4);
}
END_TEST

START_TEST(each_use_of_a_slot_has_a_generation_of_its_own)
{
    struct process *process = allocate("a", "");
    uint32_t first = process->record->generation;
    processes_remove(process_set.set, process);
    ck_assert_uint_eq(allocate("a", "")->slot, 0);
    ck_assert_uint_ne(processes_table(process_set.set)->records[0].generation, first);
}
END_TEST

START_TEST(no_more_run_than_the_limit_says)
{
    struct process *process = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    for (unsigned i = 0; i < NSP_LIMIT_PROCESSES; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%u", i);
        process = allocate(id, "");
        process->record->state = TABLE_RUNNING;
    }
    ck_assert_int_eq(processes_allocate(process_set.set, "more", "", &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "processes");
    process_on_exit(processes_find(process_set.set, "r7"), &(struct exitlog_record){.pid = 1});
    ck_assert_int_eq(processes_allocate(process_set.set, "more", "", &process, &err), 0);
}
END_TEST

START_TEST(the_oldest_exited_gives_its_slot_to_a_new_one)
{
    struct process *process = NULL;
    uint64_t now = clock_now_ns();
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        allocate_exited(i, now + i);
    struct witness witness;
    witness_watch(&witness, find(0));
    ck_assert_int_eq(processes_allocate(process_set.set, "new", "", &process, NULL), 0);
    ck_assert_ptr_nonnull(find(0));
    ck_assert_ptr_null(find(1));
    ck_assert_uint_eq(process->slot, 1);
    process_unobserve(find(0), &witness.observer);
}
END_TEST

START_TEST(without_a_slot_to_give_a_new_one_is_refused)
{
    static struct process_observer observers[TABLE_SLOTS];
    struct process *process = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        process_observe(allocate_exited(i, clock_now_ns()), &observers[i]);
    ck_assert_int_eq(processes_allocate(process_set.set, "new", "", &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "processes");
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        process_unobserve(find(i), &observers[i]);
}
END_TEST

/* Forgetting */

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
    ck_assert_uint_eq(stats().exited, 1);
    ck_assert_int_eq(process_forget(process, &err), 0);
    ck_assert_uint_eq(witness.count[PROCESS_FORGOTTEN], 1);
    ck_assert_uint_eq(stats().exited, 0);
    PROCESS_SET_AWAIT(process_set_stored() == STOREWIRE_LISTENER);
}
END_TEST

START_TEST(beyond_the_limit_the_oldest_unobserved_are_forgotten)
{
    struct witness witness;
    uint64_t now = clock_now_ns();
    for (unsigned i = 0; i < NSP_LIMIT_EXITED + 3; i++)
        allocate_exited(i, now + i);
    witness_watch(&witness, find(1));
    processes_on_wake(process_set.set);
    ck_assert_uint_eq(stats().exited, NSP_LIMIT_EXITED);
    ck_assert_ptr_null(find(0));
    ck_assert_ptr_nonnull(find(1));
    ck_assert_ptr_null(find(2));
    ck_assert_ptr_null(find(3));
    ck_assert_ptr_nonnull(find(4));
    process_unobserve(find(1), &witness.observer);
}
END_TEST

START_TEST(the_limit_holds_after_a_restart_too)
{
    uint64_t now = clock_now_ns();
    for (unsigned i = 0; i < NSP_LIMIT_EXITED + 3; i++)
        allocate_exited(i, now - i);
    process_set_restart();
    ck_assert_uint_eq(stats().exited, NSP_LIMIT_EXITED);
    ck_assert_ptr_nonnull(find(0));
    ck_assert_ptr_null(find(NSP_LIMIT_EXITED + 2));
    ck_assert_ptr_null(find(NSP_LIMIT_EXITED));
    ck_assert_ptr_nonnull(find(NSP_LIMIT_EXITED - 1));
}
END_TEST

/* When an exit of that time is too old, in ms from now. */
static uint64_t exit_due_in(int64_t ms)
{
    return clock_now_ns() - NSP_LIMIT_EXITED_AGE * CLOCK_NS_PER_S + (uint64_t)ms * CLOCK_NS_PER_MS;
}

START_TEST(the_exited_are_forgotten_when_they_are_too_old)
{
    allocate_exited(0, exit_due_in(20));
    allocate_exited(1, exit_due_in(250));
    allocate_exited(2, exit_due_in(100000));
    PROCESS_SET_AWAIT(!find(0));
    ck_assert_ptr_nonnull(find(1));
    PROCESS_SET_AWAIT(!find(1));
    process_set_settle(20);
    ck_assert_ptr_nonnull(find(2));
}
END_TEST

START_TEST(the_old_are_forgotten_after_a_restart_too)
{
    allocate_exited(0, exit_due_in(100000));
    allocate_exited(1, exit_due_in(200));
    process_set_restart();
    ck_assert_ptr_nonnull(find(1));
    PROCESS_SET_AWAIT(!find(1));
    ck_assert_ptr_nonnull(find(0));
}
END_TEST

START_TEST(who_is_looked_at_is_not_forgotten_for_its_age)
{
    struct witness witness;
    uint64_t exited_ns = exit_due_in(20);
    witness_watch(&witness, allocate_exited(0, exited_ns));
    allocate_exited(1, exited_ns);
    PROCESS_SET_AWAIT(!find(1));
    ck_assert_ptr_nonnull(find(0));
    process_unobserve(find(0), &witness.observer);
}
END_TEST

START_TEST(an_exit_without_a_process_is_passed_over)
{
    struct process *process = process_set_shell("exec sleep 60");
    kill(process->record->pid, SIGKILL);
    const struct exitlog *log = processes_exitlog(process_set.set);
    for (int i = 0; i < PROCESS_SET_TURNS && !exitlog_is_pending(log, process->slot); i++)
        usleep(1000);
    processes_remove(process_set.set, process);
    processes_on_wake(process_set.set);
    ck_assert(!exitlog_is_pending(log, 0));
    ck_assert_uint_eq(stats().running + stats().exited, 0);
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
    struct process *process = allocate("observed", "");
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
    Suite *result = suite_create("processes");
    PROCESS_SET_CASE(result, "slots", an_empty_set_finds_nothing,
                     a_process_is_found_by_id_and_key_until_it_is_removed,
                     a_name_that_is_taken_leaves_nothing_behind, all_are_visited_once,
                     the_slot_last_freed_is_used_first,
                     each_use_of_a_slot_has_a_generation_of_its_own,
                     no_more_run_than_the_limit_says, the_oldest_exited_gives_its_slot_to_a_new_one,
                     without_a_slot_to_give_a_new_one_is_refused);
    PROCESS_SET_CASE(
        result, "forgetting", only_the_exited_can_be_forgotten,
        beyond_the_limit_the_oldest_unobserved_are_forgotten, the_limit_holds_after_a_restart_too,
        the_exited_are_forgotten_when_they_are_too_old, the_old_are_forgotten_after_a_restart_too,
        who_is_looked_at_is_not_forgotten_for_its_age, an_exit_without_a_process_is_passed_over);
    PROCESS_SET_CASE(result, "observers", every_observer_is_told,
                     an_observer_may_take_itself_and_others_out,
                     a_notification_inside_another_reaches_all_and_the_outer_goes_on,
                     who_is_taken_out_inside_is_not_told_by_the_outer_one);
    return result;
}

UNIT_MAIN(suite)
