/* Signals to what is left of the workload. The test's process is the supervisor. */
#include "agent/machine/sweep.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/private_mounts.h"
#include "tests/support/unit.h"

static struct exitlog *exits, *claims;
static struct sweep sweep;

static void make_sweep(void)
{
    struct nsp_error err;
    int claims_fd, exits_fd;
    signal(SIGTERM, SIG_DFL); /* Check has handlers, which children would inherit */
    signal(SIGINT, SIG_DFL);
    ck_assert_int_eq(exitlog_create(&exits, &claims_fd, &exits_fd, &err), 0);
    ck_assert_int_eq(exitlog_open(claims_fd, exits_fd, &claims, &err), 0);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    sweep = (struct sweep){.log = exits};
}

static void free_sweep(void)
{
    sweep_signal(&sweep, SIGKILL);
    exitlog_free(exits);
    exitlog_free(claims);
}

/* A test that fails leaves nothing behind. */
__attribute__((noreturn)) static void sleep_on(void)
{
    alarm(20);
    for (;;)
        pause();
}

static pid_t sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0)
        sleep_on();
    ck_assert_int_gt(pid, 0);
    return pid;
}

/* The signal that ended it. */
static int ended_by(pid_t pid)
{
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
    return info.si_code == CLD_KILLED ? info.si_status : 0;
}

START_TEST(without_children_nothing_is_left)
{
    ck_assert_uint_eq(sweep_signal(&sweep, 0), 0);
    ck_assert_uint_eq(sweep_signal(&sweep, SIGKILL), 0);
}
END_TEST

START_TEST(children_are_counted_and_signalled_but_the_agent_is_spared)
{
    pid_t agent = sleeper(), orphan = sleeper();
    sweep.agent = agent;
    ck_assert_uint_eq(sweep_signal(&sweep, 0), 1);
    ck_assert_uint_eq(sweep_signal(&sweep, SIGTERM), 1);
    ck_assert_int_eq(ended_by(orphan), SIGTERM);
    ck_assert_uint_eq(sweep_signal(&sweep, 0), 0);
    ck_assert_int_eq(kill(agent, 0), 0);
    sweep.agent = 0;
    ck_assert_uint_eq(sweep_signal(&sweep, SIGKILL), 1);
    ck_assert_int_eq(ended_by(agent), SIGKILL);
}
END_TEST

START_TEST(number_0_only_counts)
{
    pid_t child = sleeper();
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(sweep_signal(&sweep, 0), 1);
    ck_assert_int_eq(kill(child, SIGINT), 0);
    ck_assert_int_eq(ended_by(child), SIGINT);
}
END_TEST

START_TEST(a_zombie_does_not_count)
{
    siginfo_t info;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    ck_assert_uint_eq(sweep_signal(&sweep, 0), 0);
    ck_assert_int_eq(ended_by(child), 0);
}
END_TEST

static void *wait_for_ever(void *arg)
{
    (void)arg;
    sleep_on();
}

/* As /proc shows it. */
static bool looks_like_a_zombie(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    fclose(file);
    return strstr(line, ") Z ") != NULL;
}

START_TEST(a_process_whose_first_thread_has_ended_is_alive)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t other;
        alarm(20);
        if (pthread_create(&other, NULL, wait_for_ever, NULL) == 0)
            pthread_exit(NULL);
        _exit(1);
    }
    for (int i = 0; i < 5000 && !looks_like_a_zombie(pid); i++)
        usleep(1000);
    ck_assert(looks_like_a_zombie(pid));
    ck_assert_uint_eq(sweep_signal(&sweep, 0), 1);
    ck_assert_uint_eq(sweep_signal(&sweep, SIGTERM), 1);
    ck_assert_int_eq(ended_by(pid), SIGTERM);
}
END_TEST

START_TEST(a_stopped_process_is_continued)
{
    siginfo_t info;
    pid_t child = sleeper();
    kill(child, SIGSTOP);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
    ck_assert_uint_eq(sweep_signal(&sweep, SIGTERM), 1);
    ck_assert_int_eq(ended_by(child), SIGTERM);
}
END_TEST

/* A leader in a group of its own with a member below it, whose pid it tells. */
static pid_t group(pid_t *ret_member)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t leader = fork();
    if (leader == 0) {
        setpgid(0, 0);
        pid_t member = sleeper();
        if (write(ends[1], &member, sizeof member) != sizeof member)
            _exit(1);
        sleep_on();
    }
    ck_assert_int_eq(read(ends[0], ret_member, sizeof *ret_member), sizeof *ret_member);
    close(ends[0]);
    close(ends[1]);
    return leader;
}

