/* The set of processes: slots, finding, and exits. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

/* Slots and names */

START_TEST(an_empty_set_finds_nothing)
{
    unsigned cursor = 0;
    ck_assert_ptr_null(processes_find(process_set.set, "x"));
    ck_assert_ptr_null(processes_find_key(process_set.set, "x"));
    ck_assert_ptr_null(processes_next(process_set.set, &cursor));
    ck_assert_uint_eq(processes_running(process_set.set), 0);
    ck_assert_uint_eq(process_set_stats().ring_bytes, 0);
    ck_assert_uint_gt(process_set_stats().ring_budget, 0);
}
END_TEST

START_TEST(a_process_is_found_by_id_and_key_until_it_is_removed)
{
    struct process *first = process_set_entry("one", "key"), *second = process_set_entry("two", "");
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
    process_set_entry("one", "key");
    ck_assert_int_eq(processes_allocate(process_set.set, "one", "", &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_int_eq(processes_allocate(process_set.set, "two", "key", &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_ptr_null(processes_find(process_set.set, "two"));
    ck_assert_uint_eq(processes_running(process_set.set), 1);
    ck_assert_uint_eq(process_set_entry("three", "")->slot, 1);
}
END_TEST

START_TEST(all_are_visited_once)
{
    unsigned cursor = 0, seen = 0;
    struct process *process;
    process_set_entry("a", "");
    struct process *gone = process_set_entry("b", "");
    process_set_entry("c", "");
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
        processes[i] = process_set_entry(id, "");
        ck_assert_uint_eq(processes[i]->slot, i);
    }
    processes_remove(process_set.set, processes[2]);
    processes_remove(process_set.set, processes[0]);
    processes_remove(process_set.set, processes[3]);
    ck_assert_uint_eq(process_set_entry("e", "")->slot, 3);
    ck_assert_uint_eq(process_set_entry("f", "")->slot, 0);
    ck_assert_uint_eq(process_set_entry("g", "")->slot, 2);
    ck_assert_uint_eq(process_set_entry("h", "")->slot, 4);
}
END_TEST

START_TEST(each_use_of_a_slot_has_a_generation_of_its_own)
{
    struct process *process = process_set_entry("a", "");
    uint32_t first = process->record->generation;
    processes_remove(process_set.set, process);
    ck_assert_uint_eq(process_set_entry("a", "")->slot, 0);
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
        process = process_set_entry(id, "");
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
        process_set_exited_entry(i, now + i);
    struct witness witness;
    witness_watch(&witness, process_set_numbered(0));
    ck_assert_int_eq(processes_allocate(process_set.set, "new", "", &process, NULL), 0);
    ck_assert_ptr_nonnull(process_set_numbered(0));
    ck_assert_ptr_null(process_set_numbered(1));
    ck_assert_uint_eq(process->slot, 1);
    process_unobserve(process_set_numbered(0), &witness.observer);
}
END_TEST

START_TEST(without_a_slot_to_give_a_new_one_is_refused)
{
    static struct process_observer observers[TABLE_SLOTS];
    struct process *process = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        process_observe(process_set_exited_entry(i, clock_now_ns()), &observers[i]);
    ck_assert_int_eq(processes_allocate(process_set.set, "new", "", &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "processes");
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        process_unobserve(process_set_numbered(i), &observers[i]);
}
END_TEST

/* Exits */

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
    ck_assert_uint_eq(process_set_stats().running + process_set_stats().exited, 0);
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
    PROCESS_SET_CASE(result, "exits", an_exit_without_a_process_is_passed_over);
    return result;
}

UNIT_MAIN(suite)
