#include "agent/transport/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "tests/support/unit.h"

static struct loop *loop;
static struct timer *guard;
static struct conn *conn;
static int client;
static unsigned inputs, outputs, losses;

static const struct conn_limits limits = {.input = 100000, .output = 200000, .unsent = 65536};

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void on_conn(void *arg, enum conn_event event)
{
    ck_assert_ptr_eq(arg, &conn);
    *(event == CONN_INPUT ? &inputs : event == CONN_OUTPUT ? &outputs : &losses) += 1;
    if (event == CONN_OUTPUT)
        conn_flush(conn);
}

static void set_up(void)
{
    int fds[2];
    log_init("test", LOG_ERROR);
    ck_assert_int_eq(loop_new(&loop, NULL), 0);
    ck_assert_int_eq(timer_new(loop, stop, NULL, &guard, NULL), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    client = fds[0];
    inputs = outputs = losses = 0;
    ck_assert_int_eq(conn_new(loop, fds[1], &unix_transport, &limits, on_conn, &conn, &conn, NULL),
                     0);
}

static void tear_down(void)
{
    conn_free(conn);
    if (client >= 0)
        close(client);
    timer_free(guard);
    loop_free(loop);
}

static void run_for(unsigned ms)
{
    ck_assert_int_eq(timer_set(guard, ms * CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(loop, NULL), 0);
}

/* Reads what is there into a counter of bytes that are not what conn_send sent. */
static size_t drain(uint64_t *offset)
{
    static uint8_t bytes[65536];
    size_t wrong = 0;
    ssize_t got;
    while ((got = read(client, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++)
            wrong += bytes[i] != (uint8_t)((*offset)++ % 251);
    return wrong;
}

static const uint8_t *pattern(void)
{
    static uint8_t bytes[251 * 1024];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % 251);
    return bytes;
}

START_TEST(input_gathers_until_it_is_taken)
{
    ck_assert_int_eq(write(client, "abc", 3), 3);
    run_for(10);
    ck_assert_int_eq(write(client, "def", 3), 3);
    run_for(10);
    ck_assert_uint_eq(inputs, 2);
    ck_assert_uint_eq(nsp_buf_length(conn_input(conn)), 6);
    ck_assert_mem_eq(nsp_buf_bytes(conn_input(conn)), "abcdef", 6);
    ck_assert_uint_eq(conn_bytes_in(conn), 6);
    nsp_buf_consume(conn_input(conn), 6);
}
END_TEST

START_TEST(input_stays_below_its_limit)
{
    static uint8_t bytes[65536];
    for (int i = 0; i < 40; i++) {
        while (write(client, bytes, sizeof bytes) > 0)
            continue;
        run_for(2);
    }
    ck_assert_uint_eq(nsp_buf_length(conn_input(conn)), limits.input);
    ck_assert_uint_eq(losses, 0);
    unsigned before = inputs;
    run_for(10);
    ck_assert_uint_eq(inputs, before);
    nsp_buf_consume(conn_input(conn), 1);
    conn_want(conn, true, false);
    run_for(10);
    ck_assert_uint_eq(inputs, before + 1);
}
END_TEST

START_TEST(input_that_is_not_wanted_waits_in_the_socket)
{
    conn_want(conn, false, false);
    ck_assert_int_eq(write(client, "abc", 3), 3);
    run_for(10);
    ck_assert_uint_eq(inputs, 0);
    conn_want(conn, true, false);
    run_for(10);
    ck_assert_uint_eq(inputs, 1);
    nsp_buf_consume(conn_input(conn), 3);
}
END_TEST

START_TEST(queued_bytes_go_out_on_flush)
{
    char bytes[8];
    uint8_t *room;
    ck_assert_int_eq(conn_send(conn, "ab", 2, NULL), 0);
    ck_assert_int_eq(conn_reserve(conn, 1, &room, NULL), 0);
    *room = 'c';
    conn_commit(conn, 1);
    ck_assert_uint_eq(conn_queued(conn), 3);
    run_for(5);
    ck_assert_int_eq(recv(client, bytes, 8, 0), -1);
    conn_flush(conn);
    ck_assert_int_eq(recv(client, bytes, 8, 0), 3);
    ck_assert_mem_eq(bytes, "abc", 3);
    ck_assert_uint_eq(conn_queued(conn), 0);
    ck_assert_uint_eq(conn_bytes_out(conn), 3);
}
END_TEST

START_TEST(direct_bytes_follow_what_is_queued)
{
    char bytes[16];
    const struct iovec iov[] = {{.iov_base = (void *)"cd", .iov_len = 2},
                                {.iov_base = (void *)"", .iov_len = 0},
                                {.iov_base = (void *)"efg", .iov_len = 3}};
    ck_assert_int_eq(conn_send(conn, "ab", 2, NULL), 0);
    ck_assert_int_eq(conn_send_now(conn, iov, 3, NULL), 0);
    ck_assert_int_eq(recv(client, bytes, 16, 0), 7);
    ck_assert_mem_eq(bytes, "abcdefg", 7);
    ck_assert_uint_eq(conn_queued(conn), 0);
}
END_TEST

START_TEST(rest_of_direct_bytes_is_queued_in_order)
{
    const uint8_t *bytes = pattern();
    uint64_t offset = 0;
    size_t sent = 0;
    /* More than the socket takes, in odd pieces. */
    while (sent < 180000 + 65536) {
        const struct iovec iov[] = {{.iov_base = (void *)(bytes + sent), .iov_len = 1000},
                                    {.iov_base = (void *)(bytes + sent + 1000), .iov_len = 3333}};
        if (conn_send_now(conn, iov, 2, NULL) < 0)
            break;
        sent += 4333;
        ck_assert_int_lt((int)sent, 251 * 1024 - 4333);
    }
    ck_assert_uint_gt(conn_queued(conn), 0);
    for (int i = 0; i < 100 && offset < sent; i++) {
        conn_want(conn, true, false);
        run_for(1);
        ck_assert_uint_eq(drain(&offset), 0);
    }
    ck_assert_uint_eq(offset, sent);
    ck_assert_uint_gt(outputs, 0);
    ck_assert_uint_eq(conn_bytes_out(conn), sent);
}
END_TEST

START_TEST(queue_beyond_its_limit_is_refused)
{
    struct nsp_error err = NSP_ERROR_INIT;
    static uint8_t bytes[100000];
    uint8_t *room;
    ck_assert_int_eq(conn_send(conn, bytes, sizeof bytes, &err), 0);
    ck_assert_int_eq(conn_send(conn, bytes, sizeof bytes, &err), 0);
    ck_assert_int_eq(conn_send(conn, bytes, 1, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_int_eq(conn_reserve(conn, 1, &room, &err), -1);
    ck_assert_uint_eq(conn_queued(conn), 200000);
}
END_TEST

START_TEST(little_is_left_unsent_in_the_kernel)
{
    const uint8_t *bytes = pattern();
    uint64_t offset = 0;
    ck_assert(conn_room(conn));
    ck_assert_uint_eq(conn_piece(conn), limits.unsent / 2);
    ck_assert_int_eq(conn_send(conn, bytes, 200000, NULL), 0);
    ck_assert(!conn_room(conn));
    for (int i = 0; i < 10; i++)
        conn_flush(conn);
    ck_assert_uint_le(conn_bytes_out(conn), limits.unsent);
    run_for(10);
    ck_assert_uint_le(conn_bytes_out(conn), limits.unsent);
    for (int i = 0; i < 100 && offset < 200000; i++) {
        ck_assert_uint_eq(drain(&offset), 0);
        run_for(1);
        ck_assert_uint_le(conn_bytes_out(conn) - offset, limits.unsent);
    }
    ck_assert_uint_eq(offset, 200000);
    ck_assert(conn_room(conn));
}
END_TEST

START_TEST(waiting_for_room_ends_when_the_peer_reads)
{
    const uint8_t *bytes = pattern();
    const struct iovec iov[] = {{.iov_base = (void *)bytes, .iov_len = limits.unsent / 2}};
    uint64_t offset = 0;
    size_t pieces = 0;
    while (conn_room(conn)) {
        ck_assert_int_eq(conn_send_now(conn, iov, 1, NULL), 0);
        pieces++;
    }
    ck_assert_uint_ge(pieces, 1);
    ck_assert_uint_le(pieces, 2);
    conn_want(conn, true, true);
    run_for(20);
    ck_assert_uint_eq(outputs, 0);
    drain(&offset);
    run_for(5);
    ck_assert_uint_gt(outputs, 0);
    ck_assert(conn_room(conn));
    /* Nobody waits any more: no further calls. */
    conn_want(conn, true, false);
    outputs = 0;
    run_for(20);
    ck_assert_uint_eq(outputs, 0);
}
END_TEST

START_TEST(end_of_the_peer_is_told_once_and_from_the_loop)
{
    ck_assert_int_eq(write(client, "abc", 3), 3);
    close(client);
    client = -1;
    run_for(10);
    ck_assert_uint_eq(inputs, 1);
    ck_assert_uint_eq(losses, 1);
    ck_assert(conn_lost(conn));
    ck_assert_int_eq(conn_error(conn)->code, NSP_E_NONE);
    ck_assert(!conn_room(conn));
    conn_want(conn, true, true);
    conn_end(conn);
    run_for(10);
    ck_assert_uint_eq(losses, 1);
}
END_TEST

START_TEST(write_to_a_gone_peer_is_a_loss)
{
    const struct iovec iov[] = {{.iov_base = (void *)"abc", .iov_len = 3}};
    close(client);
    client = -1;
    ck_assert_int_eq(conn_send_now(conn, iov, 1, NULL), 0);
    ck_assert(conn_lost(conn));
    ck_assert_uint_eq(losses, 0);
    ck_assert_int_eq(conn_error(conn)->code, NSP_E_CONNECTION);
    ck_assert_int_eq(conn_error(conn)->sys_errno, EPIPE);
    run_for(10);
    ck_assert_uint_eq(losses, 1);
}
END_TEST

START_TEST(freed_after_a_loss_it_tells_nothing)
{
    close(client);
    client = -1;
    (void)conn_send(conn, "x", 1, NULL);
    conn_flush(conn);
    ck_assert(conn_lost(conn));
    conn_free(conn);
    conn = NULL;
    run_for(10);
    ck_assert_uint_eq(losses, 0);
}
END_TEST

START_TEST(held_it_neither_reads_nor_writes)
{
    char bytes[8];
    conn_hold(conn, true);
    ck_assert_int_eq(write(client, "abc", 3), 3);
    const struct iovec iov[] = {{.iov_base = (void *)"cd", .iov_len = 2}};
    ck_assert_int_eq(conn_send(conn, "ab", 2, NULL), 0);
    ck_assert_int_eq(conn_send_now(conn, iov, 1, NULL), 0);
    conn_flush(conn);
    ck_assert(!conn_room(conn));
    run_for(10);
    ck_assert_uint_eq(inputs + outputs, 0);
    ck_assert_int_eq(recv(client, bytes, 8, 0), -1);
    conn_hold(conn, false);
    run_for(10);
    ck_assert_uint_eq(inputs, 1);
    ck_assert_int_eq(recv(client, bytes, 8, 0), 4);
    ck_assert_mem_eq(bytes, "abcd", 4);
    nsp_buf_consume(conn_input(conn), 3);
}
END_TEST

START_TEST(end_reaches_the_peer_and_input_goes_on)
{
    char bytes[8];
    conn_end(conn);
    ck_assert_int_eq(recv(client, bytes, 8, 0), 0);
    ck_assert_int_eq(write(client, "abc", 3), 3);
    run_for(10);
    ck_assert_uint_eq(inputs, 1);
    nsp_buf_consume(conn_input(conn), 3);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("conn");
    TCase *tcase = tcase_create("conn");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, input_gathers_until_it_is_taken);
    tcase_add_test(tcase, input_stays_below_its_limit);
    tcase_add_test(tcase, input_that_is_not_wanted_waits_in_the_socket);
    tcase_add_test(tcase, queued_bytes_go_out_on_flush);
    tcase_add_test(tcase, direct_bytes_follow_what_is_queued);
    tcase_add_test(tcase, rest_of_direct_bytes_is_queued_in_order);
    tcase_add_test(tcase, queue_beyond_its_limit_is_refused);
    tcase_add_test(tcase, little_is_left_unsent_in_the_kernel);
    tcase_add_test(tcase, waiting_for_room_ends_when_the_peer_reads);
    tcase_add_test(tcase, end_of_the_peer_is_told_once_and_from_the_loop);
    tcase_add_test(tcase, write_to_a_gone_peer_is_a_loss);
    tcase_add_test(tcase, freed_after_a_loss_it_tells_nothing);
    tcase_add_test(tcase, held_it_neither_reads_nor_writes);
    tcase_add_test(tcase, end_reaches_the_peer_and_input_goes_on);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
