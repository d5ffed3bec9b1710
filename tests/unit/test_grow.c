/* Growing: all the cases that grow nothing. (A device that has grown needs a guest: tests/vm.) */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/boot/grow.h"
#include "agent/process/errand.h"
#include "tests/support/unit.h"

static char top[64], said[256];
static bool is_isolated;

#define NEEDS_ISOLATION()                                                                          \
    do {                                                                                           \
        if (!is_isolated)                                                                          \
            UNIT_SKIP("may not make mount namespaces");                                            \
    } while (0)

static char *in(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", top, name);
    return path;
}

static void setup(void)
{
    snprintf(top, sizeof top, "/tmp/grow.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    is_isolated = unshare(CLONE_NEWNS) == 0 &&
                  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                  mount("tmpfs", top, "tmpfs", 0, NULL) == 0;
}

static void teardown(void)
{
    umount2(top, MNT_DETACH);
    ck_assert_int_eq(rmdir(top), 0);
}

/* What it prints goes to said. */
static enum errand_status grow(const char *path)
{
    int pipe_ends[2], out = dup(STDOUT_FILENO);
    ck_assert_int_eq(pipe(pipe_ends), 0);
    fflush(stdout);
    dup2(pipe_ends[1], STDOUT_FILENO);
    enum errand_status status = grow_main(path);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(pipe_ends[1]);
    ssize_t got = read(pipe_ends[0], said, sizeof said - 1);
    close(pipe_ends[0]);
    said[got > 0 ? got : 0] = '\0';
    return status;
}

START_TEST(what_cannot_grow_is_left)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(grow(top), ERRAND_NOTHING);
    ck_assert_str_eq(said, "not a file system that can grow\n");
    ck_assert_int_eq(grow("/proc"), ERRAND_NOTHING);
}
END_TEST

START_TEST(what_is_not_there_is_left)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(grow(in("none")), ERRAND_NOTHING);
    ck_assert_ptr_nonnull(strstr(said, "cannot be reached: No such file"));
}
END_TEST

START_TEST(a_read_only_one_is_left)
{
    NEEDS_ISOLATION();
    ck_assert_int_eq(mount(NULL, top, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    ck_assert_int_eq(grow(top), ERRAND_NOTHING);
    ck_assert_str_eq(said, "the file system is read-only\n");
}
END_TEST

START_TEST(of_an_overlay_the_writable_layer_is_meant)
{
    char options[512];
    static const char *const names[] = {"lower", "up per", "work", "merged"};
    NEEDS_ISOLATION();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(mkdir(in(names[i]), 0755), 0);
    snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/up per,workdir=%s/work", top,
             top, top);
    if (mount("overlay", in("merged"), "overlay", 0, options) < 0)
        UNIT_SKIP("no overlay file system");
    ck_assert_int_eq(grow(in("merged")), ERRAND_NOTHING);
    ck_assert_str_eq(said, "not a file system that can grow\n");
    ck_assert_int_eq(mount("tmpfs", in("up per"), "tmpfs", MS_RDONLY, NULL), 0);
    ck_assert_int_eq(grow(in("merged")), ERRAND_NOTHING);
    ck_assert_str_eq(said, "the file system is read-only\n");
}
END_TEST

START_TEST(an_overlay_without_a_writable_layer_is_left)
{
    char options[512];
    NEEDS_ISOLATION();
    ck_assert_int_eq(mkdir(in("a"), 0755), 0);
    ck_assert_int_eq(mkdir(in("b"), 0755), 0);
    ck_assert_int_eq(mkdir(in("merged"), 0755), 0);
    snprintf(options, sizeof options, "lowerdir=%s/a:%s/b", top, top);
    if (mount("overlay", in("merged"), "overlay", 0, options) < 0)
        UNIT_SKIP("no overlay file system");
    ck_assert_int_eq(grow(in("merged")), ERRAND_NOTHING);
    ck_assert_ptr_nonnull(strstr(said, "cannot be reached"));
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("grow");
    TCase *tests = tcase_create("grow");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_cannot_grow_is_left);
    tcase_add_test(tests, what_is_not_there_is_left);
    tcase_add_test(tests, a_read_only_one_is_left);
    tcase_add_test(tests, of_an_overlay_the_writable_layer_is_meant);
    tcase_add_test(tests, an_overlay_without_a_writable_layer_is_left);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
