/* The present test's process is the subreaper and also plays the agent's part of the exit log. */
#include "init/reaper.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/unit.h"

enum { MANY = 5000 };

static struct exitlog *log_of_supervisor, *log_of_agent;
static struct reaper reaper;

static void make_reaper(void)
{
    struct nsp_error err;
    int claims_fd, exits_fd;
    ck_assert_int_eq(exitlog_create(&log_of_supervisor, &claims_fd, &exits_fd, &err), 0);
    ck_assert_int_eq(exitlog_open(claims_fd, exits_fd, &log_of_agent, &err), 0);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    reaper = (struct reaper){.log = log_of_supervisor,
                             .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

static void free_reaper(void)
{
    exitlog_free(log_of_supervisor);
    exitlog_free(log_of_agent);
    close(reaper.wake_fd);
}

static pid_t child_that_exits(int status)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(status);
    ck_assert_int_gt(pid, 0);
    return pid;
}

static void wait_for_zombie(pid_t pid)
{
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void claim(unsigned slot, pid_t pid)
{
    *exitlog_claim(log_of_agent, slot, 1) = pid;
}

static bool exists(pid_t pid)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

START_TEST(without_children_nothing_is_found)
{
    struct reaper_pass pass;
    reaper_drain(&reaper, 0, &pass);
    ck_assert_uint_eq(pass.reaped, 0);
    ck_assert(!pass.more && !pass.stalled && !pass.agent_gone);
}
END_TEST

START_TEST(a_child_that_runs_is_not_waited_for)
{
    struct reaper_pass pass;
    pid_t pid = fork();
    if (pid == 0)
        pause();
    reaper_drain(&reaper, 0, &pass);
    ck_assert_uint_eq(pass.reaped, 0);
    kill(pid, SIGKILL);
    wait_for_zombie(pid);
    reaper_drain(&reaper, 0, &pass);
    ck_assert_uint_eq(pass.reaped, 1);
    ck_assert_uint_eq(reaper.untracked, 1);
}
END_TEST

START_TEST(five_thousand_exits_without_an_agent_are_all_recorded)
{
    static pid_t pids[MANY];
    static bool seen[MANY];
    struct reaper_pass pass;
    for (unsigned i = 0; i < MANY; i++) {
        pids[i] = child_that_exits((int)(i % 100));
        claim(i + 7, pids[i]);
    }
    for (unsigned i = 0; i < MANY; i++)
        wait_for_zombie(pids[i]);
    unsigned passes = 0;
    do {
        reaper_drain(&reaper, 0, &pass);
        passes++;
    } while (pass.more);
    ck_assert_uint_gt(passes, 1);
    ck_assert_uint_eq(reaper.recorded, MANY);
    ck_assert_uint_eq(reaper.untracked, 0);

    struct exitlog_record got;
    unsigned slot, count = 0;
    for (; exitlog_peek(log_of_agent, &slot, &got); count++) {
        unsigned i = slot - 7;
        ck_assert(!seen[i]);
        seen[i] = true;
        ck_assert_int_eq(got.pid, pids[i]);
        ck_assert_int_eq(got.code, CLD_EXITED);
        ck_assert_int_eq(got.status, (int)(i % 100));
        exitlog_ack(log_of_agent);
    }
    ck_assert_uint_eq(count, MANY);
    uint64_t wakes;
    ck_assert_int_eq(read(reaper.wake_fd, &wakes, sizeof wakes), sizeof wakes);
    ck_assert_uint_ge(wakes, 1);
}
END_TEST

START_TEST(a_signal_and_the_cpu_time_of_that_child_alone_are_recorded)
{
    struct reaper_pass pass;
    struct exitlog_record got;
    unsigned slot;
    pid_t pids[2];
    for (int busy = 0; busy < 2; busy++) {
        pids[busy] = fork();
        if (pids[busy] == 0) {
            while (busy && clock() < CLOCKS_PER_SEC / 10)
                ;
            raise(SIGKILL);
        }
        claim((unsigned)busy, pids[busy]);
    }
    for (int i = 0; i < 2; i++)
        wait_for_zombie(pids[i]);
    reaper_drain(&reaper, 0, &pass);
    while (exitlog_peek(log_of_agent, &slot, &got)) {
        ck_assert_int_eq(got.code, CLD_KILLED);
        ck_assert_int_eq(got.status, SIGKILL);
        uint64_t used = got.user_us + got.system_us;
        if (slot == 1)
            ck_assert_uint_ge(used, 90000);
        else
            ck_assert_uint_lt(used, 50000);
        ck_assert_uint_gt(got.max_rss_kib, 0);
        exitlog_ack(log_of_agent);
    }
    ck_assert_uint_eq(reaper.recorded, 2);
}
END_TEST

START_TEST(orphans_are_reaped_and_counted)
{
    struct reaper_pass pass;
    siginfo_t info;
    int pair[2];
    char byte;
    ck_assert_int_eq(pipe(pair), 0);
    pid_t parent = fork();
    if (parent == 0) {
        fork(); /* both exit; the child falls to the test */
        _exit(0);
    }
    close(pair[1]);
    ck_assert_int_eq(read(pair[0], &byte, 1), 0); /* both are gone */
    close(pair[0]);
    wait_for_zombie(parent);
    for (int i = 0; i < 1000 && reaper.untracked < 2; i++) {
        waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
        reaper_drain(&reaper, 0, &pass);
    }
    ck_assert_uint_eq(reaper.untracked, 2);
    ck_assert_uint_eq(reaper.recorded, 0);
}
END_TEST

START_TEST(an_exit_without_a_place_stays_a_zombie_until_there_is_one)
{
    struct reaper_pass pass;
    struct exitlog_record got;
    unsigned slot;
    pid_t first = child_that_exits(1);
    claim(5, first);
    wait_for_zombie(first);
    reaper_drain(&reaper, 0, &pass);
    pid_t second = child_that_exits(2);
    claim(5, second);
    wait_for_zombie(second);
    for (int i = 0; i < 2; i++) {
        reaper_drain(&reaper, 0, &pass);
        ck_assert(pass.stalled);
        ck_assert(!pass.more);
        ck_assert(exists(second));
    }
    exitlog_ack(log_of_agent);
    reaper_drain(&reaper, 0, &pass);
    ck_assert(!pass.stalled);
    ck_assert(!exists(second));
    ck_assert(exitlog_peek(log_of_agent, &slot, &got));
    ck_assert_int_eq(got.status, 2);
}
END_TEST

START_TEST(the_agents_exit_is_told_apart)
{
    struct reaper_pass pass;
    pid_t agent = child_that_exits(9), other = child_that_exits(0);
    wait_for_zombie(agent);
    wait_for_zombie(other);
    reaper_drain(&reaper, agent, &pass);
    ck_assert(pass.agent_gone);
    ck_assert_int_eq(pass.agent_exit.si_pid, agent);
    ck_assert_int_eq(pass.agent_exit.si_code, CLD_EXITED);
    ck_assert_int_eq(pass.agent_exit.si_status, 9);
    ck_assert_uint_eq(pass.reaped, 1);
}
END_TEST

START_TEST(the_agents_exit_is_found_behind_a_zombie_that_has_to_stay)
{
    struct reaper_pass pass;
    pid_t first = child_that_exits(1);
    claim(5, first);
    wait_for_zombie(first);
    reaper_drain(&reaper, 0, &pass);
    pid_t second = child_that_exits(2);
    claim(5, second);
    wait_for_zombie(second);
    pid_t agent = child_that_exits(3);
    wait_for_zombie(agent);
    reaper_drain(&reaper, agent, &pass);
    ck_assert(pass.stalled);
    ck_assert(pass.agent_gone);
    ck_assert_int_eq(pass.agent_exit.si_status, 3);
    ck_assert(!exists(agent));
    ck_assert(exists(second));
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("reaper");
    TCase *drain = tcase_create("drain");
    tcase_add_checked_fixture(drain, make_reaper, free_reaper);
    tcase_set_timeout(drain, 120);
    tcase_add_test(drain, without_children_nothing_is_found);
    tcase_add_test(drain, a_child_that_runs_is_not_waited_for);
    tcase_add_test(drain, five_thousand_exits_without_an_agent_are_all_recorded);
    tcase_add_test(drain, a_signal_and_the_cpu_time_of_that_child_alone_are_recorded);
    tcase_add_test(drain, orphans_are_reaped_and_counted);
    tcase_add_test(drain, an_exit_without_a_place_stays_a_zombie_until_there_is_one);
    tcase_add_test(drain, the_agents_exit_is_told_apart);
    tcase_add_test(drain, the_agents_exit_is_found_behind_a_zombie_that_has_to_stay);
    suite_add_tcase(all, drain);
    return all;
}

UNIT_MAIN(suite)
