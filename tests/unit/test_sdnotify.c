#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/os/sdnotify.h"
#include "protocol/cleanup.h"
#include "tests/support/unit.h"

enum { MESSAGE_BYTES = 64 };

static char directory[64];

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s/notify-XXXXXX", getenv("TMPDIR") ?: "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void tear_down(void)
{
    char path[sizeof directory + 8];
    snprintf(path, sizeof path, "%s/socket", directory);
    unlink(path);
    rmdir(directory);
}

/* What a manager has at that name, given as in NOTIFY_SOCKET. */
static int manager(const char *text)
{
    struct sdnotify target = {0};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(sdnotify_parse(text, &target, NULL), 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&target.name, target.length), 0);
    return fd;
}

static void expect(int fd, const char *expected)
{
    char message[MESSAGE_BYTES] = "";
    ck_assert_int_eq(recv(fd, message, sizeof message - 1, 0), (ssize_t)strlen(expected));
    ck_assert_str_eq(message, expected);
}

static void expect_delivery(const char *text)
{
    struct sdnotify target = {0};
    AUTO_FD int fd = manager(text);
    setenv("NOTIFY_SOCKET", text, 1);
    ck_assert_int_eq(sdnotify_take(&target, NULL), 0);
    ck_assert_int_eq(sdnotify_send(&target, "READY=1", NULL), 0);
    ck_assert_int_eq(sdnotify_send(&target, "STOPPING=1\nSTATUS=ends", NULL), 0);
    expect(fd, "READY=1");
    expect(fd, "STOPPING=1\nSTATUS=ends");
}

START_TEST(a_manager_at_a_path_is_told)
{
    char path[sizeof directory + 8];
    snprintf(path, sizeof path, "%s/socket", directory);
    expect_delivery(path);
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
    struct sdnotify target = {0};
    setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
    ck_assert_int_eq(sdnotify_take(&target, NULL), 0);
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    ck_assert_str_eq(target.name.sun_path, "/run/systemd/notify");
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    ck_assert_int_eq(sdnotify_take(&target, NULL), -1);
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    ck_assert_str_eq(target.name.sun_path, "/run/systemd/notify");
}
END_TEST

START_TEST(without_a_manager_nothing_is_sent)
{
    static const char *const nobody[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        struct sdnotify target = {.length = 1};
        unsetenv("NOTIFY_SOCKET");
        if (nobody[i])
            setenv("NOTIFY_SOCKET", nobody[i], 1);
        ck_assert_int_eq(sdnotify_take(&target, NULL), 0);
        ck_assert_uint_eq(target.length, 0);
        ck_assert_int_eq(sdnotify_send(&target, "READY=1", NULL), 0);
    }
}
END_TEST

START_TEST(other_addresses_are_refused)
{
    char fitting[sizeof((struct sockaddr_un *)0)->sun_path];
    char long_path[sizeof fitting + 1];
    memset(long_path, 'x', sizeof fitting);
    long_path[0] = '/';
    long_path[sizeof fitting] = '\0';
    memcpy(fitting, long_path, sizeof fitting);
    fitting[sizeof fitting - 1] = '\0';
    const char *const wrong[] = {"vsock:2:1234", "relative", "@", "/", long_path};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sdnotify target = {0};
        struct nsp_error err = NSP_ERROR_INIT;
        ck_assert_int_eq(sdnotify_parse(wrong[i], &target, &err), -1);
        ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
        ck_assert_uint_eq(target.length, 0);
    }
    struct sdnotify target = {0};
    ck_assert_int_eq(sdnotify_parse(fitting, &target, NULL), 0);
    ck_assert_uint_eq(target.length, sizeof(struct sockaddr_un));
}
END_TEST

START_TEST(a_manager_that_is_gone_is_an_error)
{
    struct sdnotify target = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    char path[sizeof directory + 8];
    snprintf(path, sizeof path, "%s/socket", directory);
    ck_assert_int_eq(sdnotify_parse(path, &target, NULL), 0);
    ck_assert_int_eq(sdnotify_send(&target, "READY=1", &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, ENOENT);
}
END_TEST

START_TEST(a_manager_that_does_not_read_holds_us_for_a_bounded_time)
{
    struct timespec before, after;
    struct sdnotify target = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    char path[sizeof directory + 8];
    snprintf(path, sizeof path, "%s/socket", directory);
    AUTO_FD int fd = manager(path);
    ck_assert_int_eq(sdnotify_parse(path, &target, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    int sent = 0;
    while (sent < 100000 && sdnotify_send(&target, "READY=1", &err) == 0)
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
    tcase_add_test(messages, a_manager_that_is_gone_is_an_error);
    tcase_add_test(messages, a_manager_that_does_not_read_holds_us_for_a_bounded_time);
    suite_add_tcase(suite, messages);
    return suite;
}

UNIT_MAIN(suite)
