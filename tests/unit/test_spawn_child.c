/* What the started program finds: descriptors, signals, limits, session, parent. Every case runs
 * for each way of cloning. */
#include "agent/os/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/os/oomshield.h"
#include "agent/os/rlimit.h"
#include "tests/support/spawning.h"
#include "tests/support/unit.h"

START_TEST(the_working_directory_is_set)
{
    char *argv[] = {"/bin/pwd", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.cwd = spawning_directory();
    struct spawning_result result = spawning_run(&request);
    ck_assert_int_eq(strncmp(result.output, spawning_directory(), strlen(spawning_directory())), 0);
}
END_TEST

START_TEST(only_the_three_descriptors_reach_the_program)
{
    for (int fd = 20; fd < 60; fd++)
        ck_assert_int_eq(dup2(1, fd), fd); /* not close-on-exec */
    char *argv[] = {"/bin/ls", "/proc/self/fd", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    ck_assert_str_eq(result.output, "0\n1\n2\n3\n"); /* 3 is ls's own */
}
END_TEST

START_TEST(standard_descriptors_may_come_from_each_other)
{
    int pair[2];
    char text[64];
    ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 10);
    ck_assert_int_eq(dup2(pair[1], 0), 0); /* our 0 becomes its 2, our 2 its 0 */
    char *argv[] = {"/bin/sh", "-c", "echo to stderr >&2; echo to stdout", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.stdio[0] = 2;
    request.stdio[2] = 0;
    struct spawning_result result = spawning_run(&request);
    dup2(saved, 0);
    close(pair[1]);
    spawning_read_all(pair[0], text, sizeof text);
    ck_assert_str_eq(text, "to stderr\n");
    ck_assert_str_eq(result.output, "to stdout\n");
}
END_TEST

START_TEST(stdio_of_nothing_is_the_null_device)
{
    struct spawning_result result = spawning_shell("cd /proc/self/fd; readlink 0; readlink 2", _i);
    ck_assert_str_eq(result.output, "/dev/null\n/dev/null\n");
}
END_TEST

static void on_signal(int number)
{
    (void)number;
}

/* One that libc keeps for itself; who started us may have ignored it all the same. */
static void ignore_hidden_signal(void)
{
    const uintptr_t action[8] = {(uintptr_t)SIG_IGN};
    ck_assert_int_eq(syscall(SYS_rt_sigaction, 32, action, NULL, 8), 0);
}

START_TEST(signal_mask_and_dispositions_are_reset)
{
    sigset_t blocked;
    sigfillset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGRTMAX, SIG_IGN);
    ignore_hidden_signal();
    signal(SIGUSR2, on_signal);
    char *argv[] = {"/bin/cat", "/proc/self/status", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    ck_assert_ptr_nonnull(strstr(result.output, "SigBlk:\t0000000000000000\n"
                                                "SigIgn:\t0000000000000000\n"
                                                "SigCgt:\t0000000000000000\n"));
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    ck_assert_int_eq(sigismember(&now, SIGUSR1), 1);
}
END_TEST

START_TEST(rlimits_and_umask_are_set)
{
    const struct spawn_rlimit rlimits[] = {{RLIMIT_NOFILE, {61, 67}}, {RLIMIT_CORE, {0, 0}}};
    char *argv[] = {"/bin/sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c; umask", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.rlimits = rlimits;
    request.rlimit_count = 2;
    request.has_umask = true;
    request.umask = 0027;
    struct spawning_result result = spawning_run(&request);
    ck_assert_str_eq(result.output, "61\n67\n0\n0027\n");
}
END_TEST

START_TEST(a_refused_rlimit_is_named)
{
    spawning_become_nobody();
    struct rlimit lower = {100, 100};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lower), 0);
    const struct spawn_rlimit rlimits[] = {{RLIMIT_CORE, {0, 0}}, {RLIMIT_NOFILE, {200, 200}}};
    char *argv[] = {"/bin/true", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.rlimits = rlimits;
    request.rlimit_count = 2;
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "setrlimit", EPERM, "nofile");
}
END_TEST

START_TEST(the_child_gets_the_descriptor_limit_that_we_were_started_with)
{
    struct rlimit own = {0};
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &own), 0);
    own.rlim_cur = own.rlim_max / 2;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &own), 0);
    ck_assert_ptr_null(rlimit_original_nofile());
    rlimit_raise_nofile();
    rlimit_raise_nofile();
    struct spawning_result result = spawning_shell("ulimit -n", _i);
    ck_assert_int_eq(strtol(result.output, NULL, 10), (long)own.rlim_cur);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &own), 0);
    ck_assert_int_eq((long)own.rlim_cur, (long)own.rlim_max);
}
END_TEST

