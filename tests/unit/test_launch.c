/* Launching: what a process gets, every reason for which none is started, and that none of them
 * leaves anything behind. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

enum { RING = NSP_LIMIT_RING_MIN };

static struct nsp_error failure;

static struct launch_options options_of(const char *const *argv)
{
    failure = NSP_ERROR_INIT;
    return process_set_options((char *const *)argv);
}

static const char *const sleeper[] = {"sleep", "60", NULL};
static const char *const nothing[] = {"true", NULL};

static int start(const struct launch_options *options, struct process **ret_process)
{
    bool is_repeated;
    return launch_start(process_set.set, options, ret_process, &is_repeated, &failure);
}

static const char *output_of(const struct process *process, unsigned output)
{
    static char text[4096];
    const struct ring_state *ring = &process->record->outputs[output].ring;
    ck_assert_uint_lt(ring->head, sizeof text);
    memcpy(text, process->region.rings[output], ring->head);
    text[ring->head] = '\0';
    return text;
}

static struct process *run(const char *script)
{
    struct process *process = process_set_shell(script);
    PROCESS_SET_AWAIT(process_is_drained(process));
    return process;
}

/* What is there before and after something that must leave nothing behind. */
struct balance {
    unsigned descriptors, stored;
    struct processes_stats stats;
};

static struct balance take_balance(void)
{
    struct balance balance;
    /* Drops are told with a delay, also the last ones of the test's own preparation. */
    process_set_settle(15);
    balance.descriptors = process_set_descriptors();
    balance.stored = process_set_stored();
    processes_stats(process_set.set, &balance.stats);
    return balance;
}

static void assert_balanced(const struct balance *before)
{
    PROCESS_SET_AWAIT(process_set_stored() == before->stored);
    struct balance now = take_balance();
    ck_assert_uint_eq(now.descriptors, before->descriptors);
    ck_assert_uint_eq(now.stats.running, before->stats.running);
    ck_assert_uint_eq(now.stats.exited, before->stats.exited);
    ck_assert_uint_eq(now.stats.ring_bytes, before->stats.ring_bytes);
    ck_assert_int_eq(processes_table(process_set.set)->records[before->stats.running].state,
                     TABLE_FREE);
}

static void assert_refused(const struct launch_options *options, enum nsp_error_code code,
                           const char *object)
{
    struct balance before = take_balance();
    struct process *process = NULL;
    ck_assert_int_eq(start(options, &process), -1);
    ck_assert_str_eq(nsp_error_name(failure.code), nsp_error_name(code));
    ck_assert_str_eq(failure.object, object);
    ck_assert_ptr_null(process);
    assert_balanced(&before);
}

/* Success */

