#include "init/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/unit.h"

static struct fdstore store;
static int ends[2]; /* ours non-blocking, as the supervisor's */

static void make_store(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
}

static void close_store(void)
{
    fdstore_close(&store);
    close(ends[0]);
    close(ends[1]);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* An eventfd that holds value. */
static int make_fd(unsigned value)
{
    int fd = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static uint64_t value_of(int fd)
{
    uint64_t value = 0;
    ck_assert_int_eq(read(fd, &value, sizeof value), sizeof value);
    return value;
}

static struct storewire_key key_of(uint32_t kind, uint32_t slot)
{
    return (struct storewire_key){kind, slot};
}

static void put(uint32_t kind, uint32_t slot, unsigned value)
{
    ck_assert_int_eq(fdstore_put(&store, key_of(kind, slot), make_fd(value)), 0);
}

static void receive(struct storewire_message *message, int *fds)
{
    struct nsp_error err;
    ck_assert_int_eq(storewire_receive(ends[1], message, fds, &err), 1);
}

START_TEST(what_is_put_is_kept_under_its_key)
{
    int first = make_fd(1), last = make_fd(2), table = make_fd(3);
    ck_assert_int_eq(fdstore_put(&store, key_of(STOREWIRE_STDIN, 0), first), 0);
    ck_assert_int_eq(fdstore_put(&store, key_of(STOREWIRE_STATUS, EXITLOG_SLOTS - 1), last), 0);
    ck_assert_int_eq(fdstore_put(&store, key_of(STOREWIRE_TABLE, 0), table), 0);
    ck_assert_int_eq(fdstore_get(&store, key_of(STOREWIRE_STDIN, 0)), first);
    ck_assert_int_eq(fdstore_get(&store, key_of(STOREWIRE_STATUS, EXITLOG_SLOTS - 1)), last);
    ck_assert_int_eq(fdstore_get(&store, key_of(STOREWIRE_TABLE, 0)), table);
    ck_assert_int_eq(fdstore_get(&store, key_of(STOREWIRE_STDIN, 1)), -1);
    ck_assert_uint_eq(store.count, 3);
}
END_TEST

START_TEST(a_second_put_replaces_and_closes_the_first)
{
    int first = make_fd(1), second = make_fd(2);
    fdstore_put(&store, key_of(STOREWIRE_LISTENER, 4), first);
    fdstore_put(&store, key_of(STOREWIRE_LISTENER, 4), second);
    ck_assert(!is_open(first));
    ck_assert(is_open(second));
    ck_assert_int_eq(fdstore_get(&store, key_of(STOREWIRE_LISTENER, 4)), second);
    ck_assert_uint_eq(store.count, 1);
}
END_TEST

START_TEST(a_drop_closes_and_an_unknown_one_does_nothing)
{
    int fd = make_fd(1);
    fdstore_put(&store, key_of(STOREWIRE_STDOUT, 7), fd);
    fdstore_drop(&store, key_of(STOREWIRE_STDOUT, 8));
    fdstore_drop(&store, key_of(STOREWIRE_STDOUT, EXITLOG_SLOTS));
    fdstore_drop(&store, key_of(STOREWIRE_KIND_COUNT, 0));
    ck_assert(is_open(fd));
    fdstore_drop(&store, key_of(STOREWIRE_STDOUT, 7));
    fdstore_drop(&store, key_of(STOREWIRE_STDOUT, 7));
    ck_assert(!is_open(fd));
    ck_assert_uint_eq(store.count, 0);
}
END_TEST

START_TEST(a_key_that_there_cannot_be_is_refused_and_closed)
{
    const struct storewire_key keys[] = {{STOREWIRE_TABLE, 1},
                                         {STOREWIRE_STDERR, EXITLOG_SLOTS},
                                         {STOREWIRE_KIND_COUNT, 0},
                                         {UINT32_MAX, UINT32_MAX}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        int fd = make_fd(1);
        ck_assert_int_eq(fdstore_put(&store, keys[i], fd), -1);
        ck_assert(!is_open(fd));
        ck_assert_int_eq(fdstore_get(&store, keys[i]), -1);
    }
}
END_TEST

START_TEST(an_empty_store_lists_nothing_but_the_end)
{
    struct storewire_message message;
    int fds[STOREWIRE_BATCH];
    ck_assert_int_eq(fdstore_list_send(&store, ends[0]), 0); /* nobody asked */
    fdstore_list(&store);
    ck_assert_int_eq(fdstore_list_send(&store, ends[0]), 0);
    receive(&message, fds);
    ck_assert_uint_eq(message.op, STOREWIRE_DONE);
    ck_assert(!store.listing);
}
END_TEST

START_TEST(a_listing_sends_every_entry_with_its_descriptor)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < 20; i++)
        put(STOREWIRE_STDOUT, i * 200, 1000 + i * 200);
    put(STOREWIRE_ARENA, 0, 5);
    fdstore_list(&store);
    ck_assert_int_eq(fdstore_list_send(&store, ends[0]), 0);
    for (;;) {
        struct storewire_message message;
        int fds[STOREWIRE_BATCH];
        receive(&message, fds);
        if (message.op == STOREWIRE_DONE)
            break;
        ck_assert_uint_eq(message.op, STOREWIRE_ITEM);
        for (unsigned i = 0; i < message.count; i++, seen++) {
            bool arena = message.keys[i].kind == STOREWIRE_ARENA;
            ck_assert_uint_eq(value_of(fds[i]), arena ? 5 : 1000 + message.keys[i].slot);
            close(fds[i]);
        }
    }
    ck_assert_uint_eq(seen, 21);
    ck_assert_uint_eq(store.count, 21); /* they stay */
}
END_TEST