START_TEST(the_child_leads_a_session_of_its_own)
{
    char *argv[] = {"/usr/bin/cut", "-d ", "-f1,5,6", "/proc/self/stat", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    int pid, group, session;
    ck_assert_int_eq(sscanf(result.output, "%d %d %d", &pid, &group, &session), 3);
    ck_assert_int_eq(pid, result.pid);
    ck_assert_int_eq(group, pid);
    ck_assert_int_eq(session, pid);
}
END_TEST

/* In a process of its own, so that its parent (the test) is the one that has to wait. */
static void clone_for_our_parent(int way, pid_t *slot)
{
    char *argv[] = {"/bin/sh", "-c", "exit 9", NULL};
    struct spawn_request request = spawning_request(argv, way);
    struct spawn *spawn;
    struct nsp_error err;
    int pidfd;
    request.parent_waits = true;
    if (spawn_prepare(&request, &spawn, &err) < 0 || spawn_clone(spawn, slot, &pidfd, &err) < 0)
        _exit(1);
    enum spawn_result outcome = spawning_wait(spawn, &err);
    spawn_free(spawn);
    close(pidfd);
    _exit(outcome == SPAWN_EXECUTED && waitid(P_ALL, 0, NULL, WEXITED) < 0 ? 0 : 2);
}

START_TEST(the_child_can_be_our_parents)
{
    pid_t *slot = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t between = fork();
    if (between == 0)
        clone_for_our_parent(_i, slot);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)between, &info, WEXITED), 0);
    ck_assert_int_eq(info.si_status, 0);
    ck_assert_int_gt(*slot, 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)*slot, &info, WEXITED), 0);
    ck_assert_int_eq(info.si_status, 9);
}
END_TEST

static int own_oom_score_adj(void)
{
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(read(fd, text, sizeof text - 1), 0);
    close(fd);
    return atoi(text);
}

START_TEST(the_child_is_exposed_to_the_oom_killer_and_we_are_not)
{
    int original = own_oom_score_adj();
    if (original > 100)
        UNIT_SKIP("oom_score_adj is raised already");
    oomshield_open(original + 100, original + 200); /* raising needs no privilege */
    ck_assert_int_eq(own_oom_score_adj(), original + 100);
    struct spawning_result result = spawning_shell("cat /proc/self/oom_score_adj", _i);
    ck_assert_int_eq(atoi(result.output), original + 200);
    ck_assert_int_eq(own_oom_score_adj(), original + 100);
    oomshield_close();
}
END_TEST

static Suite *suite(void)
{
    const TTest *const tests[] = {
        the_working_directory_is_set,
        only_the_three_descriptors_reach_the_program,
        standard_descriptors_may_come_from_each_other,
        stdio_of_nothing_is_the_null_device,
        signal_mask_and_dispositions_are_reset,
        rlimits_and_umask_are_set,
        a_refused_rlimit_is_named,
        the_child_gets_the_descriptor_limit_that_we_were_started_with,
        the_child_leads_a_session_of_its_own,
        the_child_can_be_our_parents,
        the_child_is_exposed_to_the_oom_killer_and_we_are_not,
    };
    return spawning_suite("spawn child", tests, sizeof tests / sizeof tests[0]);
}

UNIT_MAIN(suite)