START_TEST(it_runs_and_tells_what_is_known)
{
    const char *const argv[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    struct launch_options options = options_of(argv);
    struct process *process = NULL;
    struct witness witness;
    options.id = "job.1";
    options.cwd = "/";
    ck_assert_int_eq(start(&options, &process), 0);
    witness_watch(&witness, process);
    ck_assert_int_eq(process->record->state, TABLE_STARTING);
    ck_assert_ptr_eq(processes_find(process_set.set, "job.1"), process);
    PROCESS_SET_AWAIT(process_is_drained(process) && witness.count[PROCESS_CLOSED] == 2);
    ck_assert_uint_eq(strlen(witness.order), strlen("SXDCC"));
    ck_assert(strchr(witness.order, 'S') < strchr(witness.order, 'X'));
    const struct table_record *record = process->record;
    ck_assert_int_eq(record->exit.code, CLD_EXITED);
    ck_assert_int_eq(record->exit.status, 3);
    ck_assert_int_gt(record->pid, 0);
    ck_assert_int_eq(record->exit.pid, record->pid);
    ck_assert_str_eq(output_of(process, 0), "out\n");
    ck_assert_str_eq(output_of(process, 1), "err\n");
    ck_assert_uint_eq(record->argv_length, sizeof "sh -c echo out; echo err >&2; exit 3");
    ck_assert_str_eq(record->argv + 3, "-c");
    ck_assert_mem_eq(record->cwd, "/", record->cwd_length);
    ck_assert_uint_le(record->started_ns, record->exit.exited_ns);
}
END_TEST

START_TEST(without_an_id_it_gets_one)
{
    struct launch_options options = options_of(sleeper);
    options.id = "";
    struct process *first = process_set_launch(&options), *second = process_set_launch(&options);
    ck_assert_uint_ge(strlen(first->record->id), 16);
    ck_assert_str_ne(first->record->id, second->record->id);
    ck_assert_ptr_eq(processes_find(process_set.set, second->record->id), second);
}
END_TEST

START_TEST(directory_umask_environment_and_limits_are_its_own)
{
    char one[] = "ONE=1", path[] = "PATH=/usr/bin:/bin";
    char *const environment[] = {one, path, NULL};
    const struct spawn_rlimit limit = {RLIMIT_CORE, {0, 0}};
    const char *const argv[] = {"sh", "-c", "pwd; umask; ulimit -c; echo $ONE", NULL};
    struct launch_options options = options_of(argv);
    options.environment = environment;
    options.cwd = "/usr";
    options.has_umask = true;
    options.umask = 027;
    options.rlimits = &limit;
    options.rlimit_count = 1;
    struct process *process = process_set_launch(&options);
    PROCESS_SET_AWAIT(process_is_drained(process));
    ck_assert_str_eq(output_of(process, 0), "/usr\n0027\n0\n1\n");
}
END_TEST

START_TEST(it_has_no_descriptor_but_its_own_three)
{
    ck_assert_str_eq(output_of(run("ls /proc/self/fd | wc -l"), 0), "4\n");
}
END_TEST

START_TEST(without_input_it_reads_nothing)
{
    struct process *process = run("cat; echo end");
    ck_assert_str_eq(output_of(process, 0), "end\n");
    ck_assert_int_eq(process->record->input, TABLE_INPUT_NULL);
}
END_TEST

START_TEST(merged_output_is_in_the_order_of_writing)
{
    const char *const argv[] = {"sh", "-c", "echo 1; echo 2 >&2; echo 3", NULL};
    struct launch_options options = options_of(argv);
    options.merge = true;
    struct process *process = process_set_launch(&options);
    PROCESS_SET_AWAIT(process_is_drained(process));
    ck_assert_str_eq(output_of(process, 0), "1\n2\n3\n");
    ck_assert_int_eq(process->outputs[1].fd, -1);
    ck_assert(!process->record->outputs[1].is_open);
}
END_TEST

START_TEST(the_ring_size_is_rounded_up_to_a_power_of_two)
{
    static const uint64_t wanted[][2] = {{0, NSP_LIMIT_RING_DEFAULT},
                                         {1, RING},
                                         {RING + 1, 2 * RING},
                                         {NSP_LIMIT_RING_MAX, NSP_LIMIT_RING_MAX}};
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct launch_options options = options_of(nothing);
        options.ring_bytes = wanted[i][0];
        ck_assert_uint_eq(process_set_launch(&options)->record->outputs[1].ring.size_max,
                          wanted[i][1]);
    }
}
END_TEST

START_TEST(long_arguments_are_cut_in_the_record_only)
{
    char word[1000];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    const char *const argv[] = {"sh", "-c", "echo ${#1}", "sh", word, NULL};
    struct launch_options options = options_of(argv);
    options.cwd = "/";
    struct process *process = process_set_launch(&options);
    PROCESS_SET_AWAIT(process_is_drained(process));
    ck_assert_str_eq(output_of(process, 0), "999\n");
    ck_assert(process->record->argv_cut);
    ck_assert_uint_eq(process->record->argv_length, sizeof process->record->argv);
    ck_assert(table_record_valid(process->record));
}
END_TEST

START_TEST(its_descriptors_are_in_the_store_while_they_are_needed)
{
    struct launch_options options = options_of(sleeper);
    options.input = true;
    struct process *process = process_set_launch(&options);
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDIN), 1);
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDOUT), 1);
    ck_assert_uint_eq(process_set_stored_of(STOREWIRE_STDERR), 1);
    PROCESS_SET_AWAIT(process_set_stored_of(STOREWIRE_STATUS) == 0);
    process_set_kill(process);
    PROCESS_SET_AWAIT(process_set_stored() == STOREWIRE_LISTENER);
}
END_TEST

START_TEST(the_pid_is_known_however_late_we_look)
{
    struct launch_options options = options_of(nothing);
    struct process *processes[3];
    const struct exitlog *log = processes_exitlog(process_set.set);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(start(&options, &processes[i]), 0);
    for (int i = 0; i < 3; i++)
        for (int n = 0; n < PROCESS_SET_TURNS && !exitlog_is_pending(log, processes[i]->slot); n++)
            usleep(1000);
    for (int i = 2; i >= 0; i--)
        launch_check(processes[i]);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(processes[i]->record->state, TABLE_RUNNING);
        ck_assert_int_gt(processes[i]->record->pid, 0);
    }
    PROCESS_SET_AWAIT(process_is_exited(processes[0]) && process_is_exited(processes[2]));
    ck_assert_int_eq(processes[2]->record->pid, processes[2]->record->exit.pid);
}
END_TEST

/* Ids and keys */

