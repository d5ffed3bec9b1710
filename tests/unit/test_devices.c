/* What /dev needs, in a root of the test's own. */
#include "agent/machine/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/private_mounts.h"
#include "tests/support/unit.h"

#define NEED_OWN_ROOT()                                                                            \
    if (!private_mounts_enter_empty())                                                             \
    UNIT_SKIP("no mount namespace here")

static struct nsp_error err = NSP_ERROR_INIT;

static void assert_link(const char *path, const char *target)
{
    char found[64] = "";
    ck_assert_int_gt(readlink(path, found, sizeof found - 1), 0);
    ck_assert_str_eq(found, target);
}

START_TEST(the_links_are_made_and_lead_to_the_descriptors)
{
    NEED_OWN_ROOT();
    ck_assert_int_eq(mkdir("/dev", 0755), 0);
    ck_assert_int_eq(devices_make_links(&err), 0);
    assert_link("/dev/fd", "/proc/self/fd");
    assert_link("/dev/stdin", "fd/0");
    assert_link("/dev/stdout", "fd/1");
    assert_link("/dev/stderr", "fd/2");
    assert_link("/dev/core", "/proc/kcore");
    assert_link("/dev/ptmx", "pts/ptmx");
    ck_assert_int_eq(access("/dev/stderr", F_OK), 0);
}
END_TEST

START_TEST(what_is_there_already_stays)
{
    NEED_OWN_ROOT();
    ck_assert_int_eq(mkdir("/dev", 0755), 0);
    ck_assert_int_eq(symlink("elsewhere", "/dev/ptmx"), 0);
    ck_assert_int_eq(devices_make_links(&err), 0);
    ck_assert_int_eq(devices_make_links(&err), 0);
    assert_link("/dev/ptmx", "elsewhere");
    assert_link("/dev/fd", "/proc/self/fd");
}
END_TEST

START_TEST(without_dev_the_link_is_named)
{
    NEED_OWN_ROOT();
    ck_assert_int_eq(devices_make_links(&err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, ENOENT);
    ck_assert_str_eq(err.object, "/dev/fd");
}
END_TEST

START_TEST(a_dev_that_is_mounted_is_left_alone)
{
    NEED_OWN_ROOT();
    ck_assert_int_eq(mkdir("/dev", 0755), 0);
    ck_assert_int_eq(mount("dev", "/dev", "tmpfs", 0, NULL), 0);
    ck_assert_int_eq(mkdir("/dev/mine", 0755), 0);
    ck_assert_int_eq(devices_mount(&err), 0);
    ck_assert_int_eq(access("/dev/mine", F_OK), 0);
    ck_assert_int_eq(access("/dev/null", F_OK), -1);
}
END_TEST

START_TEST(without_a_console_the_standard_descriptors_are_null)
{
    struct stat status;
    NEED_OWN_ROOT();
    ck_assert_int_eq(mkdir("/dev", 0755), 0);
    int file = open("/file", O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(dup2(file, STDERR_FILENO), STDERR_FILENO);
    ck_assert_int_eq(devices_open_console(&err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_str_eq(err.object, "/dev/console");
    if (mknod("/dev/null", S_IFCHR | 0666, (1 << 8) | 3) < 0)
        UNIT_SKIP("no device nodes here");
    ck_assert_int_eq(devices_open_console(&err), 0);
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        ck_assert_int_eq(fstat(fd, &status), 0);
        ck_assert(S_ISCHR(status.st_mode));
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("devices");
    TCase *dev = tcase_create("dev");
    tcase_add_test(dev, the_links_are_made_and_lead_to_the_descriptors);
    tcase_add_test(dev, what_is_there_already_stays);
    tcase_add_test(dev, without_dev_the_link_is_named);
    tcase_add_test(dev, a_dev_that_is_mounted_is_left_alone);
    tcase_add_test(dev, without_a_console_the_standard_descriptors_are_null);
    suite_add_tcase(all, dev);
    return all;
}

UNIT_MAIN(suite)
