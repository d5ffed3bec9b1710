/* Recovery: each state that an agent's death can leave, made by hand in the record, the store and
 * the exit log of a live process, and then taken over. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/os/spawn_child.h"
#include "agent/process/signals.h"
#include "tests/support/reading.h"
#include "tests/support/unit.h"

static struct table_record *record_at(unsigned slot)
{
    return &processes_table(process_set.set)->records[slot];
}

static struct process *by_id(const char *id)
{
    return processes_find(process_set.set, id);
}

static struct puppet puppet_with_id(const char *id)
{
    struct launch_options options = process_set_options(NULL);
    options.id = id;
    options.key = id;
    options.input = true;
    return process_set_puppet_of(options);
}

static bool is_pending(const struct puppet *puppet)
{
    return exitlog_is_pending(processes_exitlog(process_set.set), puppet->process->slot);
}

/* Without the loop, so that the agent does not notice. */
static void kill_unnoticed(const struct puppet *puppet)
{
    kill(puppet->process->record->pid, SIGKILL);
    for (int i = 0; i < PROCESS_SET_TURNS && !is_pending(puppet); i++)
        usleep(1000);
    ck_assert(is_pending(puppet));
}

/* A pipe that says what it is given, and then ends. */
static void store_ended(enum storewire_kind kind, unsigned slot, const void *bytes, size_t length)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(write(ends[1], bytes, length), (ssize_t)length);
    close(ends[1]);
    process_set_store(kind, slot, ends[0]);
}

static bool is_running(const struct process *process)
{
    return process && process->record->state == TABLE_RUNNING;
}

/* RUNNING */

START_TEST(a_running_process_goes_on)
{
    struct puppet puppet = puppet_with_id("job");
    struct reader_options from = {.follow = true, .from = {4, 0}};
    puppet_say(&puppet, 0, "before ");
    pid_t pid = puppet.process->record->pid;
    puppet_restart(&puppet);
    ck_assert(is_running(puppet.process));
    ck_assert_int_eq(puppet.process->record->pid, pid);
    ck_assert_int_ge(puppet.process->pidfd, 0);
    ck_assert_ptr_eq(processes_find_key(process_set.set, "job"), puppet.process);
    ck_assert_uint_eq(processes_running(process_set.set), 1);
    puppet_say(&puppet, 0, "after");
    reading_attach(&puppet, &from);
    ck_assert_str_eq(reading_pull(), "0@4:re after");
    process_set_kill(puppet.process);
    ck_assert_int_eq(puppet.process->record->exit.status, SIGKILL);
}
END_TEST

START_TEST(each_start_of_an_agent_is_counted)
{
    ck_assert_uint_eq(processes_generation(process_set.set), 1);
    process_set_restart();
    process_set_restart();
    ck_assert_uint_eq(processes_generation(process_set.set), 3);
}
END_TEST

START_TEST(output_that_came_in_between_is_read)
{
    struct puppet puppet = puppet_with_id("job");
    process_set_stop();
    ck_assert_int_eq(write(puppet.out[0], "hello", 5), 5);
    process_set_start();
    puppet.process = by_id("job");
    PROCESS_SET_AWAIT(reading_head(&puppet, 0) == 5);
}
END_TEST

START_TEST(bytes_in_the_staging_pipe_come_to_their_place)
{
    struct puppet puppet = puppet_with_id("job");
    const struct stage *stage = processes_output_stage(process_set.set);
    puppet_say(&puppet, 1, "abc");
    *stage->journal = (struct table_stage){
        .phase = TABLE_STAGE_FILLING, .slot = puppet.process->slot, .output = 1, .base = 3};
    ck_assert_int_eq(write(stage->write_fd, "def", 3), 3);
    puppet_restart(&puppet);
    reading_attach(&puppet, &reading_in_order);
    ck_assert_str_eq(reading_pull(), "1@0:abcdef");
    puppet_say(&puppet, 1, "ghi");
    ck_assert_str_eq(reading_pull(), "1@6:ghi");
}
END_TEST

