/* A supervisor in a process of its own, whose agent is this program again: scripted_agent.h. */
#include "init/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/handover/bootreport.h"
#include "tests/support/scripted_agent.h"
#include "tests/support/unit.h"

enum { PATIENCE_MS = 20000 };

static char path[64]; /* of the report */
static int log_fd;    /* what the supervisor says */
static struct scripted_report *report;
static pid_t supervisor;

static void make_report(void)
{
    snprintf(path, sizeof path, "/tmp/test_supervisor.%d", (int)getpid());
    unlink(path);
    report = scripted_agent_report(path);
    ck_assert_ptr_nonnull(report);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_ge(log_fd, 0);
}

static void remove_report(void)
{
    close(log_fd);
    unlink(path);
}

static bool is_logged(const char *text)
{
    char log[65536];
    ssize_t length = pread(log_fd, log, sizeof log, 0);
    ck_assert_int_ge(length, 0);
    return memmem(log, (size_t)length, text, strlen(text)) != NULL;
}

static void start_with(const char *script, int number, struct supervisor_options options)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    char *const argv[] = {"nullspace-agent", "agent", (char *)script, path, text, NULL};
    options.argv = argv;
    options.binary_fd = -1;
    if (options.boot_fd == 0)
        options.boot_fd = -1;
    supervisor = fork();
    ck_assert_int_ge(supervisor, 0);
    if (supervisor == 0) {
        log_init("supervisor", LOG_INFO);
        dup2(log_fd, STDERR_FILENO);
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        _exit(supervisor_run(&options));
    }
}

static void start(const char *script, int number)
{
    start_with(
        script, number,
        (struct supervisor_options){.agent_ms = 2000, .grace_ms = 300, .restart_max_ms = 80});
}

static void await_ready(void)
{
    for (int i = 0; i < PATIENCE_MS && !report->ready; i++)
        usleep(1000);
    ck_assert_msg(report->ready, "not ready after %u starts; %s", report->starts, report->wrong);
}

/* Exit status of the supervisor. */
static int await_end(void)
{
    siginfo_t info = {0};
    for (int i = 0; i < PATIENCE_MS && info.si_pid == 0; i++) {
        ck_assert_int_eq(waitid(P_PID, (id_t)supervisor, &info, WEXITED | WNOHANG), 0);
        if (info.si_pid == 0)
            usleep(1000);
    }
    if (info.si_pid == 0)
        kill(supervisor, SIGKILL);
    ck_assert_int_eq(info.si_pid, supervisor);
    ck_assert_int_eq(info.si_code, CLD_EXITED);
    ck_assert_str_eq(report->wrong, "");
    return info.si_status;
}

static void stop_in_order(void)
{
    await_ready();
    kill(supervisor, SIGTERM);
    ck_assert_int_eq(await_end(), 0);
    ck_assert_uint_eq(report->shutdowns, 1);
    ck_assert_uint_eq(report->ends, 1);
}

