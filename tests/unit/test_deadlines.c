/* Deadlines: timeout, drain, launch and places, each from the record. */
#include <signal.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/process/deadlines.h"
#include "agent/process/reader.h"
#include "agent/process/signals.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

static struct process *start(const char *script, uint64_t timeout_ms, uint32_t grace_ms,
                             int64_t drain_ms)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct launch_options options = process_set_options((char *const *)argv);
    options.timeout_ms = timeout_ms;
    options.grace_ms = grace_ms;
    options.drain_ms = drain_ms;
    return process_set_launch(&options);
}

static struct puppet puppet_with_drain(int64_t drain_ms)
{
    struct launch_options options = process_set_options(NULL);
    options.drain_ms = drain_ms;
    return process_set_puppet_of(options);
}

static const struct table_record *await_exit(const struct process *process)
{
    PROCESS_SET_AWAIT(process_is_exited(process));
    return process->record;
}

static uint64_t lived_ms(const struct table_record *record)
{
    return (record->exit.exited_ns - record->started_ns) / CLOCK_NS_PER_MS;
}

static void on_superseded(void *arg)
{
    (void)arg;
}

/* The script writes a line when it is ready for the timeout. */
static const struct table_record *time_out(const char *script, uint32_t grace_ms)
{
    struct process *process = start(script, 60000, grace_ms, -1);
    PROCESS_SET_AWAIT(process->record->outputs[0].ring.head > 0);
    process->record->timeout_at = clock_now_ns() + 10 * CLOCK_NS_PER_MS;
    deadlines_arm(process);
    return await_exit(process);
}

/* Timeout */

START_TEST(a_timeout_asks_to_end)
{
    const struct table_record *record = await_exit(start("exec sleep 60", 30, 10000, -1));
    ck_assert(record->timed_out);
    ck_assert_int_eq(record->exit.status, SIGTERM);
    ck_assert_uint_ge(lived_ms(record), 30);
    ck_assert_uint_eq(record->timeout_at, 0);
}
END_TEST

START_TEST(a_timeout_asks_the_whole_group)
{
    struct process *process = start("sleep 60; exit 1", 30, 10000, -1);
    await_exit(process);
    PROCESS_SET_AWAIT(process_is_drained(process) && !process->record->outputs[0].is_open);
}
END_TEST

START_TEST(who_ignores_it_is_killed_after_the_grace)
{
    const struct table_record *record =
        time_out("trap '' TERM; echo; while :; do sleep 0.01; done", 30);
    ck_assert(record->timed_out);
    ck_assert_int_eq(record->exit.status, SIGKILL);
    ck_assert_uint_ge(lived_ms(record), 30);
}
END_TEST

START_TEST(who_exits_in_time_has_not_timed_out)
{
    struct process *process = start("exit 4", 10000, 10, -1);
    ck_assert(!await_exit(process)->timed_out);
    ck_assert_int_eq(process->record->exit.status, 4);
    ck_assert_uint_eq(process->record->timeout_at, 0);
}
END_TEST

START_TEST(what_a_process_makes_of_its_end_is_its_own)
{
    const struct table_record *record =
        time_out("trap 'exit 9' TERM; echo; while :; do sleep 0.01; done", 10000);
    ck_assert(record->timed_out);
    ck_assert_int_eq(record->exit.code, CLD_EXITED);
    ck_assert_int_eq(record->exit.status, 9);
}
END_TEST

START_TEST(without_a_deadline_there_is_no_timer)
{
    struct process *process = start("exec sleep 60", 0, 10, -1);
    struct table_record *record = process->record;
    ck_assert_uint_eq(record->timeout_at | record->kill_at | record->drain_at, 0);
}
END_TEST

/* Drain */

START_TEST(outputs_that_others_hold_are_given_up_after_the_drain)
{
    struct puppet puppet = puppet_with_drain(30);
    struct witness witness;
    witness_watch(&witness, puppet.process);
    puppet_say(&puppet, 0, "abc");
    process_set_kill(puppet.process);
    ck_assert(puppet.process->record->outputs[0].is_open);
    PROCESS_SET_AWAIT(witness.count[PROCESS_CLOSED] == 2);
    ck_assert(puppet.process->record->outputs[0].truncated);
    ck_assert(puppet.process->record->outputs[1].truncated);
    ck_assert_uint_eq(puppet.process->record->outputs[0].ring.head, 3);
    ck_assert_uint_eq(puppet.process->record->drain_at, 0);
    ck_assert_str_eq(witness.order, "XDCC");
}
END_TEST