START_TEST(bytes_in_the_staging_pipe_of_nobody_are_thrown_away)
{
    struct puppet puppet = puppet_with_id("job");
    const struct stage *stage = processes_output_stage(process_set.set);
    *stage->journal = (struct table_stage){
        .phase = TABLE_STAGE_EMPTYING, .slot = TABLE_SLOTS - 1, .output = 0, .fill = 3};
    ck_assert_int_eq(write(stage->write_fd, "def", 3), 3);
    puppet_restart(&puppet);
    puppet_say(&puppet, 0, "abc");
    reading_attach(&puppet, &reading_plain);
    ck_assert_str_eq(reading_pull(), "0@0:abc");
}
END_TEST

START_TEST(a_journal_of_no_slot_at_all_is_survived)
{
    struct puppet puppet = puppet_with_id("job");
    const struct stage *stage = processes_output_stage(process_set.set);
    *stage->journal =
        (struct table_stage){.phase = TABLE_STAGE_FILLING, .slot = 77777, .output = 9};
    *processes_input_stage(process_set.set)->journal =
        (struct table_stage){.phase = TABLE_STAGE_EMPTYING, .slot = 77777};
    puppet_restart(&puppet);
    ck_assert(is_running(puppet.process));
}
END_TEST

START_TEST(input_that_was_delivered_counts_and_the_rest_is_asked_for_again)
{
    struct puppet puppet = puppet_with_id("job");
    const struct stage *stage = processes_input_stage(process_set.set);
    *stage->journal = (struct table_stage){
        .phase = TABLE_STAGE_EMPTYING, .slot = puppet.process->slot, .base = 100, .fill = 10};
    ck_assert_int_eq(write(stage->write_fd, "rest", 4), 4);
    puppet_restart(&puppet);
    ck_assert_uint_eq(puppet.process->record->input_offset, 106);
    ck_assert(input_is_open(&puppet.process->input));
}
END_TEST

START_TEST(an_input_that_was_being_closed_is_closed)
{
    struct puppet puppet = puppet_with_id("job");
    char byte;
    puppet.process->record->input = TABLE_INPUT_CLOSED;
    puppet_restart(&puppet);
    ck_assert(!input_is_open(&puppet.process->input));
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STDIN) == 0);
    ck_assert_int_eq(read(puppet.in, &byte, 1), 0);
}
END_TEST

START_TEST(a_stream_that_is_not_in_the_store_is_closed)
{
    struct puppet puppet = puppet_with_id("job");
    store_drop(&process_set.store, STOREWIRE_STDERR, puppet.process->slot);
    store_drop(&process_set.store, STOREWIRE_STDIN, puppet.process->slot);
    puppet_restart(&puppet);
    ck_assert(puppet.process->record->outputs[0].is_open);
    ck_assert(!puppet.process->record->outputs[1].is_open);
    ck_assert_int_eq(puppet.process->record->input, TABLE_INPUT_CLOSED);
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
}
END_TEST

START_TEST(the_charge_of_the_rings_is_counted_again)
{
    struct puppet puppet = puppet_with_id("job");
    puppet_flood(&puppet, 0, 0, 10000);
    puppet_say(&puppet, 1, "x");
    uint64_t before = arena_charged(processes_arena(process_set.set));
    puppet_restart(&puppet);
    ck_assert_uint_eq(arena_charged(processes_arena(process_set.set)), before);
    ck_assert_uint_eq(before, 12288 + 4096);
}
END_TEST

START_TEST(deadlines_are_kept)
{
    struct puppet puppet = puppet_with_id("job");
    puppet.process->record->timeout_at = clock_now_ns() + 20 * CLOCK_NS_PER_MS;
    puppet_restart(&puppet);
    PROCESS_SET_AWAIT(process_is_exited(puppet.process));
    ck_assert(puppet.process->record->timed_out);
    ck_assert_int_eq(puppet.process->record->exit.status, SIGTERM);
}
END_TEST

