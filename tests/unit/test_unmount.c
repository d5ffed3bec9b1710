/* The end of all mounts, in a root of the test's own. */
#include "agent/machine/unmount.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/machine/mount.h"
#include "tests/support/private_mounts.h"
#include "tests/support/unit.h"

#define NEED_OWN_ROOT()                                                                            \
    if (!private_mounts_enter_empty())                                                             \
    UNIT_SKIP("no mount namespace here")

static bool count(void *arg, const struct mount_info *info)
{
    *(unsigned *)arg += strcmp(info->type, "tmpfs") == 0 && strcmp(info->target, "/") != 0;
    return true;
}

/* Those beside the root. */
static unsigned tmpfs_mounts(void)
{
    unsigned result = 0;
    ck_assert_int_eq(mount_each(count, &result, NULL), 0);
    return result;
}

static void mount_at(const char *path)
{
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_assert_int_eq(mount("test", path, "tmpfs", 0, NULL), 0);
}

START_TEST(nested_mounts_are_gone_and_the_root_is_read_only)
{
    struct statvfs root;
    NEED_OWN_ROOT();
    mount_at("/a");
    mount_at("/a/b");
    mount_at("/a/b/c");
    mount_at("/a b");
    mount_at("/a b/c\\d");
    ck_assert_uint_eq(tmpfs_mounts(), 5);
    unmount_all();
    ck_assert_uint_eq(unmount_rest(), 0);
    ck_assert_uint_eq(tmpfs_mounts(), 0);
    ck_assert_int_eq(access("/proc/self/stat", F_OK), 0);
    ck_assert_int_eq(statvfs("/", &root), 0);
    ck_assert(root.f_flag & ST_RDONLY);
}
END_TEST

START_TEST(several_mounts_on_one_place_are_all_gone)
{
    NEED_OWN_ROOT();
    mount_at("/a");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(mount("test", "/a", "tmpfs", 0, NULL), 0);
    unmount_all();
    ck_assert_uint_eq(unmount_rest(), 0);
    ck_assert_uint_eq(tmpfs_mounts(), 0);
}
END_TEST

START_TEST(a_busy_mount_is_detached_and_what_is_open_still_works)
{
    NEED_OWN_ROOT();
    mount_at("/busy");
    mount_at("/busy/idle");
    int fd = open("/busy/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    unmount_all();
    ck_assert_uint_eq(unmount_rest(), 0);
    ck_assert_uint_eq(tmpfs_mounts(), 0);
    ck_assert_int_eq(access("/busy/file", F_OK), -1);
    ck_assert_int_eq(pread(fd, (char[1]){0}, 1, 0), 1);
    close(fd);
}
END_TEST

START_TEST(without_mounts_there_is_nothing_to_do)
{
    NEED_OWN_ROOT();
    unmount_all();
    ck_assert_uint_eq(unmount_rest(), 0);
    unmount_all();
    ck_assert_uint_eq(unmount_rest(), 0);
}
END_TEST

/* With a /proc/swaps and devices that are the test's: swapoff(2) has nothing to find. */
START_TEST(swap_areas_that_are_none_do_no_harm)
{
    static const char swaps[] = "Filename Type Size Used Priority\n"
                                "/nonexistent\\040one partition 1 0 -2\n"
                                "/file file 1 0 -3\n"
                                "no-path x\n\n";
    NEED_OWN_ROOT();
    int fd = open("/swaps", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, swaps, sizeof swaps - 1), (ssize_t)sizeof swaps - 1);
    close(fd);
    ck_assert_int_eq(mount("/swaps", "/proc/swaps", NULL, MS_BIND, NULL), 0);
    unmount_swap();
    ck_assert_int_eq(umount2("/proc/swaps", 0), 0);
    ck_assert_int_eq(access("/swaps", F_OK), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("unmount");
    TCase *end = tcase_create("end");
    tcase_add_test(end, nested_mounts_are_gone_and_the_root_is_read_only);
    tcase_add_test(end, several_mounts_on_one_place_are_all_gone);
    tcase_add_test(end, a_busy_mount_is_detached_and_what_is_open_still_works);
    tcase_add_test(end, without_mounts_there_is_nothing_to_do);
    tcase_add_test(end, swap_areas_that_are_none_do_no_harm);
    suite_add_tcase(all, end);
    return all;
}

UNIT_MAIN(suite)
