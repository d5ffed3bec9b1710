/* As what the program was started. */
#include "agent/machine/role.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/unit.h"

enum { NO_NAMESPACE = 77 };

START_TEST(every_role_is_found_by_its_name)
{
    static const char *const expected[] = {"auto",    "guest",  "container",
                                           "systemd", "openrc", "process"};
    for (int i = 0; i < ROLE_COUNT; i++) {
        enum role role = ROLE_COUNT;
        ck_assert_str_eq(role_name((enum role)i), expected[i]);
        ck_assert_int_eq(role_by_name(expected[i], &role), 0);
        ck_assert_int_eq(role, i);
    }
}
END_TEST

START_TEST(another_name_is_no_role_and_changes_nothing)
{
    enum role role = ROLE_OPENRC;
    ck_assert_int_eq(role_by_name("pid1", &role), -1);
    ck_assert_int_eq(role_by_name("", &role), -1);
    ck_assert_int_eq(role_by_name("Guest", &role), -1);
    ck_assert_int_eq(role, ROLE_OPENRC);
}
END_TEST

START_TEST(the_environment_tells_which_service_manager_there_is)
{
    unsetenv("INVOCATION_ID");
    unsetenv("RC_SVCNAME");
    ck_assert_int_eq(role_find(), ROLE_PROCESS);
    setenv("RC_SVCNAME", "nullspace-agent", 1);
    ck_assert_int_eq(role_find(), ROLE_OPENRC);
    setenv("INVOCATION_ID", "0123", 1);
    ck_assert_int_eq(role_find(), ROLE_SYSTEMD);
}
END_TEST

START_TEST(process_1_of_a_namespace_of_its_own_is_a_container)
{
    int status;
    if (geteuid() != 0 || unshare(CLONE_NEWPID) < 0)
        UNIT_SKIP("no PID namespace here");
    setenv("INVOCATION_ID", "0123", 1); /* does not count then */
    pid_t first = fork();
    if (first == 0)
        _exit(getpid() == 1 ? (int)role_find() : 99);
    ck_assert_int_eq(waitpid(first, &status, 0), first);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), ROLE_CONTAINER);
}
END_TEST

/* In a child: what role_find says to process 1 of a namespace where /proc is not mounted. */
__attribute__((noreturn)) static void find_without_proc(void)
{
    int status = 0;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(NO_NAMESPACE);
    while (umount2("/proc", MNT_DETACH) == 0)
        ;
    pid_t first = fork();
    if (first == 0)
        _exit(getpid() == 1 && access("/proc/self", F_OK) < 0 ? (int)role_find() : ROLE_COUNT);
    _exit(waitpid(first, &status, 0) == first && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                   : ROLE_COUNT);
}

START_TEST(without_proc_it_is_still_no_machine)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        find_without_proc();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_NAMESPACE)
        UNIT_SKIP("no PID namespace here");
    ck_assert_int_eq(WEXITSTATUS(status), ROLE_CONTAINER);
}
END_TEST

UNIT_WITHOUT_LEAK_CHECK()

static Suite *suite(void)
{
    Suite *all = suite_create("role");
    TCase *roles = tcase_create("roles");
    tcase_add_test(roles, every_role_is_found_by_its_name);
    tcase_add_test(roles, another_name_is_no_role_and_changes_nothing);
    tcase_add_test(roles, the_environment_tells_which_service_manager_there_is);
    tcase_add_test(roles, process_1_of_a_namespace_of_its_own_is_a_container);
    tcase_add_test(roles, without_proc_it_is_still_no_machine);
    suite_add_tcase(all, roles);
    return all;
}

UNIT_MAIN(suite)