START_TEST(a_merged_process_is_taken_over_with_one_ring)
{
    struct launch_options options = process_set_options(NULL);
    options.merge = true;
    struct puppet puppet = process_set_puppet_of(options);
    puppet_say(&puppet, 1, "both");
    puppet_restart(&puppet);
    ck_assert_ptr_null(puppet.process->region.rings[1]);
    reading_attach(&puppet, &reading_in_order);
    ck_assert_str_eq(reading_pull(), "0@0:both");
}
END_TEST

/* Exits */

START_TEST(an_exit_while_no_agent_was_there_is_read)
{
    struct puppet puppet = puppet_with_id("job");
    puppet_say(&puppet, 0, "abc");
    ck_assert_int_eq(write(puppet.out[0], "def", 3), 3);
    kill_unnoticed(&puppet);
    puppet_restart(&puppet);
    ck_assert(process_is_exited(puppet.process));
    ck_assert_int_eq(puppet.process->record->exit.status, SIGKILL);
    ck_assert(process_is_drained(puppet.process));
    ck_assert_uint_eq(puppet.process->record->outputs[0].drained, 6);
    ck_assert_uint_eq(processes_running(process_set.set), 0);
}
END_TEST

START_TEST(an_exit_that_was_copied_but_not_acknowledged_counts_once)
{
    struct puppet puppet = puppet_with_id("job");
    unsigned slot;
    kill_unnoticed(&puppet);
    struct exitlog *log = processes_exitlog(process_set.set);
    ck_assert(exitlog_peek(log, &slot, &puppet.process->record->exit));
    puppet.process->record->state = TABLE_EXITED;
    puppet_restart(&puppet);
    struct processes_stats stats;
    processes_stats(process_set.set, &stats);
    ck_assert_uint_eq(stats.exited, 1);
    ck_assert_uint_eq(stats.running, 0);
    ck_assert(!is_pending(&puppet));
    ck_assert(process_is_drained(puppet.process));
}
END_TEST

/* A pipe that others hold, and that nobody writes to, tells the loop nothing. */
START_TEST(an_exit_that_was_copied_but_not_drained_is_drained)
{
    struct puppet puppet = puppet_with_id("job");
    puppet_say(&puppet, 0, "abc");
    process_set_kill(puppet.process);
    puppet.process->record->outputs[0].is_drained = false;
    puppet.process->record->outputs[1].is_drained = false;
    puppet_restart(&puppet);
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
    ck_assert_uint_eq(puppet.process->record->outputs[0].drained, 3);
}
END_TEST

START_TEST(an_output_that_was_closed_but_not_drained_is_drained)
{
    struct puppet puppet = puppet_with_id("job");
    puppet_say(&puppet, 0, "abc");
    close(puppet.in);
    process_set_kill(puppet.process);
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++) {
        puppet.process->record->outputs[i].is_open = false;
        puppet.process->record->outputs[i].is_drained = false;
    }
    puppet_restart(&puppet);
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
    PROCESS_SET_AWAIT(process_set_stored() == STOREWIRE_LISTENER);
}
END_TEST

START_TEST(the_exited_are_in_the_order_of_their_exits)
{
    struct puppet first = puppet_with_id("a"), second = puppet_with_id("b"),
                  third = puppet_with_id("c");
    process_set_kill(second.process);
    process_set_kill(third.process);
    process_set_kill(first.process);
    process_set_restart();
    const struct process *oldest = by_id("b");
    ck_assert_ptr_null(oldest->older);
    ck_assert_ptr_eq(oldest->newer, by_id("c"));
    ck_assert_ptr_eq(oldest->newer->newer, by_id("a"));
    ck_assert_ptr_null(oldest->newer->newer->newer);
    ck_assert_ptr_eq(oldest->newer->older, oldest);
}
END_TEST

