/* What control groups tell, on files that are the test's own. */
#include "agent/machine/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/unit.h"

static char directory[32];

static void make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/test_cgroup.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void file_path(char *path, size_t capacity, const char *name)
{
    snprintf(path, capacity, "%s/%s", directory, name);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    file_path(path, sizeof path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void remove_directory(void)
{
    static const char *const names[] = {"memory.events", "cgroup.kill"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        file_path(path, sizeof path, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

static uint64_t value_of(const char *name)
{
    uint64_t value = 12345;
    return cgroup_read(directory, "memory.events", name, &value) ? value : UINT64_MAX;
}

START_TEST(each_line_is_found_by_its_whole_name)
{
    write_file("memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 18446744073709551615\n");
    ck_assert_uint_eq(value_of("low"), 1);
    ck_assert_uint_eq(value_of("max"), 3);
    ck_assert_uint_eq(value_of("oom"), 4);
    ck_assert_uint_eq(value_of("oom_kill"), UINT64_MAX);
}
END_TEST

START_TEST(a_name_that_is_not_there_changes_nothing)
{
    uint64_t value = 7;
    write_file("memory.events", "low 1\noom_kill 2");
    ck_assert(!cgroup_read(directory, "memory.events", "oom", &value));
    ck_assert(!cgroup_read(directory, "memory.events", "ow", &value));
    ck_assert(!cgroup_read(directory, "memory.events", "oom_kill_all", &value));
    ck_assert(!cgroup_read(directory, "memory.stat", "low", &value));
    ck_assert(!cgroup_read("/nonexistent", "memory.events", "low", &value));
    ck_assert_uint_eq(value, 7);
    ck_assert(cgroup_read(directory, "memory.events", "oom_kill", &value));
    ck_assert_uint_eq(value, 2);
}
END_TEST

START_TEST(an_empty_file_has_no_values)
{
    uint64_t value = 7;
    write_file("memory.events", "");
    ck_assert(!cgroup_read(directory, "memory.events", "low", &value));
    write_file("memory.events", "\n\nlow 3\n");
    ck_assert(cgroup_read(directory, "memory.events", "low", &value));
    ck_assert_uint_eq(value, 3);
}
END_TEST

START_TEST(a_group_that_is_not_there_cannot_be_opened_or_killed)
{
    ck_assert_int_eq(cgroup_open("/nonexistent"), -1);
    ck_assert(!cgroup_kill("/nonexistent"));
    ck_assert(!cgroup_kill(directory)); /* a kernel without cgroup.kill */
}
END_TEST

START_TEST(a_group_is_opened_close_on_exec_and_only_as_a_directory)
{
    char path[128];
    int fd = cgroup_open(directory);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    write_file("memory.events", "");
    file_path(path, sizeof path, "memory.events");
    ck_assert_int_eq(cgroup_open(path), -1);
}
END_TEST

START_TEST(a_group_is_killed_by_its_file)
{
    char path[128], text[8] = "";
    write_file("cgroup.kill", "");
    ck_assert(cgroup_kill(directory));
    file_path(path, sizeof path, "cgroup.kill");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(read(fd, text, sizeof text - 1), 1);
    close(fd);
    ck_assert_str_eq(text, "1");
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("cgroup");
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_directory, remove_directory);
    tcase_add_test(files, each_line_is_found_by_its_whole_name);
    tcase_add_test(files, a_name_that_is_not_there_changes_nothing);
    tcase_add_test(files, an_empty_file_has_no_values);
    tcase_add_test(files, a_group_that_is_not_there_cannot_be_opened_or_killed);
    tcase_add_test(files, a_group_is_opened_close_on_exec_and_only_as_a_directory);
    tcase_add_test(files, a_group_is_killed_by_its_file);
    suite_add_tcase(all, files);
    return all;
}

UNIT_MAIN(suite)
