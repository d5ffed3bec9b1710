/* What the caller is told: success, each stage's error, and what to search. Every case runs for
 * each way of cloning. */
#include "agent/os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/limits.h"
#include "tests/support/spawning.h"
#include "tests/support/unit.h"

START_TEST(a_program_runs_and_its_pid_is_in_the_slot)
{
    struct spawning_result result = spawning_shell("echo $$; exit 7", _i);

    ck_assert_int_eq(result.outcome, SPAWN_EXECUTED);
    ck_assert_int_eq(result.exit.si_code, CLD_EXITED);
    ck_assert_int_eq(result.exit.si_status, 7);
    ck_assert_int_eq(result.pid_in_slot, result.pid);
    ck_assert_int_eq(atoi(result.output), result.pid);
}
END_TEST

START_TEST(a_missing_program_is_not_found)
{
    char *argv[] = {"/nowhere/program", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "execve", ENOENT, "/nowhere/program");
}
END_TEST

START_TEST(an_empty_name_is_not_found)
{
    char *argv[] = {"", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "execve", ENOENT, "");
}
END_TEST

START_TEST(a_file_without_execute_permission_is_refused)
{
    char *argv[] = {(char *)spawning_file("plain", "#!/bin/sh\n", 0644), NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "execve", EACCES, argv[0]);
}
END_TEST

START_TEST(a_file_of_no_known_format_is_refused)
{
    char *argv[] = {(char *)spawning_file("garbage", "\001\002\003", 0755), NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "execve", ENOEXEC, argv[0]);
}
END_TEST

START_TEST(a_missing_interpreter_is_told_from_a_missing_program)
{
    char *argv[] = {(char *)spawning_file("script", "#!/nowhere/interpreter\n", 0755), NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "interpreter", ENOENT, argv[0]);
    ck_assert_ptr_nonnull(strstr(result.failure.msg, "interpreter is missing"));
}
END_TEST

START_TEST(a_missing_working_directory_is_told)
{
    char *argv[] = {"/bin/true", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.cwd = "/nowhere/directory";
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "chdir", ENOENT, "/nowhere/directory");
}
END_TEST

START_TEST(a_working_directory_that_is_a_file_is_told)
{
    char *argv[] = {"/bin/true", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.cwd = spawning_file("file", "", 0644);
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "chdir", ENOTDIR, request.cwd);
}
END_TEST