START_TEST(evicted_output_stays_evicted)
{
    struct puppet puppet = puppet_with_id("job");
    puppet_say(&puppet, 0, "abc");
    process_set_kill(puppet.process);
    output_close(&puppet.process->outputs[0], false);
    output_close(&puppet.process->outputs[1], false);
    processes_reserve(process_set.set, UINT64_MAX);
    puppet_restart(&puppet);
    ck_assert_uint_eq(arena_charged(processes_arena(process_set.set)), 0);
    reading_attach(&puppet, &reading_plain);
    ck_assert_str_eq(reading_pull(), "gap0@0-3 end1@0 end0@3");
}
END_TEST

/* STARTING */

START_TEST(a_start_that_was_not_cloned_never_was)
{
    struct process *process = NULL;
    struct launch_options options = process_set_options(NULL);
    char *const argv[] = {(char[]){"true"}, NULL};
    ck_assert_int_eq(processes_allocate(process_set.set, "job", "key", &process, NULL), 0);
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        ring_init_state(&process->record->outputs[i].ring, NSP_LIMIT_RING_MIN);
    process->record->outputs[0].is_open = true;
    store_ended(STOREWIRE_STDOUT, process->slot, "", 0);
    store_ended(STOREWIRE_STATUS, process->slot, "", 0);
    process_set_restart();
    ck_assert_ptr_null(by_id("job"));
    ck_assert_ptr_null(processes_find_key(process_set.set, "key"));
    ck_assert_uint_eq(processes_running(process_set.set), 0);
    PROCESS_SET_AWAIT(process_set_stored() == STOREWIRE_LISTENER);
    options.argv = argv;
    options.argc = 1;
    options.id = "job";
    options.key = "key";
    ck_assert_uint_eq(process_set_launch(&options)->slot, 0);
}
END_TEST

START_TEST(a_start_whose_clone_failed_never_was)
{
    struct process *process = NULL;
    ck_assert_int_eq(processes_allocate(process_set.set, "job", "", &process, NULL), 0);
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        ring_init_state(&process->record->outputs[i].ring, NSP_LIMIT_RING_MIN);
    exitlog_claim(processes_exitlog(process_set.set), process->slot, process->record->generation);
    process_set_restart();
    ck_assert_ptr_null(by_id("job"));
}
END_TEST

START_TEST(a_start_that_was_cloned_becomes_running)
{
    struct puppet puppet = puppet_with_id("job");
    struct witness witness;
    puppet.process->record->state = TABLE_STARTING;
    pid_t pid = puppet.process->record->pid;
    puppet.process->record->pid = 0;
    store_ended(STOREWIRE_STATUS, puppet.process->slot, "", 0);
    puppet_restart(&puppet);
    ck_assert_int_eq(puppet.process->record->state, TABLE_STARTING);
    witness_watch(&witness, puppet.process);
    PROCESS_SET_AWAIT(is_running(puppet.process));
    ck_assert_str_eq(witness.order, "S");
    ck_assert_int_eq(puppet.process->record->pid, pid);
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STATUS) == 0);
}
END_TEST

START_TEST(a_start_that_ran_and_exited_in_between_has_both_and_its_pid)
{
    struct puppet puppet = puppet_with_id("job"), other = puppet_with_id("other");
    pid_t pid = puppet.process->record->pid;
    kill_unnoticed(&other);
    kill_unnoticed(&puppet);
    puppet.process->record->state = TABLE_STARTING;
    puppet.process->record->pid = 0;
    store_ended(STOREWIRE_STATUS, puppet.process->slot, "", 0);
    puppet_restart(&puppet);
    ck_assert(process_is_exited(puppet.process));
    ck_assert_int_eq(puppet.process->record->pid, pid);
    ck_assert_int_eq(puppet.process->record->exit.pid, pid);
    ck_assert(process_is_exited(by_id("other")));
}
END_TEST

