/* Device nodes, in a directory of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/boot/nodes.h"
#include "tests/support/unit.h"

static char top[64], dev[80], class[80], detail[128], asked[64];
static struct nsp_error err;
static bool load_makes_device;

static void put(const char *directory, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    ck_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/%s/dev", directory, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static int load(const char *name, struct nsp_error *error)
{
    snprintf(asked + strlen(asked), sizeof asked - strlen(asked), "%s ", name);
    if (load_makes_device && strcmp(name, "fuse") == 0)
        put(class, "fuse", "1:3\n");
    return load_makes_device ? 0 : nsp_fail(error, NSP_E_NOT_FOUND, "none");
}

static const struct nodes_request request = {.dev = dev, .class = class, .load = load};

static void setup(void)
{
    snprintf(top, sizeof top, "/tmp/nodes.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    snprintf(dev, sizeof dev, "%s/dev", top);
    snprintf(class, sizeof class, "%s/misc", top);
    ck_assert_int_eq(mkdir(dev, 0755), 0);
    ck_assert_int_eq(mkdir(class, 0755), 0);
    asked[0] = '\0';
    load_makes_device = false;
    err = NSP_ERROR_INIT;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void teardown(void)
{
    ck_assert_int_eq(nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static struct stat status_of(const char *name)
{
    char path[256];
    struct stat status = {0};
    snprintf(path, sizeof path, "%s/%s", dev, name);
    if (stat(path, &status) < 0)
        status.st_mode = 0;
    return status;
}

START_TEST(a_kernel_without_them_gets_none)
{
    ck_assert_int_eq(nodes_apply(&request, detail, sizeof detail, &err), 0);
    ck_assert_str_eq(detail, "fuse: none, net/tun: none");
    ck_assert_str_eq(asked, "fuse tun ");
    ck_assert_int_eq(status_of("fuse").st_mode, 0);
}
END_TEST

START_TEST(a_device_of_a_loaded_module_gets_its_node)
{
    if (geteuid() != 0)
        UNIT_SKIP("needs root");
    load_makes_device = true;
    put(class, "tun", "1:5\n");
    umask(077);
    if (nodes_apply(&request, detail, sizeof detail, &err) < 0 && err.sys_errno == EPERM)
        UNIT_SKIP("may not make device nodes");
    ck_assert_str_eq(detail, "fuse: there, net/tun: there");
    ck_assert_uint_eq(status_of("fuse").st_rdev, makedev(1, 3));
    ck_assert_int_eq(status_of("fuse").st_mode, S_IFCHR | 0666);
    ck_assert_uint_eq(status_of("net/tun").st_rdev, makedev(1, 5));
}
END_TEST

START_TEST(what_is_there_is_opened_to_all)
{
    char path[256];
    snprintf(path, sizeof path, "%s/fuse", dev);
    close(creat(path, 0600));
    ck_assert_int_eq(nodes_apply(&request, detail, sizeof detail, &err), 0);
    ck_assert_str_eq(detail, "fuse: there, net/tun: none");
    ck_assert_int_eq(status_of("fuse").st_mode, S_IFREG | 0666);
    ck_assert_str_eq(asked, "tun ");
}
END_TEST

START_TEST(a_number_that_is_none_makes_nothing)
{
    put(class, "fuse", "what\n");
    put(class, "tun", "");
    ck_assert_int_eq(nodes_apply(&request, detail, sizeof detail, &err), 0);
    ck_assert_str_eq(detail, "fuse: none, net/tun: none");
}
END_TEST

START_TEST(a_failure_is_told_and_the_other_is_tried)
{
    char path[256];
    put(class, "tun", "1:5\n");
    snprintf(path, sizeof path, "%s/net", dev);
    close(creat(path, 0600));
    ck_assert_int_eq(nodes_apply(&request, detail, sizeof detail, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_str_eq(detail, "fuse: none, net/tun: none");
    ck_assert_int_eq(nodes_apply(&request, detail, 12, NULL), -1);
    ck_assert_str_eq(detail, "fuse: none,");
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("nodes");
    TCase *tests = tcase_create("nodes");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_kernel_without_them_gets_none);
    tcase_add_test(tests, a_device_of_a_loaded_module_gets_its_node);
    tcase_add_test(tests, what_is_there_is_opened_to_all);
    tcase_add_test(tests, a_number_that_is_none_makes_nothing);
    tcase_add_test(tests, a_failure_is_told_and_the_other_is_tried);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