START_TEST(with_no_drain_time_only_what_is_there_is_read)
{
    struct puppet puppet = puppet_with_drain(0);
    ck_assert_uint_eq(puppet.process->record->drain_at, 0);
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[0].is_open);
    ck_assert(puppet.process->record->outputs[0].truncated);
}
END_TEST

START_TEST(without_a_drain_time_outputs_stay_open)
{
    struct puppet puppet = puppet_with_drain(-1);
    process_set_kill(puppet.process);
    process_set_settle(30);
    ck_assert(puppet.process->record->outputs[0].is_open);
    puppet_say(&puppet, 0, "still heard");
}
END_TEST

START_TEST(an_output_that_ended_by_itself_is_not_truncated)
{
    struct puppet puppet = puppet_with_drain(20);
    puppet_close_output(&puppet, 0);
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[1].is_open);
    ck_assert(!puppet.process->record->outputs[0].truncated);
    ck_assert(puppet.process->record->outputs[1].truncated);
}
END_TEST

START_TEST(a_full_ring_is_given_up_with_what_it_has)
{
    struct launch_options options = process_set_options(NULL);
    options.drain_ms = 20;
    options.ring_bytes = NSP_LIMIT_RING_MIN;
    options.policy = TABLE_POLICY_BLOCK;
    struct puppet puppet = process_set_puppet_of(options);
    puppet_flood(&puppet, 0, 0, 4 * NSP_LIMIT_RING_MIN);
    process_set_kill(puppet.process);
    PROCESS_SET_AWAIT(process_is_drained(puppet.process));
    ck_assert(puppet.process->record->outputs[0].truncated);
    ck_assert_uint_eq(puppet.process->record->outputs[0].ring.head, NSP_LIMIT_RING_MIN);
}
END_TEST

START_TEST(a_drain_that_the_dead_agent_had_begun_is_ended)
{
    struct puppet puppet = puppet_with_drain(40);
    process_set_kill(puppet.process);
    ck_assert_uint_ne(puppet.process->record->drain_at, 0);
    puppet_restart(&puppet);
    PROCESS_SET_AWAIT(!puppet.process->record->outputs[0].is_open);
    ck_assert(puppet.process->record->outputs[0].truncated);
}
END_TEST

/* Launch and places */

START_TEST(a_launch_without_an_outcome_is_given_up)
{
    struct process *process = start("exec sleep 60", 0, 10, -1);
    struct witness witness;
    witness_watch(&witness, process);
    process->record->state = TABLE_STARTING;
    process->record->started_ns = clock_now_ns() - NSP_LIMIT_SPAWN_TIME * CLOCK_NS_PER_MS;
    deadlines_arm(process);
    PROCESS_SET_AWAIT(witness.count[PROCESS_FORGOTTEN] == 1);
    ck_assert_int_eq(witness.order[0], 'F');
    ck_assert_uint_eq(witness.count[PROCESS_STARTED], 0);
}
END_TEST

START_TEST(the_earliest_of_several_deadlines_comes_first)
{
    const struct reader_options options = {
        .follow = true, .lossless = true, .is_named = true, .hold_ms = 20};
    struct process *process = start("exec sleep 60", 300, 10000, -1);
    struct reader reader;
    ck_assert_int_eq(reader_attach(&reader, process, &options, on_superseded, NULL, NULL), 0);
    reader_detach(&reader, true);
    ck_assert_uint_eq(reader_count(process), 1);
    PROCESS_SET_AWAIT(reader_count(process) == 0);
    ck_assert(!process_is_exited(process));
    ck_assert(await_exit(process)->timed_out);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("deadlines");
    PROCESS_SET_CASE(result, "timeout", a_timeout_asks_to_end, a_timeout_asks_the_whole_group,
                     who_ignores_it_is_killed_after_the_grace, who_exits_in_time_has_not_timed_out,
                     what_a_process_makes_of_its_end_is_its_own,
                     without_a_deadline_there_is_no_timer);
    PROCESS_SET_CASE(
        result, "drain", outputs_that_others_hold_are_given_up_after_the_drain,
        with_no_drain_time_only_what_is_there_is_read, without_a_drain_time_outputs_stay_open,
        an_output_that_ended_by_itself_is_not_truncated, a_full_ring_is_given_up_with_what_it_has,
        a_drain_that_the_dead_agent_had_begun_is_ended);
    PROCESS_SET_CASE(result, "others", a_launch_without_an_outcome_is_given_up,
                     the_earliest_of_several_deadlines_comes_first);
    return result;
}

UNIT_MAIN(suite)