START_TEST(a_start_that_failed_in_between_is_told_and_gone)
{
    struct puppet puppet = puppet_with_id("job");
    struct witness witness;
    const struct spawn_child_report report = {.stage = SPAWN_STAGE_EXEC, .sys_errno = 2};
    puppet.process->record->state = TABLE_STARTING;
    store_ended(STOREWIRE_STATUS, puppet.process->slot, &report, sizeof report);
    puppet_restart(&puppet);
    witness_watch(&witness, puppet.process);
    PROCESS_SET_AWAIT(witness.count[PROCESS_FAILED] == 1);
    ck_assert_int_eq(puppet.process->failure.code, NSP_E_SPAWN);
    ck_assert_int_eq(puppet.process->failure.sys_errno, 2);
    ck_assert_ptr_null(by_id("job"));
    kill(puppet.process->record->pid, SIGKILL);
    PROCESS_SET_AWAIT(witness.count[PROCESS_FORGOTTEN] == 1);
    ck_assert_int_eq(record_at(0)->state, TABLE_FREE);
}
END_TEST

START_TEST(a_start_of_unknown_outcome_ends_with_its_exit)
{
    struct puppet puppet = puppet_with_id("job");
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STATUS) == 0);
    kill_unnoticed(&puppet);
    puppet.process->record->state = TABLE_STARTING;
    process_set_restart();
    ck_assert_ptr_null(by_id("job"));
    ck_assert_int_eq(record_at(0)->state, TABLE_FREE);
    ck_assert_uint_eq(processes_running(process_set.set), 0);
}
END_TEST

/* The id is free for others from the failure on, the slot only after the exit. */
static void fail_and_repeat(bool repeat_in_lower_slot)
{
    struct puppet first = process_set_puppet(), stuck = puppet_with_id("job"), again;
    struct nsp_error err = NSP_ERROR_INIT;
    pid_t pid = stuck.process->record->pid;
    unsigned slot = stuck.process->slot;
    stuck.process->record->state = TABLE_STARTING;
    nsp_fail(&err, NSP_E_DEADLINE, "no execve in time");
    process_fail(stuck.process, &err);
    ck_assert_ptr_null(by_id("job"));
    process_set_kill(first.process);
    if (repeat_in_lower_slot)
        ck_assert_int_eq(process_forget(first.process, NULL), 0);
    again = puppet_with_id("job");
    ck_assert_int_eq(again.process->slot < slot, repeat_in_lower_slot);
    puppet_restart(&again);
    ck_assert(is_running(again.process));
    ck_assert_ptr_eq(processes_find_key(process_set.set, "job"), again.process);
    kill(pid, SIGKILL);
    PROCESS_SET_AWAIT(record_at(slot)->state == TABLE_FREE);
    ck_assert_ptr_eq(by_id("job"), again.process);
    ck_assert_uint_eq(processes_running(process_set.set), 1);
}

START_TEST(a_failed_start_that_lingers_and_its_repetition_are_both_taken_over)
{
    fail_and_repeat(false);
}
END_TEST

START_TEST(a_failed_start_that_lingers_behind_its_repetition_is_taken_over_too)
{
    fail_and_repeat(true);
}
END_TEST

/* What cannot be used */

START_TEST(a_record_that_makes_no_sense_is_freed)
{
    struct puppet puppet = puppet_with_id("job"), other = puppet_with_id("other");
    puppet.process->record->outputs[0].ring.size = 12345;
    process_set_restart();
    ck_assert_ptr_null(by_id("job"));
    ck_assert_int_eq(record_at(0)->state, TABLE_FREE);
    ck_assert(is_running(by_id("other")));
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STDOUT) == 1);
    process_set_kill(by_id("other"));
    close(other.in);
}
END_TEST

START_TEST(a_table_of_another_agent_is_not_taken_over)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct puppet puppet = puppet_with_id("job");
    puppet_say(&puppet, 0, "abc");
    processes_table(process_set.set)->header->record_size++;
    process_set_stop();
    ck_assert_int_eq(process_set_try_start(&err), -1);
    ck_assert_int_eq(err.code, NSP_E_STATE);
}
END_TEST