START_TEST(a_repeated_key_is_the_same_process)
{
    struct launch_options options = options_of(sleeper);
    struct process *again = NULL;
    bool is_repeated = false;
    options.key = "k";
    struct process *process = process_set_launch(&options);
    options.id = "another";
    ck_assert_int_eq(launch_start(process_set.set, &options, &again, &is_repeated, NULL), 0);
    ck_assert(is_repeated);
    ck_assert_ptr_eq(again, process);
    process_set_kill(process);
    ck_assert_int_eq(launch_start(process_set.set, &options, &again, &is_repeated, NULL), 0);
    ck_assert(is_repeated);
    ck_assert_int_eq(process_forget(process, NULL), 0);
    ck_assert_str_eq(process_set_launch(&options)->record->id, "another");
}
END_TEST

START_TEST(an_id_that_is_kept_is_refused)
{
    struct launch_options options = options_of(nothing);
    options.id = "job";
    struct process *process = process_set_launch(&options);
    PROCESS_SET_AWAIT(process_is_drained(process));
    struct process *second = NULL;
    ck_assert_int_eq(start(&options, &second), -1);
    ck_assert_int_eq(failure.code, NSP_E_ALREADY_EXISTS);
    ck_assert_str_eq(failure.object, "job");
    ck_assert_int_eq(process_forget(process, NULL), 0);
    ck_assert_int_eq(start(&options, &second), 0);
}
END_TEST

START_TEST(ids_and_keys_have_their_spelling)
{
    static const char *const wrong[] = {
        "a b", "a/b", "\xc3\xa4", "a\n",
        "12345678901234567890123456789012345678901234567890123456789012345"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct launch_options options = options_of(nothing);
        options.id = wrong[i];
        assert_refused(&options, NSP_E_INVALID_PARAMS, "id");
        options.id = NULL;
        options.key = wrong[i];
        assert_refused(&options, NSP_E_INVALID_PARAMS, "key");
    }
    struct launch_options options = options_of(nothing);
    options.id = options.key = "1234567890123456789012345678901234567890123456789012345678901.-_";
    ck_assert_str_eq(process_set_launch(&options)->record->id, options.id);
}
END_TEST

/* Refusals */

START_TEST(arguments_beyond_the_limit_are_refused)
{
    static char word[NSP_LIMIT_ARGUMENT_BYTES + 1];
    const char *const argv[] = {"true", word, NULL};
    struct launch_options options = options_of(argv);
    memset(word, 'x', sizeof word - 1);
    assert_refused(&options, NSP_E_EXHAUSTED, "argument_bytes");
}
END_TEST

START_TEST(without_memory_for_its_rings_it_is_refused)
{
    process_set.ring_budget = RING;
    process_set_restart();
    struct launch_options options = options_of(nothing);
    assert_refused(&options, NSP_E_EXHAUSTED, "rings");
    options.merge = true;
    process_set_launch(&options);
}
END_TEST

