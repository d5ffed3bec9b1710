/* Signals to the leader, its group and its tree, before and after the exit. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/process/signals.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

static struct nsp_error failure;

static unsigned send_signal(struct process *process, int number, enum signals_scope scope)
{
    unsigned sent = 99;
    failure = NSP_ERROR_INIT;
    int result = signals_send(process, number, scope, &sent, &failure);
    ck_assert_msg(result == 0, "%s", failure.msg);
    return sent;
}

static const char *output_of(const struct process *process)
{
    static char text[256];
    const struct ring_state *ring = &process->record->outputs[0].ring;
    ck_assert_uint_lt(ring->head, sizeof text);
    memcpy(text, process->region.rings[0], ring->head);
    text[ring->head] = '\0';
    return text;
}

static void await_output(const struct process *process, const char *text)
{
    PROCESS_SET_AWAIT(strstr(output_of(process), text));
}

/* The pid that the script has written to its output. */
static pid_t await_pid(const struct process *process)
{
    await_output(process, "\n");
    pid_t pid = (pid_t)atoi(output_of(process));
    ck_assert_int_gt(pid, 1);
    return pid;
}

/* Exited, reaped or not: orphans of a test are reaped by whoever comes first above it. */
static bool is_gone(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return true;
    const char *line = fgets(text, sizeof text, file);
    fclose(file);
    return !line || strstr(text, ") Z ") || strstr(text, ") X ");
}

static const struct table_record *await_exit(const struct process *process)
{
    PROCESS_SET_AWAIT(process_is_exited(process));
    return process->record;
}

/* A shell that starts a sleep in its group, tells its pid and waits. */
static const char family[] = "sleep 60 & echo $!; wait";
/* The same, with the child in a session of its own. */
static const char split_family[] = "setsid sh -c 'echo $$; exec sleep 60' & wait";

/* The leader */

START_TEST(the_leader_gets_it)
{
    struct process *process = process_set_shell("exec sleep 60");
    ck_assert_uint_eq(send_signal(process, SIGUSR1, SIGNALS_LEADER), 1);
    ck_assert_int_eq(await_exit(process)->exit.status, SIGUSR1);
    ck_assert_int_eq(process->record->exit.code, CLD_KILLED);
}
END_TEST

START_TEST(without_a_pidfd_the_leader_gets_it_too)
{
    struct process *process = process_set_shell("exec sleep 60");
    close(process->pidfd);
    process->pidfd = -1;
    ck_assert_uint_eq(send_signal(process, SIGUSR1, SIGNALS_LEADER), 1);
    ck_assert_int_eq(await_exit(process)->exit.status, SIGUSR1);
}
END_TEST

START_TEST(only_the_leader_gets_it)
{
    struct process *process = process_set_shell(family);
    pid_t child = await_pid(process);
    ck_assert_uint_eq(send_signal(process, SIGKILL, SIGNALS_LEADER), 1);
    await_exit(process);
    ck_assert(!is_gone(child));
    kill(child, SIGKILL);
}
END_TEST

START_TEST(after_the_exit_there_is_no_leader)
{
    struct process *process = process_set_shell("exit 0");
    await_exit(process);
    ck_assert_uint_eq(send_signal(process, SIGKILL, SIGNALS_LEADER), 0);
    /* Its group has it as a zombie until the supervisor has reaped it. */
    PROCESS_SET_AWAIT(send_signal(process, SIGKILL, SIGNALS_GROUP) == 0);
    PROCESS_SET_AWAIT(send_signal(process, SIGKILL, SIGNALS_TREE) == 0);
}
END_TEST

START_TEST(an_exit_that_is_not_read_yet_is_an_exit)
{
    struct process *process = process_set_shell("exec sleep 60");
    const struct exitlog *log = processes_exitlog(process_set.set);
    kill(process->record->pid, SIGKILL);
    for (int i = 0; i < PROCESS_SET_TURNS && !exitlog_is_pending(log, process->slot); i++)
        usleep(1000);
    ck_assert(!process_is_exited(process));
    ck_assert_uint_eq(send_signal(process, SIGUSR1, SIGNALS_LEADER), 0);
    ck_assert_uint_eq(send_signal(process, SIGUSR1, SIGNALS_GROUP), 0);
}
END_TEST

