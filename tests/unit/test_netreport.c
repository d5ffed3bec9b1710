#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/network/netreport.h"
#include "tests/support/unit.h"

static struct netreport report;

static void teardown(void)
{
    netreport_done(&report);
}

static enum nsp_error_code code_of(int sys_errno)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const struct netreport_item item = {.action = "up", .link = "eth0", .why.error = sys_errno};
    ck_assert_int_eq(netreport_failure(&item, &err), sys_errno ? -1 : 0);
    ck_assert_int_eq(err.sys_errno, sys_errno);
    return err.code;
}

START_TEST(answers_go_to_the_requests_in_their_order)
{
    const struct nlmessage_answer answers[] = {
        {.error = EPERM}, {.error = 0}, {.error = EINVAL, .text = "Nexthop has invalid gateway"}};
    netreport_request(&report, "up", "lo", "");
    netreport_settled(&report, "link", "eth9", "", ENODEV, "there is no such link");
    netreport_request(&report, "address", "eth0", "10.0.0.2/24");
    netreport_request(&report, "route", "eth0", "default via 224.0.0.1");
    netreport_take(&report, answers, 3);
    ck_assert_uint_eq(report.count, 4);
    ck_assert_int_eq(report.items[0].why.error, EPERM);
    ck_assert_int_eq(report.items[1].why.error, ENODEV);
    ck_assert_int_eq(report.items[2].why.error, 0);
    ck_assert_int_eq(report.items[3].why.error, EINVAL);
}
END_TEST

START_TEST(removing_what_is_gone_is_done)
{
    const struct nlmessage_answer answers[] = {
        {.error = ESRCH, .text = "gone"}, {.error = EPERM}, {.error = ESRCH}};
    netreport_removal(&report, "remove route", "eth0", "default");
    netreport_removal(&report, "remove route", "eth0", "10.0.0.0/8");
    netreport_request(&report, "route", "eth0", "default");
    netreport_take(&report, answers, 3);
    ck_assert_int_eq(netreport_failure(&report.items[0], NULL), 0);
    ck_assert_int_eq(netreport_failure(&report.items[1], NULL), -1);
    ck_assert_int_eq(netreport_failure(&report.items[2], NULL), -1);
}
END_TEST

START_TEST(a_failure_names_its_object_and_the_kernels_reason)
{
    const struct nlmessage_answer answer = {EINVAL, "Nexthop has invalid gateway"};
    struct nsp_error err = NSP_ERROR_INIT;
    netreport_request(&report, "route", "eth0", "default via 224.0.0.1");
    netreport_take(&report, &answer, 1);
    ck_assert_int_eq(netreport_failure(&report.items[0], &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, EINVAL);
    ck_assert_str_eq(err.op, "route");
    ck_assert_str_eq(err.object, "eth0 default via 224.0.0.1");
    ck_assert_str_eq(err.msg, "route eth0 default via 224.0.0.1: Nexthop has invalid gateway");
}
END_TEST

START_TEST(without_a_reason_the_errno_speaks)
{
    struct nsp_error err = NSP_ERROR_INIT;
    netreport_settled(&report, "mtu", "eth0", "9", EINVAL, NULL);
    netreport_failure(&report.items[0], &err);
    ck_assert_str_eq(err.msg, "mtu eth0 9: Invalid argument");
}
END_TEST

START_TEST(codes_follow_the_errno)
{
    ck_assert_int_eq(code_of(0), NSP_E_NONE);
    ck_assert_int_eq(code_of(EPERM), NSP_E_PERMISSION);
    ck_assert_int_eq(code_of(EACCES), NSP_E_PERMISSION);
    ck_assert_int_eq(code_of(ENODEV), NSP_E_NOT_FOUND);
    ck_assert_int_eq(code_of(EOPNOTSUPP), NSP_E_UNSUPPORTED);
    ck_assert_int_eq(code_of(EAFNOSUPPORT), NSP_E_UNSUPPORTED);
    ck_assert_int_eq(code_of(ETIMEDOUT), NSP_E_DEADLINE);
    ck_assert_int_eq(code_of(EBUSY), NSP_E_SYSTEM);
}
END_TEST

START_TEST(the_first_failure_is_the_errors)
{
    struct nsp_error err = NSP_ERROR_INIT;
    netreport_settled(&report, "up", "lo", "", 0, NULL);
    ck_assert_int_eq(netreport_first_failure(&report, &err), 0);
    netreport_settled(&report, "up", "eth0", "", ENODEV, NULL);
    netreport_settled(&report, "up", "eth1", "", EPERM, NULL);
    ck_assert_int_eq(netreport_first_failure(&report, &err), -1);
    ck_assert_str_eq(err.object, "eth0");
}
END_TEST

START_TEST(items_are_bounded)
{
    for (int i = 0; i < NETREPORT_ITEMS; i++)
        netreport_request(&report, "up", "eth0", "");
    ck_assert(!report.failed);
    netreport_removal(&report, "up", "eth0", "");
    ck_assert(report.failed);
    ck_assert_uint_eq(report.count, NETREPORT_ITEMS);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("netreport");
    TCase *tests = tcase_create("netreport");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, answers_go_to_the_requests_in_their_order);
    tcase_add_test(tests, removing_what_is_gone_is_done);
    tcase_add_test(tests, a_failure_names_its_object_and_the_kernels_reason);
    tcase_add_test(tests, without_a_reason_the_errno_speaks);
    tcase_add_test(tests, codes_follow_the_errno);
    tcase_add_test(tests, the_first_failure_is_the_errors);
    tcase_add_test(tests, items_are_bounded);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
