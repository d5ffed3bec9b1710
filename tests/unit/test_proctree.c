/* Signals to everything below a process. Each test builds its own family with shells that tell
 * their pids. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/os/proctree.h"
#include "tests/support/unit.h"

enum { MEMBERS_MAX = 8, TRIES = 3000 };

static pid_t root, members[MEMBERS_MAX];
static int output;
static struct proctree kept;
static struct nsp_error err;

static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Orphans become ours, so that nobody else is left with them. */
static void setup(void)
{
    kept = (struct proctree){0};
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

static void teardown(void)
{
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (members[i] > 0)
            kill(members[i], SIGKILL);
    if (root > 0)
        kill(root, SIGKILL);
    proctree_done(&kept);
}

/* Runs the script in a session of its own and reads count pids from its output. */
static void start(const char *script, int count)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    root = fork();
    if (root == 0) {
        setsid();
        dup2(ends[1], 1);
        execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(127);
    }
    close(ends[1]);
    output = ends[0];
    FILE *file = fdopen(output, "r");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < count; i++) {
        char line[32];
        ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
        members[i] = (pid_t)atoi(line);
        ck_assert_int_gt(members[i], 1);
    }
    fclose(file);
}

static bool is_gone(pid_t pid)
{
    for (int i = 0; i < TRIES; i++) {
        reap();
        if (kill(pid, 0) < 0 && errno == ESRCH)
            return true;
        nap();
    }
    return false;
}

static bool is_there(pid_t pid)
{
    return kill(pid, 0) == 0 && !proctree_is_zombie(pid);
}

static unsigned signal_tree(struct proctree *tree, pid_t pid, int number)
{
    unsigned sent = 999;
    err = NSP_ERROR_INIT;
    int result = proctree_signal(tree, pid, number, &sent, &err);
    ck_assert_msg(result == 0, "%s", err.msg);
    return sent;
}

static void assert_all_gone(int count)
{
    ck_assert(is_gone(root));
    for (int i = 0; i < count; i++)
        ck_assert(is_gone(members[i]));
}

START_TEST(a_single_process_is_reached)
{
    start("echo $$; exec sleep 60", 1);
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 1);
    assert_all_gone(1);
}
END_TEST

START_TEST(descendants_of_all_generations_are_reached)
{
    start("sh -c 'sh -c \"echo \\$\\$; exec sleep 60\" & wait' & echo $!; wait", 2);
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 3);
    assert_all_gone(2);
}
END_TEST

START_TEST(descendants_in_other_sessions_are_reached)
{
    start("setsid sh -c 'sleep 60 & echo $!; echo $$; wait' & wait", 2);
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 3);
    assert_all_gone(2);
}
END_TEST

START_TEST(orphans_of_the_session_are_reached)
{
    /* The root tells its own pid when its child in between is gone. */
    start("sh -c 'sleep 60 & echo $!' ; echo $$; exec sleep 60", 2);
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 2);
    assert_all_gone(2);
}
END_TEST

START_TEST(orphans_are_reached_when_the_root_is_gone_already)
{
    start("sleep 60 & echo $!", 1);
    ck_assert(is_gone(root));
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 1);
    ck_assert(is_gone(members[0]));
}
END_TEST

START_TEST(others_are_left_alone)
{
    pid_t other = fork();
    if (other == 0)
        for (;;)
            pause();
    start("exec sleep 60", 0);
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 1);
    ck_assert(is_gone(root));
    ck_assert(is_there(other));
    kill(other, SIGKILL);
}
END_TEST

START_TEST(nobody_there_is_no_error)
{
    start("exit 0", 0);
    ck_assert(is_gone(root));
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 0);
    ck_assert_uint_eq(signal_tree(&kept, root, SIGKILL), 0);
    ck_assert_uint_eq(signal_tree(&kept, 0, SIGKILL), 0);
    ck_assert_uint_eq(signal_tree(NULL, 0, SIGKILL), 0);
    ck_assert_uint_eq(kept.count, 0);
}
END_TEST