/* Signal 0, since in the place of nobody it would be ourselves. */
START_TEST(without_a_pid_nobody_gets_it)
{
    struct process *process = process_set_shell("exec sleep 60");
    const struct exitlog *log = processes_exitlog(process_set.set);
    kill(process->record->pid, SIGKILL);
    for (int i = 0; i < PROCESS_SET_TURNS && !exitlog_is_pending(log, process->slot); i++)
        usleep(1000);
    close(process->pidfd);
    process->pidfd = -1;
    process->record->state = TABLE_STARTING;
    process->record->pid = 0;
    process->record->generation += 7;
    ck_assert_uint_eq(send_signal(process, 0, SIGNALS_LEADER), 0);
    ck_assert_uint_eq(send_signal(process, 0, SIGNALS_GROUP), 0);
    ck_assert_uint_eq(send_signal(process, 0, SIGNALS_TREE), 0);
    process->record->generation -= 7;
    process->record->state = TABLE_RUNNING;
}
END_TEST

START_TEST(what_the_kernel_refuses_is_an_error)
{
    unsigned sent = 99;
    struct process *process = process_set_shell("exec sleep 60");
    ck_assert_int_eq(signals_send(process, 9999, SIGNALS_LEADER, &sent, &failure), -1);
    ck_assert_int_eq(failure.code, NSP_E_SYSTEM);
    ck_assert_str_eq(failure.object, process->record->id);
    ck_assert_int_eq(signals_send(process, 9999, SIGNALS_GROUP, &sent, &failure), -1);
    ck_assert_str_eq(failure.op, "kill");
    ck_assert_int_eq(signals_send(process, 9999, SIGNALS_TREE, &sent, &failure), -1);
    ck_assert_uint_eq(sent, 99);
}
END_TEST

/* Group and tree */

START_TEST(the_group_gets_it)
{
    struct process *process = process_set_shell(family);
    pid_t child = await_pid(process);
    ck_assert_uint_eq(send_signal(process, SIGKILL, SIGNALS_GROUP), 1);
    await_exit(process);
    PROCESS_SET_AWAIT(is_gone(child));
}
END_TEST

START_TEST(a_group_outlives_its_leader)
{
    struct process *process = process_set_shell("sleep 60 & echo $!");
    pid_t child = await_pid(process);
    await_exit(process);
    ck_assert_uint_eq(send_signal(process, SIGKILL, SIGNALS_GROUP), 1);
    PROCESS_SET_AWAIT(is_gone(child));
    PROCESS_SET_AWAIT(send_signal(process, SIGKILL, SIGNALS_GROUP) == 0);
}
END_TEST

START_TEST(a_group_does_not_hold_who_has_left_it)
{
    struct process *process = process_set_shell(split_family);
    pid_t child = await_pid(process);
    send_signal(process, SIGKILL, SIGNALS_GROUP);
    await_exit(process);
    ck_assert(!is_gone(child));
    kill(child, SIGKILL);
}
END_TEST

START_TEST(the_tree_holds_them_too)
{
    struct process *process = process_set_shell(split_family);
    pid_t child = await_pid(process);
    ck_assert_uint_ge(send_signal(process, SIGKILL, SIGNALS_TREE), 2);
    await_exit(process);
    PROCESS_SET_AWAIT(is_gone(child));
}
END_TEST

START_TEST(a_tree_that_was_asked_to_end_is_killed_though_its_ties_are_cut)
{
    struct process *process =
        process_set_shell("setsid sh -c \"trap '' TERM; echo \\$\\$; exec sleep 60\" & wait");
    pid_t child = await_pid(process);
    ck_assert_int_eq(signals_kill(process, SIGTERM, SIGNALS_TREE, 250, &failure), 0);
    await_exit(process);
    ck_assert(!is_gone(child));
    PROCESS_SET_AWAIT(is_gone(child));
}
END_TEST

/* Signal, grace, KILL */

START_TEST(who_ends_in_time_is_not_killed)
{
    struct process *process =
        process_set_shell("trap 'exit 7' TERM; echo; while :; do read x; done");
    await_output(process, "\n");
    ck_assert_int_eq(signals_kill(process, SIGTERM, SIGNALS_LEADER, 5000, &failure), 0);
    ck_assert_int_eq(await_exit(process)->exit.status, 7);
}
END_TEST

