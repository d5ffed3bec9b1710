/* Files as they come in images: plain, links, mount points, read-only. Mounts are made in a mount
 * namespace of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/machine/systemfile.h"
#include "protocol/cleanup.h"
#include "tests/support/unit.h"

static char directory[64], path[256], fallback[256];

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/systemfile.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/etc/resolv.conf", directory);
    snprintf(fallback, sizeof fallback, "%s/run/a/b/resolv.conf", directory);
    char etc[128];
    snprintf(etc, sizeof etc, "%s/etc", directory);
    ck_assert_int_eq(mkdir(etc, 0755), 0);
}

static void teardown(void)
{
    static const char *const mounts[] = {"etc/resolv.conf", "etc"};
    static const char *const names[] = {"etc/resolv.conf",
                                        "etc/resolv.conf.other",
                                        "etc",
                                        "run/a/b/resolv.conf",
                                        "run/a/b",
                                        "run/a",
                                        "run",
                                        ""};
    char name[128];
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        snprintf(name, sizeof name, "%s/%s", directory, mounts[i]);
        umount2(name, MNT_DETACH);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "%s/%s", directory, names[i]);
        remove(name);
    }
    ck_assert_int_ne(access(directory, F_OK), 0);
}

static int write_text(const char *text, struct nsp_error *err)
{
    return systemfile_write(path, fallback, text, strlen(text), err);
}

static void put(const char *file, const char *text)
{
    AUTO_FD int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect_in(const char *file, const char *text)
{
    char found[2048];
    AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ssize_t length = read(fd, found, sizeof found - 1);
    ck_assert_int_ge(length, 0);
    found[length] = '\0';
    ck_assert_str_eq(found, text);
}

static bool is_link(void)
{
    struct stat status;
    ck_assert_int_eq(lstat(path, &status), 0);
    return S_ISLNK(status.st_mode);
}

/* etc becomes a read-only file system that holds what it held. */
static bool make_read_only(void)
{
    char etc[128];
    snprintf(etc, sizeof etc, "%s/etc", directory);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(etc, etc, NULL, MS_BIND, NULL) == 0 &&
           mount(NULL, etc, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0;
}

START_TEST(a_missing_file_is_made)
{
    struct stat status;
    ck_assert_int_eq(write_text("new\n", NULL), 0);
    expect_in(path, "new\n");
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0644);
}
END_TEST

START_TEST(a_file_is_replaced_and_not_written_into)
{
    put(path, "a much longer old text\n");
    AUTO_FD int reader = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(write_text("new\n", NULL), 0);
    expect_in(path, "new\n");
    char old[8];
    ck_assert_int_eq(read(reader, old, 6), 6);
    ck_assert(memcmp(old, "a much", 6) == 0);
}
END_TEST

START_TEST(the_same_text_changes_nothing)
{
    struct stat before, after;
    put(path, "same\n");
    ck_assert_int_eq(stat(path, &before), 0);
    ck_assert_int_eq(write_text("same\n", NULL), 0);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_int_eq(write_text("sane\n", NULL), 0);
    expect_in(path, "sane\n");
}
END_TEST

START_TEST(a_dangling_link_is_replaced)
{
    ck_assert_int_eq(symlink("../run/systemd/resolve/stub-resolv.conf", path), 0);
    ck_assert_int_eq(write_text("new\n", NULL), 0);
    ck_assert(!is_link());
    expect_in(path, "new\n");
}
END_TEST

START_TEST(a_file_mounted_there_is_written_into)
{
    char other[300];
    snprintf(other, sizeof other, "%s.other", path);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        UNIT_SKIP("no mount namespaces");
    put(path, "covered\n");
    put(other, "a longer text of somebody else\n");
    ck_assert_int_eq(mount(other, path, NULL, MS_BIND, NULL), 0);
    ck_assert_int_eq(write_text("new\n", NULL), 0);
    expect_in(path, "new\n");
    expect_in(other, "new\n");
    ck_assert_int_eq(umount(path), 0);
    expect_in(path, "covered\n");
}
END_TEST

START_TEST(a_read_only_directory_gets_it_mounted)
{
    put(path, "image\n");
    if (!make_read_only())
        UNIT_SKIP("no mount namespaces");
    ck_assert_int_eq(write_text("new\n", NULL), 0);
    expect_in(path, "new\n");
    expect_in(fallback, "new\n");
    /* The next one goes into what is mounted. */
    ck_assert_int_eq(write_text("newer\n", NULL), 0);
    expect_in(path, "newer\n");
    ck_assert_int_eq(umount(path), 0);
    expect_in(path, "image\n");
}
END_TEST

START_TEST(a_dangling_link_on_a_read_only_directory_gets_its_target)
{
    ck_assert_int_eq(symlink("../run/a/b/resolv.conf", path), 0);
    if (!make_read_only())
        UNIT_SKIP("no mount namespaces");
    ck_assert_int_eq(write_text("new\n", NULL), 0);
    ck_assert(is_link());
    expect_in(path, "new\n");
    expect_in(fallback, "new\n");
}
END_TEST

START_TEST(a_read_only_directory_without_the_file_is_an_error)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (!make_read_only())
        UNIT_SKIP("no mount namespaces");
    ck_assert_int_eq(write_text("new\n", &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, EROFS);
    ck_assert_str_eq(err.object, path);
}
END_TEST

START_TEST(what_is_no_file_is_left_alone)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_assert_int_eq(systemfile_write(path, NULL, "new\n", 4, &err), -1);
    ck_assert_int_eq(err.sys_errno, EISDIR);
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert(S_ISDIR(status.st_mode));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("systemfile");
    TCase *tests = tcase_create("systemfile");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_missing_file_is_made);
    tcase_add_test(tests, a_file_is_replaced_and_not_written_into);
    tcase_add_test(tests, the_same_text_changes_nothing);
    tcase_add_test(tests, a_dangling_link_is_replaced);
    tcase_add_test(tests, a_file_mounted_there_is_written_into);
    tcase_add_test(tests, a_read_only_directory_gets_it_mounted);
    tcase_add_test(tests, a_dangling_link_on_a_read_only_directory_gets_its_target);
    tcase_add_test(tests, a_read_only_directory_without_the_file_is_an_error);
    tcase_add_test(tests, what_is_no_file_is_left_alone);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
