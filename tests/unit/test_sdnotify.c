#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/machine/sdnotify.h"
#include "protocol/cleanup.h"
#include "tests/support/unit.h"

enum { MESSAGE_BYTES = 64 };

static char directory[64];

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s/notify-XXXXXX", getenv("TMPDIR") ?: "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static const char *path_in_directory(void)
{
    static char path[sizeof directory + 8];
    snprintf(path, sizeof path, "%s/socket", directory);
    return path;
}

static void tear_down(void)
{
    unlink(path_in_directory());
    rmdir(directory);
}

/* What a manager has at that name. */
static int manager(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    return fd;
}

static void open_with(const char *name)
{
    setenv("NOTIFY_SOCKET", name, 1);
    sdnotify_open();
}

static void expect(int fd, const char *expected)
{
    char message[MESSAGE_BYTES] = "";
    ck_assert_int_eq(recv(fd, message, sizeof message - 1, 0), (ssize_t)strlen(expected));
    ck_assert_str_eq(message, expected);
}

static void expect_delivery(const char *name)
{
    AUTO_FD int fd = manager(name);
    open_with(name);
    ck_assert_int_eq(sdnotify_send("READY=1", NULL), 0);
    ck_assert_int_eq(sdnotify_send("STOPPING=1\nSTATUS=ends", NULL), 0);
    expect(fd, "READY=1");
    expect(fd, "STOPPING=1\nSTATUS=ends");
}

static void expect_failure(enum nsp_error_code code, int sys_errno)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(sdnotify_send("READY=1", &err), -1);
    ck_assert_int_eq(err.code, code);
    ck_assert_int_eq(err.sys_errno, sys_errno);
}

START_TEST(a_manager_at_a_path_is_told)
{
    expect_delivery(path_in_directory());
}
END_TEST

START_TEST(a_manager_at_an_abstract_name_is_told)
{
    char name[64];
    snprintf(name, sizeof name, "@nullspace-test-%d", (int)getpid());
    expect_delivery(name);
}
END_TEST

START_TEST(the_name_leaves_the_environment)
{
    open_with("/run/systemd/notify");
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    open_with("vsock:2:1234");
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
}
END_TEST

START_TEST(without_a_manager_nothing_is_sent)
{
    open_with("");
    ck_assert_int_eq(sdnotify_send("READY=1", NULL), 0);
    open_with("/run/of/another");
    unsetenv("NOTIFY_SOCKET");
    sdnotify_open();
    ck_assert_int_eq(sdnotify_send("READY=1", NULL), 0);
}
END_TEST

START_TEST(other_addresses_are_refused)
{
    static const char *const wrong[] = {"vsock:2:1234", "relative", "@", "/"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        open_with(wrong[i]);
        expect_failure(NSP_E_INVALID_PARAMS, 0);
    }
}
END_TEST

START_TEST(a_name_that_does_not_fit_into_an_address_is_refused)
{
    enum { FITTING = sizeof((struct sockaddr_un *)0)->sun_path - 1 };
    char path[2 * FITTING];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[FITTING] = '\0';
    open_with(path);
    expect_failure(NSP_E_SYSTEM, ENOENT);
    for (size_t length = FITTING + 1; length < sizeof path; length++) {
        path[length - 1] = 'x';
        path[length] = '\0';
        open_with(path);
        expect_failure(NSP_E_INVALID_PARAMS, 0);
    }
}
END_TEST

START_TEST(a_manager_that_is_gone_is_an_error)
{
    open_with(path_in_directory());
    expect_failure(NSP_E_SYSTEM, ENOENT);
}
END_TEST

START_TEST(a_manager_that_does_not_read_holds_us_for_a_bounded_time)
{
    struct timespec before, after;
    struct nsp_error err = NSP_ERROR_INIT;
    AUTO_FD int fd = manager(path_in_directory());
    ck_assert_int_ge(fd, 0);
    open_with(path_in_directory());
    clock_gettime(CLOCK_MONOTONIC, &before);
    int sent = 0;
    while (sent < 100000 && sdnotify_send("READY=1", &err) == 0)
        sent++;
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_lt(sent, 100000);
    ck_assert_int_eq(err.sys_errno, EAGAIN);
    double seconds =
        (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    ck_assert_double_ge(seconds, SDNOTIFY_WAIT_MS * 1e-3);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("sdnotify");
    TCase *messages = tcase_create("messages");
    tcase_add_checked_fixture(messages, set_up, tear_down);
    tcase_add_test(messages, a_manager_at_a_path_is_told);
    tcase_add_test(messages, a_manager_at_an_abstract_name_is_told);
    tcase_add_test(messages, the_name_leaves_the_environment);
    tcase_add_test(messages, without_a_manager_nothing_is_sent);
    tcase_add_test(messages, other_addresses_are_refused);
    tcase_add_test(messages, a_name_that_does_not_fit_into_an_address_is_refused);
    tcase_add_test(messages, a_manager_that_is_gone_is_an_error);
    tcase_add_test(messages, a_manager_that_does_not_read_holds_us_for_a_bounded_time);
    suite_add_tcase(suite, messages);
    return suite;
}

UNIT_MAIN(suite)
