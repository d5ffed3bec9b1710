/* Kernel modules: what is found in depmod's files, and in which order it is loaded. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/machine/module.h"
#include "tests/support/unit.h"

static char directory[64], loaded_directory[96];
static char inserted[512]; /* base names, in order */
static int insert_errno;
static const char *insert_errno_for;
static bool saw_compressed;
static struct nsp_error err;

static int insert(void *arg, int fd, bool is_compressed, const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    ck_assert_ptr_eq(arg, inserted);
    ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
    if (insert_errno_for && strcmp(name, insert_errno_for) == 0) {
        errno = insert_errno;
        return -1;
    }
    saw_compressed = saw_compressed || is_compressed;
    snprintf(inserted + strlen(inserted), sizeof inserted - strlen(inserted), "%s ", name);
    return 0;
}

static char *in(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(in(name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static const char *const modules[] = {"a.ko", "b-b.ko", "c.ko.xz", "d.ko", "virtio_x.ko"};

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/module.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(loaded_directory, sizeof loaded_directory, "%s/loaded", directory);
    ck_assert_int_eq(mkdir(loaded_directory, 0755), 0);
    ck_assert_int_eq(mkdir(in("kernel"), 0755), 0);
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        char name[64];
        snprintf(name, sizeof name, "kernel/%s", modules[i]);
        put(name, "module");
    }
    put("modules.dep", "kernel/a.ko:\n"
                       "kernel/b-b.ko: kernel/a.ko\n"
                       "kernel/c.ko.xz: kernel/b-b.ko kernel/a.ko\n"
                       "kernel/d.ko: kernel/gone.ko\n"
                       "kernel/virtio_x.ko: kernel/a.ko");
    put("modules.builtin", "kernel/fs/ext9/ext9.ko\nkernel/lib/built-in_one.ko\n");
    put("modules.alias", "# Aliases extracted from modules themselves.\n"
                         "alias virtio:d0000002Av* virtio_x\n"
                         "alias fs-a a\n"
                         "alias broken\n"
                         "alias nowhere* gone\n");
    inserted[0] = '\0';
    insert_errno_for = NULL;
    saw_compressed = false;
    err = NSP_ERROR_INIT;
}

static void teardown(void)
{
    pid_t pid = fork();
    if (pid == 0)
        execl("/bin/rm", "rm", "-r", directory, (char *)NULL);
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static int load(const char *name)
{
    const struct module_source source = {
        .directory = directory, .loaded = loaded_directory, .insert = insert, .arg = inserted};
    return module_load_from(&source, name, &err);
}

static void assert_refused(const char *name, enum nsp_error_code code)
{
    ck_assert_int_eq(load(name), -1);
    ck_assert_str_eq(nsp_error_name(err.code), nsp_error_name(code));
}

START_TEST(what_it_needs_comes_first)
{
    ck_assert_int_eq(load("c"), 0);
    ck_assert_str_eq(inserted, "a.ko b-b.ko c.ko.xz ");
    ck_assert(saw_compressed);
}
END_TEST

START_TEST(a_file_that_is_not_compressed_is_not_said_to_be)
{
    ck_assert_int_eq(load("a"), 0);
    ck_assert_str_eq(inserted, "a.ko ");
    ck_assert(!saw_compressed);
}
END_TEST

START_TEST(hyphen_and_underscore_are_the_same)
{
    ck_assert_int_eq(load("b_b"), 0);
    ck_assert_int_eq(load("b-b"), 0);
    ck_assert_str_eq(inserted, "a.ko b-b.ko a.ko b-b.ko ");
}
END_TEST

START_TEST(the_last_line_needs_no_end)
{
    ck_assert_int_eq(load("virtio-x"), 0);
    ck_assert_str_eq(inserted, "a.ko virtio_x.ko ");
}
END_TEST

START_TEST(names_are_compared_whole)
{
    assert_refused("b", NSP_E_NOT_FOUND);
    assert_refused("virtio", NSP_E_NOT_FOUND);
    assert_refused("virtio_xy", NSP_E_NOT_FOUND);
    assert_refused("kernel", NSP_E_NOT_FOUND);
    ck_assert_str_eq(inserted, "");
}
END_TEST

START_TEST(what_is_built_in_needs_nothing)
{
    ck_assert_int_eq(load("ext9"), 0);
    ck_assert_int_eq(load("built_in-one"), 0);
    ck_assert_str_eq(inserted, "");
}
END_TEST

START_TEST(what_is_loaded_needs_nothing)
{
    put("loaded/b_b", "");
    ck_assert_int_eq(load("b-b"), 0);
    ck_assert_str_eq(inserted, "");
}
END_TEST

START_TEST(a_race_for_the_same_module_is_won_by_both)
{
    insert_errno_for = "a.ko";
    insert_errno = EEXIST;
    ck_assert_int_eq(load("b_b"), 0);
    ck_assert_str_eq(inserted, "b-b.ko ");
}
END_TEST

START_TEST(an_alias_stands_for_its_module)
{
    ck_assert_int_eq(load("fs-a"), 0);
    ck_assert_int_eq(load("virtio:d0000002Av00001AF4"), 0);
    ck_assert_str_eq(inserted, "a.ko a.ko virtio_x.ko ");
    assert_refused("nowhere-1", NSP_E_NOT_FOUND);
    assert_refused("broken", NSP_E_NOT_FOUND);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    assert_refused("", NSP_E_INVALID_PARAMS);
    assert_refused("../a", NSP_E_INVALID_PARAMS);
    assert_refused("d", NSP_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.object, "gone.ko"));
}
END_TEST

START_TEST(a_kernel_that_does_not_decompress_is_told_as_such)
{
    static const int errors[] = {EOPNOTSUPP, EINVAL};
    insert_errno_for = "c.ko.xz";
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        insert_errno = errors[i];
        assert_refused("c", NSP_E_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(err.object, "c.ko.xz"));
    }
}
END_TEST

START_TEST(other_failures_keep_their_errno)
{
    insert_errno_for = "a.ko";
    insert_errno = EPERM;
    assert_refused("a", NSP_E_PERMISSION);
    insert_errno = ENOEXEC;
    assert_refused("a", NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, ENOEXEC);
    insert_errno = ENOSYS;
    assert_refused("a", NSP_E_UNSUPPORTED);
}
END_TEST

START_TEST(without_files_there_is_nothing)
{
    static const char *const names[] = {"modules.dep", "modules.builtin", "modules.alias"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(unlink(in(names[i])), 0);
    assert_refused("a", NSP_E_NOT_FOUND);
    put("modules.dep", "");
    assert_refused("a", NSP_E_NOT_FOUND);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("module");
    TCase *tests = tcase_create("module");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_it_needs_comes_first);
    tcase_add_test(tests, a_file_that_is_not_compressed_is_not_said_to_be);
    tcase_add_test(tests, hyphen_and_underscore_are_the_same);
    tcase_add_test(tests, the_last_line_needs_no_end);
    tcase_add_test(tests, names_are_compared_whole);
    tcase_add_test(tests, what_is_built_in_needs_nothing);
    tcase_add_test(tests, what_is_loaded_needs_nothing);
    tcase_add_test(tests, a_race_for_the_same_module_is_won_by_both);
    tcase_add_test(tests, an_alias_stands_for_its_module);
    tcase_add_test(tests, what_cannot_be_is_refused);
    tcase_add_test(tests, a_kernel_that_does_not_decompress_is_told_as_such);
    tcase_add_test(tests, other_failures_keep_their_errno);
    tcase_add_test(tests, without_files_there_is_nothing);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
