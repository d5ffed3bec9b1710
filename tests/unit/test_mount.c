/* Mounting, and what is mounted. */
#include "agent/machine/mount.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/private_mounts.h"
#include "tests/support/unit.h"

static struct nsp_error err = NSP_ERROR_INIT;

/* Options */

static unsigned long parsed_flags;
static char parsed_data[64];

static int parse(const char *options)
{
    return mount_parse_options(options, &parsed_flags, parsed_data, sizeof parsed_data, &err);
}

START_TEST(known_words_become_flags_and_the_rest_stays)
{
    ck_assert_int_eq(parse("ro,nosuid,mode=1777,nodev,size=1m,noexec"), 0);
    ck_assert_uint_eq(parsed_flags, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    ck_assert_str_eq(parsed_data, "mode=1777,size=1m");
}
END_TEST

START_TEST(the_later_of_two_opposites_counts)
{
    ck_assert_int_eq(parse("ro,rw,nosuid,suid,nodev,dev,noexec,exec,sync,async"), 0);
    ck_assert_uint_eq(parsed_flags, 0);
    ck_assert_int_eq(parse("rw,ro,noatime,atime,norelatime,relatime"), 0);
    ck_assert_uint_eq(parsed_flags, MS_RDONLY | MS_RELATIME);
}
END_TEST

START_TEST(empty_words_and_defaults_mean_nothing)
{
    ck_assert_int_eq(parse(""), 0);
    ck_assert_uint_eq(parsed_flags, 0);
    ck_assert_str_eq(parsed_data, "");
    ck_assert_int_eq(parse(",,defaults,,a=b,"), 0);
    ck_assert_uint_eq(parsed_flags, 0);
    ck_assert_str_eq(parsed_data, "a=b");
}
END_TEST

START_TEST(words_that_only_begin_like_known_ones_are_the_file_systems)
{
    ck_assert_int_eq(parse("rox,r,ro=1,bind,rbind"), 0);
    ck_assert_uint_eq(parsed_flags, MS_BIND | MS_REC);
    ck_assert_str_eq(parsed_data, "rox,r,ro=1");
}
END_TEST

START_TEST(options_beyond_the_room_are_refused)
{
    char options[128];
    memset(options, 'x', sizeof options);
    options[sizeof parsed_data - 2] = '\0';
    ck_assert_int_eq(parse(options), 0);
    ck_assert_uint_eq(strlen(parsed_data), sizeof parsed_data - 2);
    options[sizeof parsed_data - 2] = 'x';
    options[sizeof parsed_data] = '\0';
    parsed_flags = 77;
    ck_assert_int_eq(parse(options), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_uint_eq(parsed_flags, 77);
}
END_TEST

/* What is mounted */

struct seen {
    unsigned count, stop_at;
    const char *target;
    bool found, is_read_only, is_complete;
    char type[32];
};

static bool look(void *arg, const struct mount_info *info)
{
    struct seen *seen = arg;
    seen->is_complete &= info->target[0] == '/' && info->type[0] && info->source && info->root;
    if (seen->target && strcmp(info->target, seen->target) == 0) {
        seen->found = true;
        seen->is_read_only = info->is_read_only;
        snprintf(seen->type, sizeof seen->type, "%s", info->type);
    }
    return ++seen->count != seen->stop_at;
}

START_TEST(every_mount_of_this_machine_is_complete)
{
    struct seen seen = {.target = "/proc", .is_complete = true};
    ck_assert_int_eq(mount_each(look, &seen, &err), 0);
    ck_assert(seen.is_complete);
    ck_assert(seen.found);
    ck_assert_str_eq(seen.type, "proc");
}
END_TEST

START_TEST(the_visit_can_be_ended)
{
    struct seen seen = {.stop_at = 1};
    ck_assert_int_eq(mount_each(look, &seen, &err), 0);
    ck_assert_uint_eq(seen.count, 1);
}
END_TEST

START_TEST(types_are_told_apart_and_only_at_mount_points)
{
    ck_assert(mount_is_type("/proc", "proc"));
    ck_assert(!mount_is_type("/proc", "sysfs"));
    ck_assert(!mount_is_type("/proc/self", "proc"));
    ck_assert(!mount_is_type("/proc", "ext4"));
    ck_assert(!mount_is_type("/nonexistent", "proc"));
}
END_TEST

/* Directories */

START_TEST(a_directory_comes_with_its_parents)
{
    char base[] = "/tmp/test_mount.XXXXXX", path[64];
    struct stat status;
    ck_assert_ptr_nonnull(mkdtemp(base));
    umask(022);
    snprintf(path, sizeof path, "%s/a//b/c/", base);
    ck_assert_int_eq(mount_make_directory(path, &err), 0);
    ck_assert_int_eq(mount_make_directory(path, &err), 0);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
    for (const char *end = "/a/b/c"; *end;) {
        snprintf(path, sizeof path, "%s%s", base, end);
        ck_assert_int_eq(rmdir(path), 0);
        end = strcmp(end, "/a/b/c") == 0 ? "/a/b" : strcmp(end, "/a/b") == 0 ? "/a" : "";
    }
    ck_assert_int_eq(rmdir(base), 0);
}
END_TEST

START_TEST(what_is_no_directory_is_named)
{
    static char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    ck_assert_int_eq(mount_make_directory("/dev/null/below", &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_str_eq(err.object, "/dev/null/below");
    ck_assert_int_eq(err.sys_errno, ENOTDIR);
    ck_assert_int_eq(mount_make_directory("", &err), -1);
    ck_assert_int_eq(mount_make_directory(longest, &err), -1);
    ck_assert_int_eq(err.sys_errno, ENAMETOOLONG);
}
END_TEST

/* Mounting */

#define NEED_OWN_ROOT()                                                                            \
    if (!private_mounts_enter_empty())                                                             \
    UNIT_SKIP("no mount namespace here")

START_TEST(an_entry_is_made_and_mounted_once)
{
    const struct mount_entry entry = {
        .source = "mine", .target = "/a/b c", .type = "tmpfs", .flags = MS_NOSUID};
    struct seen seen = {.target = entry.target, .is_complete = true};
    bool was_there = true;
    NEED_OWN_ROOT();
    ck_assert_int_eq(mount_entry_apply(&entry, &was_there, &err), 0);
    ck_assert(!was_there);
    ck_assert(mount_is_type("/a/b c", "tmpfs"));
    ck_assert(!mount_is_type("/a", "tmpfs"));
    ck_assert_int_eq(mkdir("/a/b c/mark", 0755), 0);
    ck_assert_int_eq(mount_entry_apply(&entry, &was_there, &err), 0);
    ck_assert(was_there);
    ck_assert_int_eq(access("/a/b c/mark", F_OK), 0);
    ck_assert_int_eq(mount_entry_apply(&entry, NULL, &err), 0);
    ck_assert_int_eq(mount_each(look, &seen, &err), 0);
    ck_assert(seen.found && seen.is_complete && !seen.is_read_only);
}
END_TEST

START_TEST(blanks_and_backslashes_in_a_mount_point_are_read_as_they_are)
{
    static const char *const paths[] = {"/a b", "/tab\there", "/line\nfeed", "/back\\slash",
                                        "/\\040"};
    NEED_OWN_ROOT();
    for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const struct mount_entry entry = {
            .source = "x", .target = paths[i], .type = "tmpfs", .flags = MS_RDONLY};
        struct seen seen = {.target = paths[i], .is_complete = true};
        ck_assert_int_eq(mount_entry_apply(&entry, NULL, &err), 0);
        ck_assert_int_eq(mount_each(look, &seen, &err), 0);
        ck_assert_msg(seen.found && seen.is_read_only, "path %u", i);
    }
}
END_TEST

START_TEST(a_file_system_that_the_kernel_does_not_have_is_missing)
{
    const struct mount_entry entry = {.source = "x", .target = "/a", .type = "nosuchfs"};
    bool was_there = true;
    NEED_OWN_ROOT();
    ck_assert_int_eq(mount_entry_apply(&entry, &was_there, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_str_eq(err.object, "/a");
    ck_assert_int_eq(err.sys_errno, ENODEV);
    ck_assert(was_there);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("mount");
    TCase *options = tcase_create("options");
    TCase *mounted = tcase_create("mounted");
    TCase *apply = tcase_create("apply");
    tcase_add_test(options, known_words_become_flags_and_the_rest_stays);
    tcase_add_test(options, the_later_of_two_opposites_counts);
    tcase_add_test(options, empty_words_and_defaults_mean_nothing);
    tcase_add_test(options, words_that_only_begin_like_known_ones_are_the_file_systems);
    tcase_add_test(options, options_beyond_the_room_are_refused);
    tcase_add_test(mounted, every_mount_of_this_machine_is_complete);
    tcase_add_test(mounted, the_visit_can_be_ended);
    tcase_add_test(mounted, types_are_told_apart_and_only_at_mount_points);
    tcase_add_test(apply, a_directory_comes_with_its_parents);
    tcase_add_test(apply, what_is_no_directory_is_named);
    tcase_add_test(apply, an_entry_is_made_and_mounted_once);
    tcase_add_test(apply, blanks_and_backslashes_in_a_mount_point_are_read_as_they_are);
    tcase_add_test(apply, a_file_system_that_the_kernel_does_not_have_is_missing);
    suite_add_tcase(all, options);
    suite_add_tcase(all, mounted);
    suite_add_tcase(all, apply);
    return all;
}

UNIT_MAIN(suite)