static bool exists(pid_t pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

static unsigned open_fds(pid_t pid)
{
    char directory[64];
    unsigned count = 0;
    snprintf(directory, sizeof directory, "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(directory);
    ck_assert_ptr_nonnull(fds);
    while (readdir(fds))
        count++;
    closedir(fds);
    return count;
}

static long wake_ups(pid_t pid)
{
    char name[64], line[256];
    long count = -1;
    snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
    FILE *status = fopen(name, "r");
    ck_assert_ptr_nonnull(status);
    while (count < 0 && fgets(line, sizeof line, status))
        sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    fclose(status);
    return count;
}

START_TEST(it_starts_the_agent_and_stops_it_in_order)
{
    start("obey", 0);
    stop_in_order();
    ck_assert_uint_eq(report->starts, 1);
    ck_assert_uint_eq(report->end_ms, 2000);
    ck_assert(!exists(report->agents[0]));
}
END_TEST

START_TEST(the_agent_inherits_just_what_it_should)
{
    struct rlimit files = {512, 0}, before;
    getrlimit(RLIMIT_NOFILE, &before);
    files.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    for (int fd = 20; fd < 30; fd++)
        dup2(1, fd);
    struct bootreport *boot;
    struct nsp_error err;
    struct supervisor_options options = {.agent_ms = 2000, .grace_ms = 300, .restart_max_ms = 80};
    ck_assert_int_eq(bootreport_create(&boot, &options.boot_fd, &err), 0);
    bootreport_end(bootreport_begin(boot, SCRIPTED_STEP, false), BOOTREPORT_DONE, NULL, NULL);
    start_with("inspect", 0, options);
    stop_in_order();
    bootreport_close(boot);
    close(options.boot_fd);
}
END_TEST

START_TEST(an_idle_supervisor_does_not_wake)
{
    start("obey", 0);
    await_ready();
    long before = -1;
    for (int i = 0; i < 100 && before != wake_ups(supervisor); i++) { /* until it has settled */
        before = wake_ups(supervisor);
        usleep(100000);
    }
    usleep(500000);
    ck_assert_int_eq(wake_ups(supervisor), before);
    stop_in_order();
}
END_TEST

START_TEST(an_agent_that_refuses_to_start_ends_the_supervisor_with_its_status)
{
    start("refuse", 64);
    ck_assert_int_eq(await_end(), 64);
    ck_assert_uint_eq(report->starts, 1);
}
END_TEST

/* Between the starts of agents i and i + 1. */
static uint64_t pause_ms(int i)
{
    return (report->started_ns[i + 1] - report->started_ns[i]) / CLOCK_NS_PER_MS;
}

/* The machine may be slow, so a pause is too long only when it is much longer than it should be. */
START_TEST(an_agent_that_dies_after_it_was_ready_is_never_kept_waiting)
{
    start_with(
        "die", 20,
        (struct supervisor_options){.agent_ms = 2000, .grace_ms = 300, .restart_max_ms = 10000});
    await_ready();
    ck_assert_uint_eq(report->starts, 21);
    for (int i = 0; i < 20; i++)
        ck_assert_uint_lt(pause_ms(i), 2000);
    stop_in_order();
}
END_TEST

START_TEST(an_agent_that_never_gets_ready_is_restarted_more_and_more_slowly)
{
    static const unsigned at_least[] = {0, 0, 50, 100, 150, 150};
    start_with(
        "die-early", 6,
        (struct supervisor_options){.agent_ms = 2000, .grace_ms = 300, .restart_max_ms = 150});
    await_ready();
    ck_assert_uint_eq(report->starts, 7);
    for (int i = 0; i < 6; i++) {
        ck_assert_uint_ge(pause_ms(i), at_least[i]);
        ck_assert_uint_lt(pause_ms(i), 2000);
    }
    stop_in_order();
}
END_TEST

START_TEST(restarts_leak_neither_descriptors_nor_zombies)
{
    start("die", 40);
    for (int i = 0; i < PATIENCE_MS && report->starts < 5; i++)
        usleep(1000);
    await_ready();
    ck_assert_uint_eq(report->starts, 41);
    unsigned settled = open_fds(supervisor);
    ck_assert_uint_le(settled, 20);
    for (unsigned i = 0; i < 40; i++)
        ck_assert(!exists(report->agents[i]));
    stop_in_order();
}
END_TEST

START_TEST(an_agent_that_closes_its_socket_is_killed_and_restarted)
{
    start("close", 1);
    await_ready();
    ck_assert_uint_eq(report->starts, 2);
    ck_assert(!exists(report->agents[0]));
    stop_in_order();
}
END_TEST

START_TEST(the_next_agent_gets_all_that_was_put_and_not_dropped)
{
    start("store", 0);
    await_ready();
    ck_assert_uint_eq(report->starts, 2);
    ck_assert_uint_ge(open_fds(supervisor), SCRIPTED_STORED + 2);
    stop_in_order();
}
END_TEST

START_TEST(exits_while_there_is_no_agent_are_told_to_the_next)
{
    start("exits", 0);
    stop_in_order();
    ck_assert_uint_eq(report->starts, 2);
}
END_TEST

static void expect_no_children(void)
{
    for (unsigned i = 0; i < report->children; i++)
        ck_assert_msg(!exists(report->child_pids[i]), "child %u is alive", i);
}

START_TEST(the_agent_can_ask_for_the_end_with_a_grace_of_its_own)
{
    start_with(
        "ask", 200,
        (struct supervisor_options){.agent_ms = 2000, .grace_ms = 60000, .restart_max_ms = 80});
    ck_assert_int_eq(await_end(), 0);
    ck_assert_uint_eq(report->shutdowns, 1);
    ck_assert_uint_eq(report->ends, 1);
    ck_assert_uint_ge((report->agent_ended_ns - report->shutdown_ns) / CLOCK_NS_PER_MS, 150);
    expect_no_children();
}
END_TEST

START_TEST(the_workload_is_terminated_and_killed_after_the_grace_and_the_agent_ends_last)
{
    start("workload", 0);
    await_ready();
    uint64_t asked = clock_now_ns();
    stop_in_order();
    uint64_t took_ms = (clock_now_ns() - asked) / CLOCK_NS_PER_MS;
    ck_assert_uint_gt(report->terminated_ns, asked);
    ck_assert_uint_lt(report->terminated_ns, report->agent_ended_ns);
    ck_assert_uint_lt(report->shutdown_ns, report->agent_ended_ns);
    ck_assert_uint_ge((report->agent_ended_ns - asked) / CLOCK_NS_PER_MS, 300);
    ck_assert_uint_ge(took_ms, 300);
    ck_assert_uint_eq(report->left, 0);
    expect_no_children();
}
END_TEST

START_TEST(without_a_workload_the_grace_is_not_waited_for)
{
    start_with(
        "obey", 0,
        (struct supervisor_options){.agent_ms = 2000, .grace_ms = 60000, .restart_max_ms = 80});
    stop_in_order();
}
END_TEST

START_TEST(an_agent_that_dies_at_the_end_is_not_started_again_and_the_workload_ends)
{
    start("quit", 0);
    await_ready();
    kill(supervisor, SIGTERM);
    ck_assert_int_eq(await_end(), 0);
    ck_assert_uint_eq(report->starts, 1);
    ck_assert_uint_eq(report->ends, 0);
    ck_assert_uint_gt(report->terminated_ns, 0);
    expect_no_children();
}
END_TEST

START_TEST(after_so_many_starts_in_vain_it_gives_up)
{
    start_with("die-early", 60,
               (struct supervisor_options){
                   .agent_ms = 2000, .grace_ms = 300, .restart_max_ms = 20, .give_up_after = 5});
    ck_assert_int_eq(await_end(), 1);
    ck_assert_uint_eq(report->starts, 5);
    ck_assert(is_logged("the agent does not start"));
}
END_TEST

START_TEST(an_agent_that_got_ready_is_never_given_up)
{
    start_with("die", 20,
               (struct supervisor_options){
                   .agent_ms = 2000, .grace_ms = 300, .restart_max_ms = 20, .give_up_after = 3});
    await_ready();
    ck_assert_uint_eq(report->starts, 21);
    stop_in_order();
    ck_assert(!is_logged("the agent does not start"));
}
END_TEST

START_TEST(a_signal_makes_it_tell_its_state)
{
    start("obey", 0);
    await_ready();
    for (int i = 0; i < PATIENCE_MS / 10 && !is_logged("state=RUNNING"); i++) {
        kill(supervisor, SIGUSR1);
        usleep(10000);
    }
    ck_assert(is_logged("state=RUNNING"));
    stop_in_order();
}
END_TEST

START_TEST(a_stopped_process_gets_its_term_too)
{
    start("workload", 0);
    await_ready();
    for (unsigned i = 0; i < report->children; i++)
        kill(report->child_pids[i], SIGSTOP);
    stop_in_order();
    ck_assert_uint_gt(report->terminated_ns, 0);
}
END_TEST

START_TEST(a_second_signal_shortens_the_grace)
{
    start_with(
        "workload", 0,
        (struct supervisor_options){.agent_ms = 2000, .grace_ms = 60000, .restart_max_ms = 80});
    await_ready();
    kill(supervisor, SIGINT);
    for (int i = 0; i < PATIENCE_MS && report->terminated_ns == 0; i++)
        usleep(1000);
    kill(supervisor, SIGTERM);
    ck_assert_int_eq(await_end(), 0);
    for (unsigned i = 0; i < report->children; i++)
        ck_assert(!exists(report->child_pids[i]));
}
END_TEST

START_TEST(an_agent_that_does_not_end_is_killed_at_its_deadline)
{
    start_with("hang", 0,
               (struct supervisor_options){.agent_ms = 200, .grace_ms = 300, .restart_max_ms = 80});
    await_ready();
    uint64_t asked = clock_now_ns();
    kill(supervisor, SIGTERM);
    ck_assert_int_eq(await_end(), 0);
    ck_assert_uint_ge((clock_now_ns() - asked) / CLOCK_NS_PER_MS, 200);
    ck_assert(!exists(report->agents[0]));
}
END_TEST

START_TEST(a_stop_while_no_agent_runs_ends_at_once)
{
    start_with(
        "die", 60,
        (struct supervisor_options){.agent_ms = 2000, .grace_ms = 300, .restart_max_ms = 60000});
    for (int i = 0; i < PATIENCE_MS && report->starts < 8; i++)
        usleep(1000);
    usleep(50000); /* in the pause of seconds before the next */
    kill(supervisor, SIGTERM);
    ck_assert_int_eq(await_end(), 0);
}
END_TEST

START_TEST(a_binary_that_cannot_be_executed_is_told_by_the_status)
{
    static char name[] = "/tmp/test_supervisor.XXXXXX";
    int fd = mkstemp(name);
    supervisor = fork();
    if (supervisor == 0) {
        log_init("supervisor", LOG_ERROR);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        _exit(supervisor_run(
            &(struct supervisor_options){.argv = (char *const[]){"nullspace-agent", "agent", NULL},
                                         .binary_fd = fd,
                                         .boot_fd = -1}));
    }
    ck_assert_int_eq(await_end(), 127);
    close(fd);
    unlink(name);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("supervisor");
    TCase *life = tcase_create("life of an agent");
    TCase *end = tcase_create("end");
    tcase_add_checked_fixture(life, make_report, remove_report);
    tcase_add_checked_fixture(end, make_report, remove_report);
    tcase_set_timeout(life, 60);
    tcase_set_timeout(end, 60);
    tcase_add_test(life, it_starts_the_agent_and_stops_it_in_order);
    tcase_add_test(life, the_agent_inherits_just_what_it_should);
    tcase_add_test(life, an_idle_supervisor_does_not_wake);
    tcase_add_test(life, an_agent_that_refuses_to_start_ends_the_supervisor_with_its_status);
    tcase_add_test(life, an_agent_that_dies_after_it_was_ready_is_never_kept_waiting);
    tcase_add_test(life, an_agent_that_never_gets_ready_is_restarted_more_and_more_slowly);
    tcase_add_test(life, restarts_leak_neither_descriptors_nor_zombies);
    tcase_add_test(life, an_agent_that_closes_its_socket_is_killed_and_restarted);
    tcase_add_test(life, the_next_agent_gets_all_that_was_put_and_not_dropped);
    tcase_add_test(life, exits_while_there_is_no_agent_are_told_to_the_next);
    tcase_add_test(life, a_binary_that_cannot_be_executed_is_told_by_the_status);
    tcase_add_test(life, an_agent_that_got_ready_is_never_given_up);
    tcase_add_test(life, a_signal_makes_it_tell_its_state);
    tcase_add_test(end, the_agent_can_ask_for_the_end_with_a_grace_of_its_own);
    tcase_add_test(end,
                   the_workload_is_terminated_and_killed_after_the_grace_and_the_agent_ends_last);
    tcase_add_test(end, without_a_workload_the_grace_is_not_waited_for);
    tcase_add_test(end, an_agent_that_dies_at_the_end_is_not_started_again_and_the_workload_ends);
    tcase_add_test(end, after_so_many_starts_in_vain_it_gives_up);
    tcase_add_test(end, a_stopped_process_gets_its_term_too);
    tcase_add_test(end, a_second_signal_shortens_the_grace);
    tcase_add_test(end, an_agent_that_does_not_end_is_killed_at_its_deadline);
    tcase_add_test(end, a_stop_while_no_agent_runs_ends_at_once);
    suite_add_tcase(all, life);
    suite_add_tcase(all, end);
    return all;
}

int main(int argc, char **argv)
{
    scripted_agent_main(argc, argv);
    return unit_main(suite());
}
