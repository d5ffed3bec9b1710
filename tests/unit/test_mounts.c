/* File systems, in a mount namespace and below a directory of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/boot/mounts.h"
#include "agent/machine/mount.h"
#include "tests/support/unit.h"

static char top[64], detail[216];
static struct nsp_error err;
static bool is_isolated;

#define NEEDS_ISOLATION()                                                                          \
    do {                                                                                           \
        if (!is_isolated)                                                                          \
            UNIT_SKIP("may not make mount namespaces");                                            \
    } while (0)

static char *in(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s%s", top, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(in(name), "w");
    ck_assert_msg(file != NULL, "%s: %s", in(name), strerror(errno));
    fputs(text, file);
    fclose(file);
}

/* All is on a tmpfs that goes with the namespace. */
static void setup(void)
{
    snprintf(top, sizeof top, "/tmp/mounts.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    is_isolated = unshare(CLONE_NEWNS | CLONE_NEWIPC) == 0 &&
                  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                  mount("tmpfs", top, "tmpfs", 0, NULL) == 0;
    detail[0] = '\0';
    err = NSP_ERROR_INIT;
}

static void teardown(void)
{
    umount2(top, MNT_DETACH);
    ck_assert_int_eq(rmdir(top), 0);
}

static int apply(bool tmp)
{
    const struct mounts_request request = {.root = top, .tmp = tmp};
    return mounts_apply(&request, detail, sizeof detail, &err);
}

static unsigned long flags_of(const char *name)
{
    struct statvfs status;
    ck_assert_int_eq(statvfs(in(name), &status), 0);
    return status.f_flag;
}

START_TEST(shared_memory_is_there_for_all)
{
    struct stat status;
    NEEDS_ISOLATION();
    ck_assert_msg(apply(false) == 0, "%s", err.msg);
    ck_assert(mount_is_type(in("/dev/shm"), "tmpfs"));
    ck_assert_int_eq(stat(in("/dev/shm"), &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 01777);
    ck_assert_uint_eq(flags_of("/dev/shm") & (ST_NOSUID | ST_NODEV | ST_NOEXEC),
                      ST_NOSUID | ST_NODEV);
    ck_assert_int_eq(access(in("/tmp"), F_OK), -1);
    ck_assert_int_eq(access(in("/dev/hugepages"), F_OK), -1);
    ck_assert_int_eq(access(in("/sys"), F_OK), -1);
}
END_TEST

START_TEST(twice_is_no_error)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(apply(false), 0);
    ck_assert_int_eq(apply(false), 0);
    ck_assert_ptr_nonnull(strstr(detail, "there already"));
    ck_assert_int_eq(umount2(in("/dev/shm"), 0), 0);
    ck_assert_int_eq(umount2(in("/dev/shm"), 0), -1);
}
END_TEST

START_TEST(an_empty_tmp_is_covered_when_wanted)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(mkdir(in("/tmp"), 0755), 0);
    ck_assert_int_eq(apply(true), 0);
    ck_assert(mount_is_type(in("/tmp"), "tmpfs"));
}
END_TEST

START_TEST(what_is_in_tmp_is_not_hidden)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(mkdir(in("/tmp"), 0755), 0);
    put("/tmp/.file", "x");
    ck_assert_int_eq(apply(true), 0);
    ck_assert(!mount_is_type(in("/tmp"), "tmpfs"));
    ck_assert_int_eq(access(in("/tmp/.file"), F_OK), 0);
}
END_TEST

START_TEST(huge_pages_only_where_some_are_reserved)
{
    static const char number[] = "/proc/sys/vm/nr_hugepages";
    NEEDS_ISOLATION();
    ck_assert_int_eq(mount_make_directory(in("/proc/sys/vm"), NULL), 0);
    put(number, "0\n");
    ck_assert_int_eq(apply(false), 0);
    ck_assert_int_eq(access(in("/dev/hugepages"), F_OK), -1);
    put(number, "2\n");
    ck_assert_int_eq(apply(false), 0);
    ck_assert_int_eq(access(in("/dev/hugepages"), F_OK), 0);
}
END_TEST

START_TEST(a_failure_is_told_after_all_were_tried)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(mkdir(in("/dev"), 0755), 0);
    put("/dev/shm", "no directory");
    ck_assert_int_eq(mkdir(in("/tmp"), 0755), 0);
    ck_assert_int_eq(apply(true), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_ptr_nonnull(strstr(err.object, "/dev/shm"));
    ck_assert_ptr_nonnull(strstr(detail, "not mounted: /dev/shm"));
    ck_assert(mount_is_type(in("/tmp"), "tmpfs"));
}
END_TEST

/* Volumes */

static int apply_volumes(const struct config_mount *list, size_t count)
{
    return mounts_volumes(list, count, detail, sizeof detail, &err);
}

