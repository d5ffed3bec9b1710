#include "agent/transport/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "tests/support/unit.h"

enum { NOBODY = 65534, FDS_MAX = 64 };

static char directory[64], path[100], text[120];
static struct loop *loop;
static struct timer *guard;
static int client; /* closed after the test */
static int accepted[FDS_MAX];
static unsigned accepted_count;
static const struct listener_options no_options;
static struct nsp_error err;

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void set_up(void)
{
    log_init("test", LOG_ERROR);
    err = NSP_ERROR_INIT;
    client = -1;
    snprintf(directory, sizeof directory, "/tmp/test_listener.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", directory);
    snprintf(text, sizeof text, "unix:%s", path);
    ck_assert_int_eq(loop_new(&loop, NULL), 0);
    ck_assert_int_eq(timer_new(loop, stop, NULL, &guard, NULL), 0);
}

static void tear_down(void)
{
    while (accepted_count > 0)
        close(accepted[--accepted_count]);
    if (client >= 0)
        close(client);
    timer_free(guard);
    loop_free(loop);
    unlink(path);
    ck_assert_int_eq(rmdir(directory), 0);
}

static int open_at(const char *where, const struct listener_options *options, int existing,
                   struct listener **ret_listener)
{
    struct address address;
    ck_assert_int_eq(address_parse(where, &address, NULL), 0);
    return listener_open(&address, options, existing, ret_listener, &err);
}

static struct listener *opened(const char *where, const struct listener_options *options)
{
    struct listener *listener;
    ck_assert_msg(open_at(where, options, -1, &listener) == 0, "%s", err.msg);
    return listener;
}

static void on_accepted(void *arg, struct listener *listener, int fd)
{
    ck_assert_ptr_eq(arg, &accepted);
    ck_assert_ptr_nonnull(listener_text(listener));
    ck_assert_uint_lt(accepted_count, FDS_MAX);
    accepted[accepted_count++] = fd;
    loop_stop(loop);
}

static void start(struct listener *listener)
{
    ck_assert_int_eq(listener_start(listener, loop, on_accepted, &accepted, NULL), 0);
}

/* Until a connection is accepted, or for so many milliseconds. */
static void run_for(unsigned ms)
{
    ck_assert_int_eq(timer_set(guard, ms * CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(loop, NULL), 0);
    timer_cancel(guard);
}

static int connect_to(const struct listener *listener)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    ck_assert_int_eq(getsockname(listener_fd(listener), (struct sockaddr *)&name, &length), 0);
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, length), 0);
    return fd;
}