START_TEST(who_does_not_end_is_killed_after_the_grace)
{
    struct process *process = process_set_shell("trap '' TERM; echo; while :; do sleep 0.01; done");
    await_output(process, "\n");
    ck_assert_int_eq(signals_kill(process, SIGTERM, SIGNALS_GROUP, 30, &failure), 0);
    ck_assert_int_ne(process->record->kill_at, 0);
    ck_assert_int_eq(await_exit(process)->exit.status, SIGKILL);
    PROCESS_SET_AWAIT(process->record->kill_at == 0);
}
END_TEST

START_TEST(kill_needs_no_grace)
{
    struct process *process = process_set_shell("exec sleep 60");
    ck_assert_int_eq(signals_kill(process, SIGKILL, SIGNALS_GROUP, 60000, &failure), 0);
    ck_assert_uint_eq(process->record->kill_at, 0);
    ck_assert_int_eq(await_exit(process)->exit.status, SIGKILL);
}
END_TEST

START_TEST(the_earlier_kill_and_the_wider_scope_prevail)
{
    struct process *process = process_set_shell("exec sleep 60");
    struct table_record *record = process->record;
    signals_kill(process, SIGCONT, SIGNALS_GROUP, 60000, &failure);
    uint64_t first = record->kill_at;
    ck_assert_uint_gt(first, 0);
    ck_assert_int_eq(record->kill_scope, SIGNALS_GROUP);
    signals_kill(process, SIGCONT, SIGNALS_LEADER, 90000, &failure);
    ck_assert_uint_eq(record->kill_at, first);
    ck_assert_int_eq(record->kill_scope, SIGNALS_GROUP);
    signals_kill(process, SIGCONT, SIGNALS_TREE, 30000, &failure);
    ck_assert_uint_lt(record->kill_at, first);
    ck_assert_int_eq(record->kill_scope, SIGNALS_TREE);
    signals_kill(process, SIGCONT, SIGNALS_LEADER, 10, &failure);
    ck_assert_int_eq(await_exit(process)->exit.status, SIGKILL);
}
END_TEST

START_TEST(a_signal_that_could_not_be_sent_leaves_no_kill)
{
    struct process *process = process_set_shell("exec sleep 60");
    ck_assert_int_eq(signals_kill(process, 9999, SIGNALS_GROUP, 10, &failure), -1);
    ck_assert_uint_eq(process->record->kill_at, 0);
    process_set_kill(process);
    ck_assert_int_eq(signals_kill(process, SIGTERM, SIGNALS_GROUP, 10, &failure), 0);
    ck_assert_uint_eq(process->record->kill_at, 0);
}
END_TEST

START_TEST(a_kill_that_the_dead_agent_had_promised_is_done)
{
    struct launch_options options = process_set_options(NULL);
    struct puppet puppet = process_set_puppet_of(options);
    ck_assert_int_eq(signals_kill(puppet.process, SIGCONT, SIGNALS_GROUP, 20, &failure), 0);
    puppet_restart(&puppet);
    ck_assert_int_eq(await_exit(puppet.process)->exit.status, SIGKILL);
    ck_assert(!puppet.process->record->timed_out);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("signals");
    PROCESS_SET_CASE(result, "leader", the_leader_gets_it, without_a_pidfd_the_leader_gets_it_too,
                     only_the_leader_gets_it, after_the_exit_there_is_no_leader,
                     an_exit_that_is_not_read_yet_is_an_exit, without_a_pid_nobody_gets_it,
                     what_the_kernel_refuses_is_an_error);
    PROCESS_SET_CASE(result, "group", the_group_gets_it, a_group_outlives_its_leader,
                     a_group_does_not_hold_who_has_left_it, the_tree_holds_them_too,
                     a_tree_that_was_asked_to_end_is_killed_though_its_ties_are_cut);
    PROCESS_SET_CASE(result, "kill", who_ends_in_time_is_not_killed,
                     who_does_not_end_is_killed_after_the_grace, kill_needs_no_grace,
                     the_earlier_kill_and_the_wider_scope_prevail,
                     a_signal_that_could_not_be_sent_leaves_no_kill,
                     a_kill_that_the_dead_agent_had_promised_is_done);
    return result;
}

UNIT_MAIN(suite)