START_TEST(descriptors_of_free_slots_are_dropped)
{
    struct puppet puppet = puppet_with_id("job");
    process_set_kill(puppet.process);
    ck_assert_uint_gt(process_set_stored(), STOREWIRE_LISTENER);
    table_end(processes_table(process_set.set), puppet.process->slot);
    process_set_restart();
    ck_assert_ptr_null(by_id("job"));
    PROCESS_SET_AWAIT(process_set_stored() == STOREWIRE_LISTENER);
}
END_TEST

START_TEST(an_exit_of_an_earlier_use_of_the_slot_is_passed_over)
{
    struct puppet puppet = puppet_with_id("job");
    kill_unnoticed(&puppet);
    puppet.process->record->generation += 1000;
    puppet_restart(&puppet);
    ck_assert(is_running(puppet.process));
    ck_assert(!is_pending(&puppet));
}
END_TEST

START_TEST(the_hottest_free_slots_are_the_lowest_after_recovery)
{
    struct puppet puppets[4];
    for (int i = 0; i < 4; i++)
        puppets[i] = process_set_puppet();
    process_set_kill(puppets[0].process);
    process_set_kill(puppets[2].process);
    ck_assert_int_eq(process_forget(puppets[0].process, NULL), 0);
    ck_assert_int_eq(process_forget(puppets[2].process, NULL), 0);
    process_set_restart();
    ck_assert_uint_eq(process_set_puppet().process->slot, 0);
    ck_assert_uint_eq(process_set_puppet().process->slot, 2);
    ck_assert_uint_eq(process_set_puppet().process->slot, 4);
}
END_TEST

START_TEST(a_takeover_leaks_no_descriptor)
{
    struct puppet puppet = puppet_with_id("job");
    puppet_restart(&puppet);
    unsigned before = process_set_descriptors(), stored = process_set_stored();
    puppet_restart(&puppet);
    puppet_restart(&puppet);
    ck_assert_uint_eq(process_set_descriptors(), before);
    ck_assert_uint_eq(process_set_stored(), stored);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("recover");
    PROCESS_SET_CASE(
        result, "running", a_running_process_goes_on, each_start_of_an_agent_is_counted,
        output_that_came_in_between_is_read, bytes_in_the_staging_pipe_come_to_their_place,
        bytes_in_the_staging_pipe_of_nobody_are_thrown_away,
        a_journal_of_no_slot_at_all_is_survived,
        input_that_was_delivered_counts_and_the_rest_is_asked_for_again,
        an_input_that_was_being_closed_is_closed, a_stream_that_is_not_in_the_store_is_closed,
        the_charge_of_the_rings_is_counted_again, deadlines_are_kept,
        a_merged_process_is_taken_over_with_one_ring);
    PROCESS_SET_CASE(result, "exits", an_exit_while_no_agent_was_there_is_read,
                     an_exit_that_was_copied_but_not_acknowledged_counts_once,
                     an_exit_that_was_copied_but_not_drained_is_drained,
                     an_output_that_was_closed_but_not_drained_is_drained,
                     the_exited_are_in_the_order_of_their_exits, evicted_output_stays_evicted);
    PROCESS_SET_CASE(result, "starting", a_start_that_was_not_cloned_never_was,
                     a_start_whose_clone_failed_never_was, a_start_that_was_cloned_becomes_running,
                     a_start_that_ran_and_exited_in_between_has_both_and_its_pid,
                     a_start_that_failed_in_between_is_told_and_gone,
                     a_start_of_unknown_outcome_ends_with_its_exit,
                     a_failed_start_that_lingers_and_its_repetition_are_both_taken_over,
                     a_failed_start_that_lingers_behind_its_repetition_is_taken_over_too);
    PROCESS_SET_CASE(
        result, "unusable", a_record_that_makes_no_sense_is_freed,
        a_table_of_another_agent_is_not_taken_over, descriptors_of_free_slots_are_dropped,
        an_exit_of_an_earlier_use_of_the_slot_is_passed_over,
        the_hottest_free_slots_are_the_lowest_after_recovery, a_takeover_leaks_no_descriptor);
    return result;
}

UNIT_MAIN(suite)