START_TEST(a_listing_waits_for_a_full_socket_and_goes_on)
{
    enum { MANY = 400 };
    unsigned seen = 0, full = 0;
    int shared = make_fd(1), small = 4096;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(fdstore_put(&store, key_of(STOREWIRE_STDERR, i), dup(shared)), 0);
    fdstore_list(&store);
    for (bool done = false; !done;) {
        int result = fdstore_list_send(&store, ends[0]);
        ck_assert_int_ge(result, 0);
        full += result == 1;
        ck_assert(store.listing == (result == 1));
        struct storewire_message message;
        int fds[STOREWIRE_BATCH];
        receive(&message, fds);
        for (unsigned i = 0; message.op == STOREWIRE_ITEM && i < message.count; i++) {
            ck_assert_uint_eq(message.keys[i].slot, seen++);
            close(fds[i]);
        }
        done = message.op == STOREWIRE_DONE;
    }
    ck_assert_uint_eq(seen, MANY);
    ck_assert_uint_gt(full, 0);
    close(shared);
}
END_TEST

START_TEST(asking_again_starts_from_the_beginning)
{
    struct storewire_message message;
    int fds[STOREWIRE_BATCH];
    put(STOREWIRE_STDIN, 3, 1);
    for (int i = 0; i < 2; i++) {
        fdstore_list(&store);
        ck_assert_int_eq(fdstore_list_send(&store, ends[0]), 0);
        receive(&message, fds);
        ck_assert_uint_eq(message.op, STOREWIRE_ITEM);
        close(fds[0]);
        receive(&message, fds);
        ck_assert_uint_eq(message.op, STOREWIRE_DONE);
    }
}
END_TEST

START_TEST(a_broken_socket_is_told_and_a_listing_can_be_stopped)
{
    put(STOREWIRE_STDIN, 3, 1);
    close(ends[1]);
    ends[1] = -1;
    fdstore_list(&store);
    ck_assert_int_eq(fdstore_list_send(&store, ends[0]), -1);
    fdstore_list_stop(&store);
    ck_assert_int_eq(fdstore_list_send(&store, ends[0]), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fdstore");
    TCase *table = tcase_create("table and listing");
    tcase_add_checked_fixture(table, make_store, close_store);
    tcase_add_test(table, what_is_put_is_kept_under_its_key);
    tcase_add_test(table, a_second_put_replaces_and_closes_the_first);
    tcase_add_test(table, a_drop_closes_and_an_unknown_one_does_nothing);
    tcase_add_test(table, a_key_that_there_cannot_be_is_refused_and_closed);
    tcase_add_test(table, an_empty_store_lists_nothing_but_the_end);
    tcase_add_test(table, a_listing_sends_every_entry_with_its_descriptor);
    tcase_add_test(table, a_listing_waits_for_a_full_socket_and_goes_on);
    tcase_add_test(table, asking_again_starts_from_the_beginning);
    tcase_add_test(table, a_broken_socket_is_told_and_a_listing_can_be_stopped);
    suite_add_tcase(all, table);
    return all;
}

UNIT_MAIN(suite)
