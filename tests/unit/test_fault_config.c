/* No memory, and files that cannot be read to their end: the configuration is read whole or not at
 * all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/boot/config.h"
#include "tests/support/fault.h"
#include "tests/support/unit.h"

enum { CALLS_MAX = 500 };

static const char text[] =
    "{\"hostname\":\"h\",\"network\":{\"links\":[{\"name\":\"eth0\",\"addresses\":"
    "[\"10.0.0.1/8\"],\"routes\":[{\"to\":\"default\",\"via\":\"10.0.0.2\"}]}]},"
    "\"services\":[{\"name\":\"s\",\"argv\":[\"a\",\"b\"],\"environment\":{\"A\":\"1\"}}]}";

static char path[] = "/tmp/test_fault_config.XXXXXX";

static void setup(void)
{
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

static void assert_read(const struct config_document *document)
{
    const struct config *config = config_get(document);
    const struct network_link *link = config->network->links.items;
    ck_assert_str_eq(config->hostname, "h");
    ck_assert_str_eq(link->addresses.items[0], "10.0.0.1/8");
}

/* True when the plan made a call fail. */
static bool read_with(uint32_t kind, int error, uint64_t first, enum nsp_error_code expected)
{
    struct config_document *document = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    fault_arm(kind, error, first);
    int result = config_read(path, &document, &err);
    bool failed = fault_disarm() > 0;
    if (result == 0) {
        assert_read(document);
        config_free(document);
    } else {
        ck_assert(failed);
        ck_assert_msg(err.code == expected, "%s: %s", nsp_error_name(err.code), err.msg);
        ck_assert_str_ne(err.msg, "");
        ck_assert_ptr_null(document);
    }
    return failed;
}

START_TEST(each_allocation_fails)
{
    uint64_t first = 1;
    while (read_with(FAULT_ALLOC, ENOMEM, first, NSP_E_EXHAUSTED))
        ck_assert_uint_lt(first++, CALLS_MAX);
    ck_assert_uint_gt(first, 10);
}
END_TEST

START_TEST(each_allocation_of_the_defaults_fails)
{
    for (uint64_t first = 1;; first++) {
        struct config_document *document = NULL;
        struct nsp_error err = NSP_ERROR_INIT;
        fault_arm(FAULT_ALLOC, ENOMEM, first);
        int result = config_default(&document, &err);
        bool failed = fault_disarm() > 0;
        ck_assert_int_eq(result, failed ? -1 : 0);
        if (!failed) {
            config_free(document);
            ck_assert_uint_gt(first, 2);
            return;
        }
        ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    }
}
END_TEST

START_TEST(a_read_that_fails_is_an_error_and_one_that_is_cut_is_not)
{
    ck_assert(read_with(FAULT_READ, EIO, 1, NSP_E_SYSTEM));
    ck_assert(read_with(FAULT_READ, EIO, 2, NSP_E_SYSTEM));
    ck_assert(read_with(FAULT_READ, EINTR, 1, NSP_E_NONE));
    ck_assert(read_with(FAULT_READ, 0, 1, NSP_E_NONE));
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault config");
    TCase *tcase = tcase_create("every call");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, each_allocation_fails);
    tcase_add_test(tcase, each_allocation_of_the_defaults_fails);
    tcase_add_test(tcase, a_read_that_fails_is_an_error_and_one_that_is_cut_is_not);
    suite_add_tcase(all, tcase);
    return all;
}

UNIT_MAIN(suite)