START_TEST(a_claimed_process_takes_its_group_with_it)
{
    pid_t member, leader = group(&member);
    *exitlog_claim(claims, 3, 1) = leader;
    ck_assert_uint_eq(sweep_signal(&sweep, 0), 2);
    ck_assert_uint_ge(sweep_signal(&sweep, SIGTERM), 1);
    ck_assert_int_eq(ended_by(leader), SIGTERM);
    ck_assert_int_eq(ended_by(member), SIGTERM); /* which has fallen to us */
}
END_TEST

START_TEST(grandchildren_of_an_unclaimed_child_outside_its_group_are_left_until_they_are_ours)
{
    int ends[2];
    pid_t grandchild;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t inner = sleeper();
        if (setpgid(inner, inner) < 0 || write(ends[1], &inner, sizeof inner) != sizeof inner)
            _exit(1);
        sleep_on();
    }
    ck_assert_int_eq(read(ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    ck_assert_uint_eq(sweep_signal(&sweep, 0), 1);
    kill(grandchild, SIGKILL);
    ck_assert_uint_eq(sweep_signal(&sweep, SIGKILL), 1);
    ck_assert_int_eq(ended_by(child), SIGKILL);
}
END_TEST

/* In a PID namespace of its own, as its process 1. Exit status 0: all as expected. */
static int sweep_as_pid1(void)
{
    if (mount("proc", "/proc", "proc", 0, NULL) < 0)
        return 10;
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0)
            setsid();
        sleep_on();
    }
    const struct sweep all = {.log = exits, .everything = true};
    for (int i = 0; i < 5000 && sweep_signal(&all, 0) < 2; i++)
        usleep(1000);
    if (sweep_signal(&all, 0) != 2)
        return 11;
    if (sweep_signal(&all, SIGTERM) < 1)
        return 12;
    for (int i = 0; i < 2; i++)
        if (wait(NULL) < 0)
            return 13;
    return sweep_signal(&all, 0) == 0 ? 0 : 14;
}

START_TEST(as_pid_1_everything_is_meant)
{
    if (!private_mounts_enter() || unshare(CLONE_NEWPID) < 0)
        UNIT_SKIP("no PID namespace here");
    pid_t first = fork();
    if (first == 0)
        _exit(sweep_as_pid1());
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)first, &info, WEXITED), 0);
    ck_assert_int_eq(info.si_code, CLD_EXITED);
    ck_assert_int_eq(info.si_status, 0);
}
END_TEST

START_TEST(without_proc_the_claimed_groups_are_still_signalled)
{
    pid_t member, leader = group(&member);
    *exitlog_claim(claims, 3, 1) = leader;
    if (!private_mounts_enter() || mount("none", "/proc", "tmpfs", 0, NULL) < 0) {
        sweep_signal(&sweep, SIGKILL);
        UNIT_SKIP("no mount namespace here");
    }
    ck_assert_int_eq(umount2("/proc", MNT_DETACH), 0);
    ck_assert_int_eq(umount2("/proc", MNT_DETACH), 0);
    ck_assert_uint_le(sweep_signal(&sweep, SIGTERM), 1);
    ck_assert_int_eq(ended_by(leader), SIGTERM);
    ck_assert_int_eq(ended_by(member), SIGTERM);
}
END_TEST

UNIT_WITHOUT_LEAK_CHECK()

static Suite *suite(void)
{
    Suite *all = suite_create("sweep");
    TCase *left = tcase_create("what is left");
    tcase_add_checked_fixture(left, make_sweep, free_sweep);
    tcase_set_timeout(left, 30);
    tcase_add_test(left, without_children_nothing_is_left);
    tcase_add_test(left, children_are_counted_and_signalled_but_the_agent_is_spared);
    tcase_add_test(left, number_0_only_counts);
    tcase_add_test(left, a_zombie_does_not_count);
    tcase_add_test(left, a_process_whose_first_thread_has_ended_is_alive);
    tcase_add_test(left, a_stopped_process_is_continued);
    tcase_add_test(left, a_claimed_process_takes_its_group_with_it);
    tcase_add_test(
        left, grandchildren_of_an_unclaimed_child_outside_its_group_are_left_until_they_are_ours);
    tcase_add_test(left, as_pid_1_everything_is_meant);
    tcase_add_test(left, without_proc_the_claimed_groups_are_still_signalled);
    suite_add_tcase(all, left);
    return all;
}

UNIT_MAIN(suite)