START_TEST(unix_socket_accepts_and_is_private)
{
    struct stat status;
    mode_t before = umask(0);
    struct listener *listener = opened(text, &no_options);
    umask(before);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert(S_ISSOCK(status.st_mode));
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_str_eq(listener_text(listener), text);
    ck_assert_ptr_eq(listener_transport(listener), &unix_transport);
    ck_assert_ptr_null(listener_token(listener));
    start(listener);
    client = connect_to(listener);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    ck_assert(fcntl(accepted[0], F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(accepted[0], F_GETFD) & FD_CLOEXEC);
    listener_free(listener);
    /* The name stays: another process may hold a copy of the socket. */
    ck_assert_int_eq(stat(path, &status), 0);
}
END_TEST

START_TEST(stale_socket_is_replaced)
{
    listener_free(opened(text, &no_options));
    struct listener *listener = opened(text, &no_options);
    struct stat status;
    listener_remove(listener);
    ck_assert_int_eq(stat(path, &status), -1);
    listener_free(NULL);
    listener_remove(NULL);
}
END_TEST

START_TEST(socket_in_use_is_not_replaced)
{
    struct listener *listener = opened(text, &no_options), *second = NULL;
    struct stat before, after;
    ck_assert_int_eq(stat(path, &before), 0);
    ck_assert_int_eq(open_at(text, &no_options, -1, &second), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_ptr_null(second);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    listener_free(listener);
}
END_TEST

START_TEST(other_file_is_not_replaced)
{
    struct listener *listener;
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ck_assert_int_eq(open_at(text, &no_options, -1, &listener), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(missing_directory_is_a_system_error)
{
    struct listener *listener;
    ck_assert_int_eq(open_at("unix:/proc/none/socket", &no_options, -1, &listener), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, ENOENT);
}
END_TEST

START_TEST(abstract_socket_accepts)
{
    char name[64];
    snprintf(name, sizeof name, "unix:@test-listener-%d", (int)getpid());
    struct listener *listener = opened(name, &no_options), *second;
    ck_assert_int_eq(open_at(name, &no_options, -1, &second), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    start(listener);
    client = connect_to(listener);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    listener_remove(listener);
}
END_TEST

static void connect_as_nobody(const struct listener *listener)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        char byte;
        if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
            _exit(2);
        /* Refused means: accepted by the kernel, then closed by the agent. */
        _exit(read(connect_to(listener), &byte, 1) == 0 ? 0 : 1);
    }
    run_for(300);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

START_TEST(peer_with_another_user_id_is_refused)
{
    char name[64];
    if (geteuid() != 0)
        UNIT_SKIP("needs root");
    snprintf(name, sizeof name, "unix:@test-listener-%d", (int)getpid());
    struct listener *listener = opened(name, &no_options);
    start(listener);
    connect_as_nobody(listener);
    ck_assert_uint_eq(accepted_count, 0);
    listener_free(listener);
}
END_TEST

static struct token token = {.text = "0123456789abcdef", .length = 16};
static const struct listener_options with_token = {.token = &token};

START_TEST(tcp_needs_a_token)
{
    struct listener *listener;
    ck_assert_int_eq(open_at("tcp:127.0.0.1:0", &no_options, -1, &listener), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    listener = opened("tcp:127.0.0.1:0", &with_token);
    ck_assert(token_equal(listener_token(listener), "0123456789abcdef"));
    start(listener);
    client = connect_to(listener);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    listener_remove(listener);
}
END_TEST

START_TEST(unix_never_asks_for_a_token)
{
    struct listener *listener = opened(text, &with_token);
    ck_assert_ptr_null(listener_token(listener));
    listener_free(listener);
}
END_TEST

START_TEST(tcp_over_ipv6_loopback_accepts)
{
    struct listener *listener;
    if (open_at("tcp:[::1]:0", &with_token, -1, &listener) < 0)
        UNIT_SKIP("no IPv6 here");
    start(listener);
    client = connect_to(listener);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    listener_free(listener);
}
END_TEST

static const char *const not_loopback[] = {"tcp:0.0.0.0:0", "tcp:10.0.0.1:0", "tcp:[::]:0",
                                           "tcp:[::ffff:127.0.0.1]:0"};

START_TEST(tcp_beyond_loopback_is_refused)
{
    struct listener *listener;
    ck_assert_int_eq(open_at(not_loopback[_i], &with_token, -1, &listener), -1);
    ck_assert_int_eq(err.code, NSP_E_PERMISSION);
    ck_assert_str_eq(err.object, not_loopback[_i]);
}
END_TEST

START_TEST(insecure_binding_can_be_asked_for)
{
    const struct listener_options options = {.token = &token, .insecure_bind = true};
    listener_free(opened("tcp:0.0.0.0:0", &options));
}
END_TEST

START_TEST(tcp_port_in_use_is_told)
{
    struct listener *first = opened("tcp:127.0.0.1:0", &with_token), *second;
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    char where[64];
    ck_assert_int_eq(getsockname(listener_fd(first), (struct sockaddr *)&name, &length), 0);
    snprintf(where, sizeof where, "tcp:127.0.0.1:%u", ntohs(name.sin_port));
    ck_assert_int_eq(open_at(where, &with_token, -1, &second), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    listener_free(first);
}
END_TEST

START_TEST(existing_descriptor_is_taken_over_with_its_queue)
{
    struct listener *first = opened(text, &no_options), *second;
    client = connect_to(first);
    int kept = fcntl(listener_fd(first), F_DUPFD_CLOEXEC, 0);
    listener_free(first);
    ck_assert_int_eq(open_at(text, &no_options, kept, &second), 0);
    ck_assert_int_eq(listener_fd(second), kept);
    start(second);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    listener_free(second);
    ck_assert_int_eq(fcntl(kept, F_GETFD), -1);
}
END_TEST

START_TEST(unfit_existing_descriptor_is_refused_and_closed)
{
    struct listener *listener;
    int fds[4] = {open("/dev/null", O_RDONLY | O_CLOEXEC), socket(AF_UNIX, SOCK_STREAM, 0),
                  socket(AF_INET, SOCK_STREAM, 0), -1};
    ck_assert_int_eq(listen(fds[2], 1), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(open_at(text, &no_options, fds[i], &listener), -1);
        ck_assert_int_eq(err.code, NSP_E_STATE);
        ck_assert_int_eq(fcntl(fds[i], F_GETFD), -1);
    }
}
END_TEST

START_TEST(stopped_listener_accepts_no_more)
{
    struct listener *listener = opened(text, &no_options);
    start(listener);
    listener_stop(listener);
    client = connect_to(listener);
    run_for(20);
    ck_assert_uint_eq(accepted_count, 0);
    start(listener);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    listener_free(listener);
}
END_TEST

static bool is_closed(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void limit_descriptors(rlim_t count)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(without_descriptors_peers_are_closed_and_later_served)
{
    struct listener *listener = opened(text, &no_options);
    int clients[3];
    start(listener);
    for (int i = 0; i < 3; i++)
        clients[i] = connect_to(listener);
    int lowest_free = dup(0);
    close(lowest_free);
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit_descriptors((rlim_t)lowest_free);
    uint64_t from = clock_now_ns();
    run_for(50);
    ck_assert_uint_ge(clock_now_ns() - from, 50 * CLOCK_NS_PER_MS);
    ck_assert_uint_eq(accepted_count, 0);
    for (int i = 0; i < 3; i++)
        ck_assert(is_closed(clients[i]));
    limit_descriptors(before.rlim_cur);
    close(clients[0]);
    clients[0] = connect_to(listener);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    listener_free(listener);
}
END_TEST

/* The reserve itself cannot be had: accepting rests, without spinning, and comes back. */
START_TEST(without_a_reserve_accepting_rests)
{
    struct listener *listener = opened(text, &no_options);
    client = connect_to(listener);
    int filler = dup(0);
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit_descriptors((rlim_t)filler + 1);
    start(listener);
    struct timespec used, used_after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    run_for(60);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used_after);
    ck_assert_int_lt((used_after.tv_sec - used.tv_sec) * 1000000000L + used_after.tv_nsec -
                         used.tv_nsec,
                     20000000L);
    ck_assert_uint_eq(accepted_count, 0);
    limit_descriptors(before.rlim_cur);
    run_for(1000);
    ck_assert_uint_eq(accepted_count, 1);
    close(filler);
    listener_free(listener);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("listener");
    TCase *tcase = tcase_create("listener");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, unix_socket_accepts_and_is_private);
    tcase_add_test(tcase, stale_socket_is_replaced);
    tcase_add_test(tcase, socket_in_use_is_not_replaced);
    tcase_add_test(tcase, other_file_is_not_replaced);
    tcase_add_test(tcase, missing_directory_is_a_system_error);
    tcase_add_test(tcase, abstract_socket_accepts);
    tcase_add_test(tcase, peer_with_another_user_id_is_refused);
    tcase_add_test(tcase, tcp_needs_a_token);
    tcase_add_test(tcase, unix_never_asks_for_a_token);
    tcase_add_test(tcase, tcp_over_ipv6_loopback_accepts);
    tcase_add_loop_test(tcase, tcp_beyond_loopback_is_refused, 0,
                        sizeof not_loopback / sizeof *not_loopback);
    tcase_add_test(tcase, insecure_binding_can_be_asked_for);
    tcase_add_test(tcase, tcp_port_in_use_is_told);
    tcase_add_test(tcase, existing_descriptor_is_taken_over_with_its_queue);
    tcase_add_test(tcase, unfit_existing_descriptor_is_refused_and_closed);
    tcase_add_test(tcase, stopped_listener_accepts_no_more);
    tcase_add_test(tcase, without_descriptors_peers_are_closed_and_later_served);
    tcase_add_test(tcase, without_a_reserve_accepting_rests);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
