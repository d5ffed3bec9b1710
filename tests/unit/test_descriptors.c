/* The descriptors that a process was started with. */
#include "agent/os/descriptors.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/unit.h"

static bool is_null(int fd)
{
    struct stat here, null;
    return fstat(fd, &here) == 0 && stat("/dev/null", &null) == 0 && here.st_rdev == null.st_rdev &&
           S_ISCHR(here.st_mode);
}

START_TEST(closed_standard_descriptors_are_opened_and_open_ones_stay)
{
    struct stat before, after;
    close(0);
    close(1);
    ck_assert_int_eq(fstat(2, &before), 0);
    descriptors_open_standard();
    ck_assert(is_null(0));
    ck_assert(is_null(1));
    ck_assert_int_eq(fstat(2, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    int next = open("/dev/null", O_RDONLY);
    ck_assert_int_gt(next, 2);
    close(next);
}
END_TEST

START_TEST(without_dev_a_directory_takes_their_place)
{
    struct stat status;
    if (geteuid() != 0)
        UNIT_SKIP("needs root for chroot(2)");
    ck_assert_int_eq(chroot("/sys"), 0);
    close(0);
    descriptors_open_standard();
    ck_assert_int_eq(fstat(0, &status), 0);
    ck_assert(S_ISDIR(status.st_mode));
}
END_TEST

START_TEST(all_others_are_closed_by_an_execve)
{
    int low = open("/dev/null", O_RDONLY), high = fcntl(low, F_DUPFD, 700);
    ck_assert_int_ge(high, 700);
    ck_assert_int_eq(fcntl(2, F_SETFD, 0), 0);
    descriptors_close_others_on_exec();
    ck_assert_int_eq(fcntl(low, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(high, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(2, F_GETFD), 0);
    close(high);
    close(low);
}
END_TEST

UNIT_WITHOUT_LEAK_CHECK()

static Suite *suite(void)
{
    Suite *all = suite_create("descriptors");
    TCase *start = tcase_create("start");
    tcase_add_test(start, closed_standard_descriptors_are_opened_and_open_ones_stay);
    tcase_add_test(start, without_dev_a_directory_takes_their_place);
    tcase_add_test(start, all_others_are_closed_by_an_execve);
    suite_add_tcase(all, start);
    return all;
}

UNIT_MAIN(suite)
