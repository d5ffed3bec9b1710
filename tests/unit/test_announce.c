/* Telling the host, which is a unix socket here. */
#include <fcntl.h>
#include <sys/socket.h> /* before vm_sockets.h, which needs it in Linux 6.1 */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/boot/announce.h"
#include "tests/support/unit.h"

enum { TURNS = 5000 };

static struct loop *loop;
static struct timer *turn_timer;
static struct announce *announce;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener, host; /* -1: not open */
static unsigned done, attempts;
static char directory[64];

static void on_turn(void *arg)
{
    loop_stop(arg);
}

static void turn(void)
{
    ck_assert_int_eq(timer_set(turn_timer, CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(loop, NULL), 0);
}

#define AWAIT(condition)                                                                           \
    for (unsigned turn_ = 0; !(condition); turn_++) {                                              \
        ck_assert_msg(turn_ < TURNS, "never: %s", #condition);                                     \
        turn();                                                                                    \
    }

static void settle(unsigned ms)
{
    for (uint64_t end = clock_now_ns() + ms * CLOCK_NS_PER_MS; clock_now_ns() < end;)
        turn();
}

static void on_done(void *arg, unsigned number)
{
    ck_assert_ptr_eq(arg, &done);
    done++;
    attempts = number;
}

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/announce.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/host", directory);
    ck_assert_int_eq(loop_new(&loop, NULL), 0);
    ck_assert_int_eq(timer_new(loop, on_turn, loop, &turn_timer, NULL), 0);
    listener = host = -1;
    done = attempts = 0;
    announce = NULL;
}

static void close_host(void)
{
    if (host >= 0)
        close(host);
    host = -1;
}

static void teardown(void)
{
    announce_free(announce);
    timer_free(turn_timer);
    loop_free(loop);
    close_host();
    if (listener >= 0)
        close(listener);
    unlink(address.sun_path);
    ck_assert_int_eq(rmdir(directory), 0);
}

static void listen_now(int backlog)
{
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, backlog), 0);
}

static bool accept_one(void)
{
    host = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return host >= 0;
}

static void start(void)
{
    const struct announce_config config = {.loop = loop,
                                           .address = (const struct sockaddr *)&address,
                                           .address_length = sizeof address,
                                           .line = "ready",
                                           .done = on_done,
                                           .arg = &done};
    ck_assert_int_eq(announce_start(&config, &announce, NULL), 0);
}

static void expect_line(void)
{
    char text[16] = "";
    size_t length = 0;
    AWAIT(({
        ssize_t got = recv(host, text + length, sizeof text - 1 - length, 0);
        length += got > 0 ? (size_t)got : 0;
        memchr(text, '\n', length) != NULL;
    }));
    ck_assert_str_eq(text, "ready\n");
}

