/* Kernel parameters, in a directory of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/boot/sysctls.h"
#include "tests/support/unit.h"

static char directory[] = "/tmp/sysctls.XXXXXX";
static struct nsp_error err;

static const char *const files[] = {"kernel/panic", "net/ipv4/conf/eth0.1/forwarding", "outside"};

static char *in(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void setup(void)
{
    static const char *const directories[] = {"kernel", "net", "net/ipv4", "net/ipv4/conf",
                                              "net/ipv4/conf/eth0.1"};
    ck_assert_ptr_nonnull(mkdtemp(directory));
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        ck_assert_int_eq(mkdir(in(directories[i]), 0755), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        close(creat(in(files[i]), 0644));
    err = NSP_ERROR_INIT;
}

static const char *content(const char *name)
{
    static char text[64];
    FILE *file = fopen(in(name), "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static int apply(const char *setting)
{
    char *settings[] = {(char *)setting, NULL};
    return sysctls_apply(directory, settings, 1, &err);
}

static void assert_refused(const char *setting, enum nsp_error_code code)
{
    ck_assert_msg(apply(setting) == -1, "%s", setting);
    ck_assert_str_eq(nsp_error_name(err.code), nsp_error_name(code));
}

START_TEST(dots_and_slashes_name_the_same)
{
    ck_assert_int_eq(apply("kernel.panic=1"), 0);
    ck_assert_str_eq(content("kernel/panic"), "1");
    ck_assert_int_eq(apply("kernel/panic=23"), 0);
    ck_assert_str_eq(content("kernel/panic"), "23");
}
END_TEST

START_TEST(a_part_may_have_a_dot_inside)
{
    ck_assert_int_eq(apply("net.ipv4.conf.eth0/1.forwarding=0"), 0);
    ck_assert_str_eq(content("net/ipv4/conf/eth0.1/forwarding"), "0");
    ck_assert_int_eq(apply("net/ipv4/conf/eth0.1/forwarding=2"), 0);
    ck_assert_str_eq(content("net/ipv4/conf/eth0.1/forwarding"), "2");
}
END_TEST

START_TEST(a_value_may_have_blanks_and_equals)
{
    ck_assert_int_eq(apply("kernel.panic=0 2147483647 a=b"), 0);
    ck_assert_str_eq(content("kernel/panic"), "0 2147483647 a=b");
}
END_TEST

START_TEST(no_name_leads_out)
{
    static const char *const bad[] = {"kernel/../outside=1",
                                      "../outside=1",
                                      "/outside=1",
                                      "kernel//panic=1",
                                      "kernel..panic=1",
                                      "kernel.panic.=1",
                                      ".kernel.panic=1",
                                      "kernel/./panic=1",
                                      "kernel/.../panic=1",
                                      "a.//.outside=1",
                                      "=1",
                                      "kernel.panic",
                                      ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(bad[i], NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(content("outside"), "");
}
END_TEST

START_TEST(a_name_beyond_the_limit_is_refused)
{
    char setting[512];
    memset(setting, 'a', sizeof setting);
    memcpy(setting + sizeof setting - 3, "=1", 3);
    assert_refused(setting, NSP_E_INVALID_PARAMS);
}
END_TEST

START_TEST(what_is_not_there_is_not_made)
{
    assert_refused("kernel.none=1", NSP_E_NOT_FOUND);
    ck_assert_str_eq(err.object, "kernel.none");
    ck_assert_int_eq(access(in("kernel/none"), F_OK), -1);
}
END_TEST

START_TEST(a_link_is_not_followed)
{
    ck_assert_int_eq(symlink("panic", in("kernel/link")), 0);
    assert_refused("kernel.link=1", NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, ELOOP);
}
END_TEST

START_TEST(what_the_kernel_refuses_is_told)
{
    char *settings[] = {(char[]){"random.uuid=1"}, NULL};
    ck_assert_int_eq(sysctls_apply("/proc/sys/kernel", settings, 1, &err), -1);
    ck_assert(err.code == NSP_E_PERMISSION || err.code == NSP_E_SYSTEM);
    ck_assert_int_ne(err.sys_errno, 0);
}
END_TEST

START_TEST(all_are_tried_and_the_first_failure_is_told)
{
    char *settings[] = {(char[]){"kernel.first=1"}, (char[]){"../second=1"},
                        (char[]){"kernel.panic=5"}, NULL};
    ck_assert_int_eq(sysctls_apply(directory, settings, 3, &err), -1);
    ck_assert_str_eq(err.object, "kernel.first");
    ck_assert_str_eq(content("kernel/panic"), "5");
    ck_assert_int_eq(sysctls_apply(directory, settings, 3, NULL), -1);
    ck_assert_int_eq(sysctls_apply(directory, NULL, 0, NULL), 0);
}
END_TEST

static void teardown(void)
{
    unlink(in("kernel/link"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in(files[i]));
    static const char *const directories[] = {
        "net/ipv4/conf/eth0.1", "net/ipv4/conf", "net/ipv4", "net", "kernel", ""};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        ck_assert_int_eq(rmdir(in(directories[i])), 0);
}

static Suite *suite(void)
{
    Suite *result = suite_create("sysctls");
    TCase *tests = tcase_create("sysctls");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, dots_and_slashes_name_the_same);
    tcase_add_test(tests, a_part_may_have_a_dot_inside);
    tcase_add_test(tests, a_value_may_have_blanks_and_equals);
    tcase_add_test(tests, no_name_leads_out);
    tcase_add_test(tests, a_name_beyond_the_limit_is_refused);
    tcase_add_test(tests, what_is_not_there_is_not_made);
    tcase_add_test(tests, a_link_is_not_followed);
    tcase_add_test(tests, what_the_kernel_refuses_is_told);
    tcase_add_test(tests, all_are_tried_and_the_first_failure_is_told);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
