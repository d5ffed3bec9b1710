/* Configuring a network, and writing a system's file, when memory or system calls fail: what could
 * not be done is told, and nothing is leaked. In a network namespace of the test's own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/machine/systemfile.h"
#include "agent/network/netapply.h"
#include "protocol/cleanup.h"
#include "tests/support/fault.h"
#include "tests/support/unit.h"

enum { CALLS_MAX = 500 };

static const struct {
    uint32_t kind;
    int error;
} faults[] = {{FAULT_ALLOC, ENOMEM},
              {FAULT_FD, EMFILE},
              {FAULT_READ, EIO},
              {FAULT_WRITE, ENOSPC},
              {FAULT_OTHER, EPERM}};
enum { FAULTS = sizeof faults / sizeof *faults };

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* The network */

static char *addresses[] = {"10.7.7.7/24", "fd00::7/64", NULL};
static const struct network_route routes[] = {{"10.8.0.0/16", "10.7.7.1", 3},
                                              {"default", "172.16.0.1", 0}};
static const struct network_neighbour neighbours[] = {{"10.7.7.1", "02:00:00:00:00:99"}};
static const struct network_link links[] = {
    {.name = "lo",
     .up = true,
     .mtu = 16000,
     .flush = true,
     .addresses = {addresses, 2},
     .routes = {routes, 2},
     .neighbours = {neighbours, 1}},
    {.name = "nope", .up = true},
};
static const struct network network = {.links = {links, 2}};

static bool one_configuration_fails(int fault, uint64_t first)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct netreport report = {0};
    fault_arm(faults[fault].kind, faults[fault].error, first);
    int result = netapply_run(&network, &report, &err);
    bool failed = fault_disarm() > 0;
    ck_assert(result == 0 || (failed && err.code != NSP_E_NONE && !report.items));
    for (size_t i = 0; i < report.count; i++)
        ck_assert_int_ge(report.items[i].why.error, 0);
    if (result == 0)
        ck_assert_int_eq(netreport_first_failure(&report, &err), -1);
    netreport_done(&report);
    return failed;
}

START_TEST(a_network_is_configured_or_the_failure_is_told)
{
    if (unshare(CLONE_NEWNET) < 0)
        UNIT_SKIP("no network namespaces");
    unsigned descriptors = count_entries("/proc/self/fd");
    uint64_t first = 1;
    while (one_configuration_fails(_i, first)) {
        ck_assert_uint_eq(count_entries("/proc/self/fd"), descriptors);
        ck_assert_uint_lt(++first, CALLS_MAX);
    }
}
END_TEST

/* A file */

static char directory[64], path[128], fallback[128];

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/fault-net.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/resolv.conf", directory);
    snprintf(fallback, sizeof fallback, "%s/fallback", directory);
}

static void teardown(void)
{
    unlink(path);
    unlink(fallback);
    rmdir(directory);
}

static bool one_write_fails(int fault, uint64_t first)
{
    static const char text[] = "nameserver 10.0.0.1\n";
    struct nsp_error err = NSP_ERROR_INIT;
    char found[64];
    unlink(path);
    fault_arm(faults[fault].kind, faults[fault].error, first);
    int result = systemfile_write(path, NULL, text, strlen(text), &err);
    bool failed = fault_disarm() > 0;
    ck_assert(result == 0 || (failed && err.sys_errno == faults[fault].error));
    if (result == 0) {
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_eq(read(fd, found, sizeof found), (ssize_t)strlen(text));
        ck_assert(memcmp(found, text, strlen(text)) == 0);
    }
    /* . and .., and at most the file itself: no temporary one */
    ck_assert_uint_le(count_entries(directory), 3);
    return failed;
}

START_TEST(a_file_is_written_or_the_failure_is_told)
{
    unsigned descriptors = count_entries("/proc/self/fd");
    uint64_t first = 1;
    while (one_write_fails(_i, first)) {
        ck_assert_uint_eq(count_entries("/proc/self/fd"), descriptors);
        ck_assert_uint_lt(++first, CALLS_MAX);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault net");
    TCase *tests = tcase_create("fault net");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_network_is_configured_or_the_failure_is_told, 0, FAULTS);
    tcase_add_loop_test(tests, a_file_is_written_or_the_failure_is_told, 0, FAULTS);
    suite_add_tcase(all, tests);
    return all;
}

UNIT_MAIN(suite)