static void limit_descriptors(unsigned left)
{
    struct rlimit limit;
    int next = dup(0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)next + left;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(without_descriptors_it_is_refused_at_every_step)
{
    struct rlimit before;
    unsigned refusals = 0;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct launch_options options = options_of(nothing);
    options.input = true;
    /* Its pipes, and those of the status and of what spawning needs. */
    for (unsigned left = 0; left < 16; left++) {
        struct balance balance = take_balance();
        struct process *process = NULL;
        limit_descriptors(left);
        int result = start(&options, &process);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (result == 0) {
            PROCESS_SET_AWAIT(process_is_exited(process));
            break;
        }
        refusals++;
        /* The last one is the pidfd, which comes with the clone itself. */
        ck_assert(failure.code == NSP_E_EXHAUSTED || failure.code == NSP_E_SPAWN);
        ck_assert_int_eq(failure.sys_errno, EMFILE);
        assert_balanced(&balance);
    }
    ck_assert_uint_ge(refusals, 6);
}
END_TEST

START_TEST(with_all_slots_taken_it_is_refused)
{
    /* As many running ones as there may be, in the books only. */
    struct process *process = NULL;
    for (unsigned i = 0; i < NSP_LIMIT_PROCESSES; i++) {
        char id[16];
        snprintf(id, sizeof id, "p%u", i);
        ck_assert_int_eq(processes_allocate(process_set.set, id, "", &process, NULL), 0);
        process->record->merged = true;
    }
    struct launch_options options = options_of(nothing);
    ck_assert_int_eq(start(&options, &process), -1);
    ck_assert_int_eq(failure.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(failure.object, "processes");
}
END_TEST

/* Failures that come later */

/* Its pipes may be seen to end in between. */
static void assert_failed_and_forgotten(const struct witness *witness)
{
    ck_assert_int_eq(witness->order[0], 'F');
    ck_assert_int_eq(witness->order[strlen(witness->order) - 1], 'G');
    ck_assert_uint_eq(witness->count[PROCESS_STARTED], 0);
    ck_assert_uint_eq(witness->count[PROCESS_EXITED], 0);
    ck_assert_uint_eq(witness->count[PROCESS_FAILED], 1);
}

static void assert_fails(const struct launch_options *options, const char *op, int sys_errno)
{
    struct balance before = take_balance();
    struct process *process = NULL;
    struct witness witness;
    ck_assert_int_eq(start(options, &process), 0);
    witness_watch(&witness, process);
    PROCESS_SET_AWAIT(witness.count[PROCESS_FAILED] > 0 || witness.count[PROCESS_FORGOTTEN] > 0);
    if (witness.count[PROCESS_FORGOTTEN] == 0) {
        ck_assert_int_eq(process->failure.code, NSP_E_SPAWN);
        ck_assert_str_eq(process->failure.op, op);
        ck_assert_int_eq(process->failure.sys_errno, sys_errno);
        PROCESS_SET_AWAIT(witness.count[PROCESS_FORGOTTEN] == 1);
    }
    assert_failed_and_forgotten(&witness);
    assert_balanced(&before);
}

START_TEST(a_missing_program_is_told_and_leaves_nothing)
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    struct launch_options options = options_of(argv);
    options.id = options.key = "job";
    options.input = true;
    assert_fails(&options, "execve", 2);
    ck_assert_ptr_null(processes_find(process_set.set, "job"));
    ck_assert_ptr_null(processes_find_key(process_set.set, "job"));
    struct processes_stats stats;
    processes_stats(process_set.set, &stats);
    ck_assert_uint_eq(stats.failed, 1);
    options.argv = (char *const *)nothing;
    options.argc = 1;
    ck_assert_uint_eq(process_set_launch(&options)->slot, 0);
}
END_TEST

START_TEST(a_missing_directory_is_told)
{
    struct launch_options options = options_of(nothing);
    options.cwd = "/nonexistent";
    assert_fails(&options, "chdir", 2);
}
END_TEST

START_TEST(a_failed_start_is_not_listed_and_not_found)
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    struct launch_options options = options_of(argv);
    struct process *process = NULL;
    unsigned cursor = 0;
    options.id = "job";
    ck_assert_int_eq(start(&options, &process), 0);
    struct nsp_error err = NSP_ERROR_INIT;
    nsp_fail(&err, NSP_E_SPAWN, "not this time");
    process_fail(process, &err);
    ck_assert_ptr_null(processes_next(process_set.set, &cursor));
    ck_assert_ptr_null(processes_find(process_set.set, "job"));
    ck_assert_uint_eq(processes_running(process_set.set), 1);
    PROCESS_SET_AWAIT(processes_running(process_set.set) == 0);
}
END_TEST

START_TEST(a_launch_that_takes_too_long_is_killed_and_told)
{
    struct launch_options options = options_of(sleeper);
    struct process *process = NULL;
    struct witness witness;
    ck_assert_int_eq(start(&options, &process), 0);
    witness_watch(&witness, process);
    launch_expire(process);
    ck_assert_int_eq(process->failure.code, NSP_E_DEADLINE);
    ck_assert_str_eq(witness.order, "F");
    PROCESS_SET_AWAIT(witness.count[PROCESS_FORGOTTEN] == 1);
    assert_failed_and_forgotten(&witness);
}
END_TEST

START_TEST(starts_and_failures_are_counted)
{
    struct processes_stats stats;
    run("exit 0");
    run("exit 1");
    processes_stats(process_set.set, &stats);
    ck_assert_uint_eq(stats.started, 2);
    ck_assert_uint_eq(stats.failed, 0);
    ck_assert_uint_eq(stats.exited, 2);
    ck_assert_uint_eq(stats.running, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("launch");
    PROCESS_SET_CASE(
        result, "start", it_runs_and_tells_what_is_known, without_an_id_it_gets_one,
        directory_umask_environment_and_limits_are_its_own, it_has_no_descriptor_but_its_own_three,
        without_input_it_reads_nothing, merged_output_is_in_the_order_of_writing,
        the_ring_size_is_rounded_up_to_a_power_of_two, long_arguments_are_cut_in_the_record_only,
        its_descriptors_are_in_the_store_while_they_are_needed,
        the_pid_is_known_however_late_we_look);
    PROCESS_SET_CASE(result, "names", a_repeated_key_is_the_same_process,
                     an_id_that_is_kept_is_refused, ids_and_keys_have_their_spelling);
    PROCESS_SET_CASE(result, "refusals", arguments_beyond_the_limit_are_refused,
                     without_memory_for_its_rings_it_is_refused,
                     without_descriptors_it_is_refused_at_every_step,
                     with_all_slots_taken_it_is_refused);
    PROCESS_SET_CASE(result, "failures", a_missing_program_is_told_and_leaves_nothing,
                     a_missing_directory_is_told, a_failed_start_is_not_listed_and_not_found,
                     a_launch_that_takes_too_long_is_killed_and_told,
                     starts_and_failures_are_counted);
    return result;
}

UNIT_MAIN(suite)