START_TEST(init_is_nobodys_tree)
{
    ck_assert_uint_eq(signal_tree(NULL, 1, 0), 0);
}
END_TEST

START_TEST(a_tree_that_was_looked_at_is_kept_when_its_ties_are_cut)
{
    start("setsid sh -c \"trap '' TERM; echo \\$\\$; exec sleep 60\" & echo; echo $!; wait", 0);
    /* The root ends, its child ignores the signal and belongs to another session. */
    for (int i = 0; i < TRIES && kept.count < 2; i++) {
        signal_tree(&kept, root, 0);
        nap();
    }
    ck_assert_uint_eq(kept.count, 2);
    kill(root, SIGKILL);
    ck_assert(is_gone(root));
    ck_assert_uint_eq(signal_tree(&kept, 0, SIGKILL), 1);
    proctree_done(&kept);
    ck_assert_uint_eq(kept.count, 0);
    ck_assert_ptr_null(kept.pidfds);
}
END_TEST

START_TEST(what_is_kept_leaks_no_descriptor)
{
    start("sleep 60 & echo $!; wait", 1);
    signal_tree(&kept, root, 0);
    int before = dup(0);
    close(before);
    for (int i = 0; i < 10; i++)
        signal_tree(&kept, root, 0);
    int after = dup(0);
    close(after);
    ck_assert_uint_eq(kept.count, 2);
    /* The lowest free one is where it was, or one of a look that took the other's place. */
    ck_assert_int_le(after, before + 2);
    kill(members[0], SIGKILL);
}
END_TEST

START_TEST(a_refusal_of_all_is_an_error)
{
    unsigned sent = 999;
    start("exec sleep 60", 0);
    ck_assert_int_eq(proctree_signal(NULL, root, 9999, &sent, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, EINVAL);
    ck_assert_uint_eq(sent, 999);
    if (geteuid() != 0)
        UNIT_SKIP("needs root to become another user");
    ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
    int result = proctree_signal(NULL, root, SIGKILL, &sent, &err);
    ck_assert_int_eq(setresuid(0, 0, 0), 0);
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(err.code, NSP_E_PERMISSION);
}
END_TEST

START_TEST(a_name_may_contain_anything)
{
    int ends[2];
    char byte;
    ck_assert_int_eq(pipe(ends), 0);
    root = fork();
    if (root == 0) {
        prctl(PR_SET_NAME, "a) b 1 (1");
        (void)!write(ends[1], "x", 1);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    ck_assert_uint_eq(signal_tree(NULL, root, SIGKILL), 1);
    ck_assert(is_gone(root));
}
END_TEST

START_TEST(a_zombie_is_told_from_the_living_and_the_missing)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    for (int i = 0; i < TRIES && !proctree_is_zombie(child); i++)
        nap();
    ck_assert(proctree_is_zombie(child));
    waitpid(child, NULL, 0);
    ck_assert(!proctree_is_zombie(child));
    ck_assert(!proctree_is_zombie(getpid()));
    ck_assert(!proctree_is_zombie(0));
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("proctree");
    TCase *tests = tcase_create("proctree");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_single_process_is_reached);
    tcase_add_test(tests, descendants_of_all_generations_are_reached);
    tcase_add_test(tests, descendants_in_other_sessions_are_reached);
    tcase_add_test(tests, orphans_of_the_session_are_reached);
    tcase_add_test(tests, orphans_are_reached_when_the_root_is_gone_already);
    tcase_add_test(tests, others_are_left_alone);
    tcase_add_test(tests, nobody_there_is_no_error);
    tcase_add_test(tests, init_is_nobodys_tree);
    tcase_add_test(tests, a_tree_that_was_looked_at_is_kept_when_its_ties_are_cut);
    tcase_add_test(tests, what_is_kept_leaks_no_descriptor);
    tcase_add_test(tests, a_refusal_of_all_is_an_error);
    tcase_add_test(tests, a_name_may_contain_anything);
    tcase_add_test(tests, a_zombie_is_told_from_the_living_and_the_missing);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