START_TEST(a_volume_gets_its_options_and_safe_ones)
{
    NEEDS_ISOLATION();
    const struct config_mount list[] = {
        {.source = "x", .target = in("/a"), .type = "tmpfs", .options = "ro,noexec,mode=0700"},
        {.source = "x", .target = in("/b"), .type = "tmpfs", .options = "suid,dev"},
        {.target = in("/c"), .type = "tmpfs"}};
    struct stat status;
    ck_assert_msg(apply_volumes(list, 3) == 0, "%s", err.msg);
    ck_assert_str_eq(detail, "3 mounted, 0 there already");
    const unsigned long all = ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RDONLY;
    ck_assert_uint_eq(flags_of("/a") & all, all);
    ck_assert_uint_eq(flags_of("/b") & all, 0);
    ck_assert_uint_eq(flags_of("/c") & all, ST_NOSUID | ST_NODEV);
    ck_assert_int_eq(stat(in("/a"), &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0700);
}
END_TEST

START_TEST(the_outer_one_comes_first)
{
    NEEDS_ISOLATION();
    const struct config_mount list[] = {
        {.source = "inner", .target = in("/data/deep/er"), .type = "tmpfs"},
        {.source = "outer", .target = in("/data"), .type = "tmpfs"},
        {.source = "middle", .target = in("/data//deep/"), .type = "tmpfs"}};
    ck_assert_int_eq(apply_volumes(list, 3), 0);
    ck_assert_int_eq(umount2(in("/data"), 0), -1);
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_int_eq(umount2(in("/data/deep/er"), 0), 0);
    ck_assert_int_eq(umount2(in("/data/deep"), 0), 0);
    ck_assert_int_eq(umount2(in("/data"), 0), 0);
}
END_TEST

START_TEST(a_directory_is_bound_with_its_flags)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(mkdir(in("/from"), 0755), 0);
    put("/from/file", "content");
    const struct config_mount list[] = {
        {.source = in("/from"), .target = in("/to"), .options = "ro"},
        {.source = in("/from"), .target = in("/again"), .type = "none", .options = "bind"}};
    ck_assert_msg(apply_volumes(list, 2) == 0, "%s", err.msg);
    ck_assert_int_eq(access(in("/to/file"), F_OK), 0);
    ck_assert_int_eq(creat(in("/to/new"), 0644), -1);
    ck_assert_int_eq(errno, EROFS);
    ck_assert_int_eq(close(creat(in("/again/new"), 0644)), 0);
    ck_assert_uint_eq(flags_of("/again") & (ST_NOSUID | ST_NODEV), ST_NOSUID | ST_NODEV);
    ck_assert_uint_eq(flags_of("/from") & (ST_NOSUID | ST_NODEV | ST_RDONLY), 0);
}
END_TEST

START_TEST(a_file_is_bound_to_a_file)
{
    NEEDS_ISOLATION();
    put("/from", "content");
    const struct config_mount list[] = {{.source = in("/from"), .target = in("/new/file")}};
    struct stat status;
    ck_assert_msg(apply_volumes(list, 1) == 0, "%s", err.msg);
    ck_assert_int_eq(stat(in("/new/file"), &status), 0);
    ck_assert_int_eq(status.st_size, 7);
}
END_TEST

START_TEST(only_a_required_one_is_an_error)
{
    NEEDS_ISOLATION();
    struct config_mount list[] = {
        {.source = "/dev/none", .target = in("/a"), .type = "ext4"},
        {.source = in("/none"), .target = in("/b")},
        {.source = "x", .target = in("/c"), .type = "tmpfs"},
    };
    ck_assert_int_eq(apply_volumes(list, 3), 0);
    ck_assert_ptr_nonnull(strstr(detail, "1 mounted"));
    ck_assert_ptr_nonnull(strstr(detail, list[0].target));
    ck_assert(mount_is_type(in("/c"), "tmpfs"));
    list[1].required = true;
    ck_assert_int_eq(apply_volumes(list, 3), -1);
    ck_assert_str_eq(err.object, list[1].target);
}
END_TEST

START_TEST(a_file_system_that_nobody_has_is_told)
{
    NEEDS_ISOLATION();
    const struct config_mount list[] = {
        {.source = "x", .target = in("/a"), .type = "nosuchfs", .required = true}};
    ck_assert_int_eq(apply_volumes(list, 1), -1);
    ck_assert_int_eq(err.sys_errno, ENODEV);
    ck_assert_str_eq(err.object, list[0].target);
}
END_TEST

START_TEST(options_that_are_too_long_are_refused)
{
    char options[2048];
    NEEDS_ISOLATION();
    memset(options, 'x', sizeof options - 1);
    options[sizeof options - 1] = '\0';
    const struct config_mount list[] = {
        {.source = "x", .target = in("/a"), .type = "tmpfs", .options = options, .required = true}};
    ck_assert_int_eq(apply_volumes(list, 1), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("mounts");
    TCase *tests = tcase_create("mounts");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, shared_memory_is_there_for_all);
    tcase_add_test(tests, twice_is_no_error);
    tcase_add_test(tests, an_empty_tmp_is_covered_when_wanted);
    tcase_add_test(tests, what_is_in_tmp_is_not_hidden);
    tcase_add_test(tests, huge_pages_only_where_some_are_reserved);
    tcase_add_test(tests, a_failure_is_told_after_all_were_tried);
    tcase_add_test(tests, a_volume_gets_its_options_and_safe_ones);
    tcase_add_test(tests, the_outer_one_comes_first);
    tcase_add_test(tests, a_directory_is_bound_with_its_flags);
    tcase_add_test(tests, a_file_is_bound_to_a_file);
    tcase_add_test(tests, only_a_required_one_is_an_error);
    tcase_add_test(tests, a_file_system_that_nobody_has_is_told);
    tcase_add_test(tests, options_that_are_too_long_are_refused);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