static void say(const char *text)
{
    ck_assert_int_eq(send(host, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

START_TEST(a_host_that_listens_is_told_at_once)
{
    listen_now(4);
    unsigned before = descriptors();
    start();
    AWAIT(accept_one());
    expect_line();
    ck_assert_uint_eq(done, 0);
    say("OK\n");
    AWAIT(done > 0);
    ck_assert_uint_eq(attempts, 1);
    char rest;
    AWAIT(recv(host, &rest, 1, 0) == 0);
    close_host();
    settle(ANNOUNCE_PAUSE_MS + 50);
    ck_assert_uint_eq(done, 1);
    ck_assert(!accept_one());
    ck_assert_uint_eq(descriptors(), before);
}
END_TEST

START_TEST(an_answer_may_come_in_pieces)
{
    listen_now(4);
    start();
    AWAIT(accept_one());
    expect_line();
    say("O");
    settle(5);
    say("K");
    settle(5);
    ck_assert_uint_eq(done, 0);
    say("\n");
    AWAIT(done > 0);
}
END_TEST

START_TEST(it_tries_until_somebody_listens)
{
    start();
    settle(ANNOUNCE_PAUSE_MS * 2);
    listen_now(4);
    AWAIT(accept_one());
    expect_line();
    say("OK\n");
    AWAIT(done > 0);
    ck_assert_uint_ge(attempts, 3);
}
END_TEST

START_TEST(the_pauses_grow)
{
    uint64_t begun = clock_now_ns();
    start();
    settle(ANNOUNCE_PAUSE_MS * 3 + 50);
    listen_now(4);
    AWAIT(accept_one());
    /* Attempts at 0, 1, 3 and 7 pauses. */
    ck_assert_uint_ge(clock_now_ns() - begun, 7 * ANNOUNCE_PAUSE_MS * CLOCK_NS_PER_MS);
    expect_line();
    say("OK\n");
    AWAIT(done > 0);
    ck_assert_uint_eq(attempts, 4);
}
END_TEST

START_TEST(another_answer_or_none_is_no_answer)
{
    static const char *const answers[] = {"", "NO\n", "OKAY"};
    listen_now(4);
    start();
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        AWAIT(accept_one());
        expect_line();
        if (answers[i][0])
            say(answers[i]);
        close_host();
    }
    AWAIT(accept_one());
    expect_line();
    ck_assert_uint_eq(done, 0);
    say("OK\n");
    AWAIT(done > 0);
    ck_assert_uint_eq(attempts, 4);
}
END_TEST

START_TEST(a_host_that_keeps_silent_is_asked_again)
{
    int silent;
    listen_now(4);
    start();
    AWAIT(accept_one());
    silent = host;
    AWAIT(accept_one());
    close(silent);
    expect_line();
    say("OK\n");
    AWAIT(done > 0);
    ck_assert_uint_eq(attempts, 2);
}
END_TEST

START_TEST(it_can_be_given_up_at_any_time)
{
    unsigned before = descriptors();
    start();
    announce_free(announce);
    start();
    settle(10);
    announce_free(announce);
    announce = NULL;
    listen_now(4);
    start();
    AWAIT(accept_one());
    announce_free(announce);
    announce = NULL;
    close_host();
    close(listener);
    listener = -1;
    ck_assert_uint_eq(descriptors(), before);
    announce_free(NULL);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    char line[ANNOUNCE_LINE + 1];
    struct nsp_error err = NSP_ERROR_INIT;
    memset(line, 'x', sizeof line);
    line[ANNOUNCE_LINE - 1] = '\0';
    struct announce_config config = {.loop = loop,
                                     .address = (const struct sockaddr *)&address,
                                     .address_length = sizeof address,
                                     .line = line,
                                     .done = on_done};
    ck_assert_int_eq(announce_start(&config, &announce, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    config.line = "x";
    config.address_length = sizeof(struct sockaddr_storage) + 1;
    ck_assert_int_eq(announce_start(&config, &announce, &err), -1);
}
END_TEST

START_TEST(line_and_address_of_a_host)
{
    char line[ANNOUNCE_LINE];
    struct sockaddr_storage storage;
    struct sockaddr_vm vm;
    announce_line(line, UINT64_MAX, "01234567-89ab-cdef-0123-456789abcdef", UINT32_MAX);
    ck_assert_str_eq(line, "{\"nullspace\":\"ready\",\"generation\":18446744073709551615,"
                           "\"boot_id\":\"01234567-89ab-cdef-0123-456789abcdef\","
                           "\"port\":4294967295}");
    ck_assert_uint_eq(announce_host(&storage, 7777), sizeof vm);
    memcpy(&vm, &storage, sizeof vm);
    ck_assert_int_eq(vm.svm_family, AF_VSOCK);
    ck_assert_uint_eq(vm.svm_cid, VMADDR_CID_HOST);
    ck_assert_uint_eq(vm.svm_port, 7777);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("announce");
    TCase *tests = tcase_create("announce");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_host_that_listens_is_told_at_once);
    tcase_add_test(tests, an_answer_may_come_in_pieces);
    tcase_add_test(tests, it_tries_until_somebody_listens);
    tcase_add_test(tests, the_pauses_grow);
    tcase_add_test(tests, another_answer_or_none_is_no_answer);
    tcase_add_test(tests, a_host_that_keeps_silent_is_asked_again);
    tcase_add_test(tests, it_can_be_given_up_at_any_time);
    tcase_add_test(tests, what_does_not_fit_is_refused);
    tcase_add_test(tests, line_and_address_of_a_host);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