START_TEST(too_many_argument_bytes_are_refused_before_the_clone)
{
    static char big[NSP_LIMIT_ARGUMENT_BYTES + 1];
    struct nsp_error err;
    struct spawn *spawn = NULL;
    memset(big, 'x', sizeof big - 1);
    char *argv[] = {"/bin/true", big, NULL};
    struct spawn_request request = spawning_request(argv, _i);

    ck_assert_int_eq(spawn_prepare(&request, &spawn, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SPAWN);
    ck_assert_int_eq(err.sys_errno, E2BIG);
    ck_assert_str_eq(err.op, "execve");
    ck_assert_ptr_null(spawn);
}
END_TEST

START_TEST(one_argument_that_the_kernel_finds_too_long_is_told)
{
    static char big[256 * 1024];
    memset(big, 'x', sizeof big - 1);
    char *argv[] = {"/bin/true", big, NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "execve", E2BIG, "/bin/true");
}
END_TEST

START_TEST(a_closed_descriptor_for_stdio_is_told)
{
    char *argv[] = {"/bin/true", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.stdio[2] = 1000;
    struct spawning_result result = spawning_run(&request);
    spawning_assert_failed(&result, "dup3", EBADF, "");
}
END_TEST

START_TEST(nothing_to_execute_and_too_many_rlimits_are_refused)
{
    struct nsp_error err;
    struct spawn *spawn = NULL;
    char *const nothing[] = {NULL};
    struct spawn_request request = spawning_request(nothing, _i);
    ck_assert_int_eq(spawn_prepare(&request, &spawn, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);

    char *argv[] = {"/bin/true", NULL};
    request = spawning_request(argv, _i);
    request.rlimit_count = RLIM_NLIMITS + 1;
    ck_assert_int_eq(spawn_prepare(&request, &spawn, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
}
END_TEST

static struct spawning_result run_with_path(const char *name, const char *path, int way)
{
    char variable[512];
    snprintf(variable, sizeof variable, "PATH=%s", path);
    char *argv[] = {(char *)name, NULL};
    char *environment[] = {"OTHER=1", variable, NULL};
    struct spawn_request request = spawning_request(argv, way);
    request.environment = environment;
    request.cwd = spawning_directory();
    return spawning_run(&request);
}

static void make_two_places(char *path, size_t capacity)
{
    ck_assert_int_eq(mkdir(spawning_path("a"), 0755), 0);
    ck_assert_int_eq(mkdir(spawning_path("b"), 0755), 0);
    snprintf(path, capacity, "/nowhere:%s:%s", spawning_path("a"), spawning_path("b"));
}

START_TEST(a_name_without_slash_is_searched_on_the_new_path)
{
    char path[256];
    make_two_places(path, sizeof path);
    spawning_file("b/prog", "#!/bin/sh\necho found in b\n", 0755);
    struct spawning_result result = run_with_path("prog", path, _i);
    ck_assert_int_eq(result.outcome, SPAWN_EXECUTED);
    ck_assert_str_eq(result.output, "found in b\n");
}
END_TEST

START_TEST(what_cannot_be_executed_is_passed_over_on_the_path)
{
    char path[256];
    make_two_places(path, sizeof path);
    spawning_file("a/prog", "#!/nowhere/interpreter\n", 0755);
    spawning_file("b/prog", "#!/bin/sh\necho found in b\n", 0755);
    struct spawning_result result = run_with_path("prog", path, _i);
    ck_assert_str_eq(result.output, "found in b\n");
}
END_TEST

START_TEST(the_first_file_that_cannot_be_executed_is_named)
{
    char path[256];
    make_two_places(path, sizeof path);
    const char *first = spawning_file("a/prog", "#!/bin/sh\n", 0644);
    spawning_file("b/prog", "#!/nowhere/interpreter\n", 0755);
    struct spawning_result result = run_with_path("prog", path, _i);
    /* A copy cannot tell the path that it made. */
    spawning_assert_failed(&result, "execve", EACCES, _i == CLONE_WAY_COPY ? "prog" : first);
}
END_TEST

START_TEST(a_name_that_is_nowhere_on_the_path_is_not_found)
{
    char path[256];
    make_two_places(path, sizeof path);
    struct spawning_result result = run_with_path("prog", path, _i);
    spawning_assert_failed(&result, "execve", ENOENT, "prog");
}
END_TEST

START_TEST(an_empty_element_of_the_path_is_the_working_directory)
{
    spawning_file("prog", "#!/bin/sh\necho here\n", 0755);
    struct spawning_result result = run_with_path("prog", "/nowhere:", _i);
    ck_assert_str_eq(result.output, "here\n");
}
END_TEST

START_TEST(without_a_path_the_usual_places_are_searched)
{
    char *argv[] = {"true", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawning_result result = spawning_run(&request);
    ck_assert_int_eq(result.outcome, SPAWN_EXECUTED);
    ck_assert_int_eq(result.exit.si_status, 0);
}
END_TEST

START_TEST(an_element_longer_than_a_path_is_passed_over)
{
    static char path[8192];
    memset(path, 'd', sizeof path);
    snprintf(path + 5000, sizeof path - 5000, ":%s", spawning_directory());
    spawning_file("prog", "#!/bin/sh\necho here\n", 0755);
    static char variable[9000];
    snprintf(variable, sizeof variable, "PATH=%s", path);
    char *argv[] = {"prog", NULL};
    char *environment[] = {variable, NULL};
    struct spawn_request request = spawning_request(argv, _i);
    request.environment = environment;
    struct spawning_result result = spawning_run(&request);
    ck_assert_str_eq(result.output, "here\n");
}
END_TEST

START_TEST(the_process_limit_is_an_error_of_the_clone)
{
    spawning_become_nobody();
    struct rlimit none = {0, 0};
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    char *argv[] = {"/bin/true", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawn *spawn;
    struct nsp_error err;
    pid_t slot = 0;
    int pidfd = -1;
    ck_assert_int_eq(spawn_prepare(&request, &spawn, &err), 0);
    ck_assert_int_eq(spawn_clone(spawn, &slot, &pidfd, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SPAWN);
    ck_assert_str_eq(err.op, "clone");
    ck_assert_int_eq(err.sys_errno, EAGAIN);
    ck_assert_int_eq(slot, 0);
    ck_assert_int_eq(pidfd, -1);
    spawn_free(spawn);
}
END_TEST

START_TEST(a_directory_that_never_answers_delays_nobody_else)
{
    if (geteuid() != 0)
        UNIT_SKIP("needs root");
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        UNIT_SKIP("needs /dev/fuse and a mount namespace");
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (mount("fuse", spawning_directory(), "fuse", 0, options) < 0)
        UNIT_SKIP("cannot mount FUSE");

    char *argv[] = {"/bin/true", NULL};
    struct spawn_request request = spawning_request(argv, _i);
    struct spawn *spawn;
    struct nsp_error err;
    pid_t slot = 0;
    int pidfd;
    request.cwd = spawning_directory();
    ck_assert_int_eq(spawn_prepare(&request, &spawn, &err), 0);
    ck_assert_int_eq(spawn_clone(spawn, &slot, &pidfd, &err), 0);
    /* Nobody answers the file system, and we go on all the same. */
    for (int i = 0; i < 10; i++) {
        struct spawning_result other = spawning_shell("exit 3", _i);
        ck_assert_int_eq(other.exit.si_status, 3);
    }
    ck_assert_int_eq(spawn_outcome(spawn_status_fd(spawn), spawn, &err), SPAWN_PENDING);
    bool told = _i != CLONE_WAY_COPY;
    ck_assert_str_eq(spawn_stage_name(spawn), told ? "chdir" : "clone");

    ck_assert_int_eq(kill(slot, SIGKILL), 0);
    ck_assert_int_eq(spawning_wait(spawn, &err), told ? SPAWN_FAILED : SPAWN_EXECUTED);
    if (told) {
        ck_assert_str_eq(err.op, "chdir");
        ck_assert_ptr_nonnull(strstr(err.msg, "killed before execve"));
    }
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)slot, &info, WEXITED), 0);
    ck_assert_int_eq(info.si_code, CLD_KILLED);
    spawn_free(spawn);
    close(pidfd);
    umount2(spawning_directory(), MNT_DETACH);
    close(fuse);
}
END_TEST

START_TEST(a_status_without_its_spawn_is_judged_by_what_it_says)
{
    int fds[2];
    struct nsp_error err;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(spawn_outcome(fds[0], NULL, &err), SPAWN_PENDING);
    const int report[3] = {SPAWN_STAGE_CWD, ENOTDIR, 0};
    ck_assert_int_eq(write(fds[1], report, sizeof report), sizeof report);
    ck_assert_int_eq(spawn_outcome(fds[0], NULL, &err), SPAWN_FAILED);
    ck_assert_str_eq(err.op, "chdir");
    ck_assert_int_eq(err.sys_errno, ENOTDIR);
    ck_assert_int_eq(write(fds[1], "abc", 3), 3);
    ck_assert_int_eq(spawn_outcome(fds[0], NULL, &err), SPAWN_FAILED);
    ck_assert_int_eq(err.code, NSP_E_INTERNAL);
    close(fds[1]);
    ck_assert_int_eq(spawn_outcome(fds[0], NULL, &err), SPAWN_EXECUTED);
    close(fds[0]);
}
END_TEST

START_TEST(many_at_once_all_succeed_and_leave_nothing_open)
{
    enum { MANY = 200 };
    static struct spawn *spawns[MANY];
    static pid_t slots[MANY];
    struct nsp_error err;
    char *argv[] = {"/bin/true", NULL};
    int pidfd, before = dup(0);
    close(before);
    for (int i = 0; i < MANY; i++) {
        struct spawn_request request = spawning_request(argv, _i);
        ck_assert_int_eq(spawn_prepare(&request, &spawns[i], &err), 0);
        ck_assert_msg(spawn_clone(spawns[i], &slots[i], &pidfd, &err) == 0, "%s", err.msg);
        close(pidfd);
    }
    for (int i = 0; i < MANY; i++) {
        siginfo_t info;
        ck_assert_int_eq(spawning_wait(spawns[i], &err), SPAWN_EXECUTED);
        ck_assert_int_eq(waitid(P_PID, (id_t)slots[i], &info, WEXITED), 0);
        ck_assert_int_eq(info.si_status, 0);
        spawn_free(spawns[i]);
    }
    int after = dup(0);
    ck_assert_int_eq(after, before);
    close(after);
}
END_TEST

static Suite *suite(void)
{
    const TTest *const tests[] = {
        a_program_runs_and_its_pid_is_in_the_slot,
        a_missing_program_is_not_found,
        an_empty_name_is_not_found,
        a_file_without_execute_permission_is_refused,
        a_file_of_no_known_format_is_refused,
        a_missing_interpreter_is_told_from_a_missing_program,
        a_missing_working_directory_is_told,
        a_working_directory_that_is_a_file_is_told,
        too_many_argument_bytes_are_refused_before_the_clone,
        one_argument_that_the_kernel_finds_too_long_is_told,
        a_closed_descriptor_for_stdio_is_told,
        nothing_to_execute_and_too_many_rlimits_are_refused,
        a_name_without_slash_is_searched_on_the_new_path,
        what_cannot_be_executed_is_passed_over_on_the_path,
        the_first_file_that_cannot_be_executed_is_named,
        a_name_that_is_nowhere_on_the_path_is_not_found,
        an_empty_element_of_the_path_is_the_working_directory,
        without_a_path_the_usual_places_are_searched,
        an_element_longer_than_a_path_is_passed_over,
        the_process_limit_is_an_error_of_the_clone,
        a_directory_that_never_answers_delays_nobody_else,
        a_status_without_its_spawn_is_judged_by_what_it_says,
        many_at_once_all_succeed_and_leave_nothing_open,
    };
    return spawning_suite("spawn", tests, sizeof tests / sizeof tests[0]);
}

UNIT_MAIN(suite)
