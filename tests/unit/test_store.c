/* The agent's side of the fd store; the test is the supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/process/store.h"
#include "agent/process/store_items.h"
#include "tests/support/unit.h"

static struct loop *loop;
static struct store store;
static struct timer *stop;
static int supervisor, agent, kick;
static unsigned fatal;

static void on_stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void on_fatal(void *arg, const char *what, const struct nsp_error *err)
{
    (void)what;
    (void)err;
    ck_assert_ptr_eq(arg, &store);
    fatal++;
}

static void setup(void)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    supervisor = ends[0];
    agent = ends[1];
    fcntl(supervisor, F_SETFL, O_NONBLOCK);
    kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ck_assert_int_eq(loop_new(&loop, NULL), 0);
    ck_assert_int_eq(timer_new(loop, on_stop, NULL, &stop, NULL), 0);
    ck_assert_int_eq(store_init(&store, loop, agent, kick, on_fatal, &store, NULL), 0);
}

static void teardown(void)
{
    store_done(&store);
    timer_free(stop);
    loop_free(loop);
    close(agent);
    close(kick);
    if (supervisor >= 0)
        close(supervisor);
}

static void run_for(unsigned ms)
{
    ck_assert_int_eq(timer_set(stop, ms * CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(loop, NULL), 0);
}

static bool was_kicked(void)
{
    uint64_t count;
    return read(kick, &count, sizeof count) > 0;
}

static struct storewire_message message;
static int fds[STOREWIRE_BATCH];

/* False when there is none. */
static bool next_message(void)
{
    struct nsp_error err = NSP_ERROR_INIT;
    int got = storewire_receive(supervisor, &message, fds, &err);
    ck_assert(got >= 0 || err.sys_errno == EAGAIN);
    return got > 0;
}

static void assert_nothing(void)
{
    ck_assert(!next_message());
}

static int put(enum storewire_kind kind, unsigned slot, struct nsp_error *err)
{
    const struct store_item item = {{kind, slot}, kick};
    return store_put(&store, &item, 1, err);
}

static void assert_put(enum storewire_kind kind, unsigned slot)
{
    ck_assert(next_message());
    ck_assert_int_eq(message.op, STOREWIRE_PUT);
    ck_assert_uint_eq(message.count, 1);
    ck_assert_uint_eq(message.keys[0].kind, kind);
    ck_assert_uint_eq(message.keys[0].slot, slot);
    close(fds[0]);
}

/* Keys dropped by all messages that are there. */
static unsigned count_drops(void)
{
    unsigned count = 0;
    while (next_message()) {
        ck_assert_int_eq(message.op, STOREWIRE_DROP);
        count += message.count;
    }
    return count;
}

START_TEST(a_put_goes_out_at_once_with_its_descriptors)
{
    int pipes[2];
    struct store_item items[STOREWIRE_BATCH];
    ck_assert_int_eq(pipe(pipes), 0);
    for (unsigned i = 0; i < STOREWIRE_BATCH; i++)
        items[i] = (struct store_item){{STOREWIRE_STDOUT, i}, pipes[i % 2]};
    ck_assert_int_eq(store_put(&store, items, STOREWIRE_BATCH, NULL), 0);
    ck_assert(next_message());
    ck_assert_int_eq(message.op, STOREWIRE_PUT);
    ck_assert_uint_eq(message.count, STOREWIRE_BATCH);
    ck_assert_uint_eq(message.keys[5].slot, 5);
    /* They are copies of the same pipe. */
    char byte;
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    /* Nobody needs to wake for it. */
    ck_assert(!was_kicked());
}
END_TEST

START_TEST(drops_wait_for_company_but_not_for_long)
{
    store_drop(&store, STOREWIRE_STDOUT, 1);
    store_drop(&store, STOREWIRE_STDERR, 1);
    assert_nothing();
    run_for(30);
    ck_assert(next_message());
    ck_assert_int_eq(message.op, STOREWIRE_DROP);
    ck_assert_uint_eq(message.count, 2);
    ck_assert(was_kicked());
    run_for(30);
    assert_nothing();
    ck_assert(!was_kicked());
}
END_TEST

START_TEST(a_full_message_of_drops_goes_out)
{
    for (unsigned i = 0; i < STOREWIRE_BATCH; i++)
        store_drop(&store, STOREWIRE_STDOUT, i);
    ck_assert(next_message());
    ck_assert_uint_eq(message.count, STOREWIRE_BATCH);
    assert_nothing();
    /* Nobody else might wake the supervisor. */
    ck_assert(!was_kicked());
    run_for(30);
    ck_assert(was_kicked());
    assert_nothing();
}
END_TEST

START_TEST(a_standard_input_is_dropped_at_once)
{
    store_drop(&store, STOREWIRE_STDERR, 1);
    store_drop(&store, STOREWIRE_STDIN, 1);
    ck_assert_uint_eq(count_drops(), 2);
    ck_assert(was_kicked());
}
END_TEST

START_TEST(the_same_drop_twice_is_one)
{
    store_drop(&store, STOREWIRE_STDERR, 1);
    store_drop(&store, STOREWIRE_STDERR, 1);
    store_drop(&store, STOREWIRE_STDERR, 2);
    run_for(30);
    ck_assert_uint_eq(count_drops(), 2);
}
END_TEST

START_TEST(a_put_makes_a_waiting_drop_of_its_key_superfluous)
{
    store_drop(&store, STOREWIRE_STDOUT, 1);
    store_drop(&store, STOREWIRE_STDERR, 1);
    ck_assert_int_eq(put(STOREWIRE_STDOUT, 1, NULL), 0);
    assert_put(STOREWIRE_STDOUT, 1);
    run_for(30);
    ck_assert(next_message());
    ck_assert_int_eq(message.op, STOREWIRE_DROP);
    ck_assert_uint_eq(message.count, 1);
    ck_assert_uint_eq(message.keys[0].kind, STOREWIRE_STDERR);
}
END_TEST

START_TEST(drops_of_a_store_that_ends_are_left_to_the_successor)
{
    store_drop(&store, STOREWIRE_STDOUT, 1);
    store_done(&store);
    assert_nothing();
}
END_TEST

static void fill_socket(void)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const struct storewire_message drop = {
        .op = STOREWIRE_DROP, .count = 1, .keys = {{STOREWIRE_STATUS, 99}}};
    while (storewire_try_send(agent, &drop, NULL, &err) == 0)
        continue;
    ck_assert_int_eq(err.sys_errno, EAGAIN);
}

static uint64_t measure_failing_put(void)
{
    struct nsp_error err = NSP_ERROR_INIT;
    uint64_t before = clock_now_ns();
    ck_assert_int_eq(put(STOREWIRE_STDOUT, 1, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "supervisor");
    return (clock_now_ns() - before) / CLOCK_NS_PER_MS;
}

START_TEST(a_supervisor_that_does_not_read_is_waited_for_once_and_not_for_long)
{
    fill_socket();
    ck_assert_uint_lt(measure_failing_put(), 2000);
    ck_assert(was_kicked());
    ck_assert_uint_lt(measure_failing_put(), 300);
    count_drops();
    ck_assert_int_eq(put(STOREWIRE_STDOUT, 1, NULL), 0);
    assert_put(STOREWIRE_STDOUT, 1);
    ck_assert_uint_eq(fatal, 0);
}
END_TEST

START_TEST(drops_wait_while_the_supervisor_does_not_read)
{
    fill_socket();
    for (unsigned i = 0; i < 100; i++)
        store_drop(&store, STOREWIRE_STDIN, i);
    run_for(30);
    ck_assert_uint_eq(store.drop_count, 100);
    while (next_message())
        ck_assert_uint_eq(message.keys[0].slot, 99);
    run_for(30);
    ck_assert_uint_eq(count_drops(), 100);
    ck_assert_uint_eq(fatal, 0);
}
END_TEST

START_TEST(without_a_supervisor_everything_fails_and_says_so)
{
    struct nsp_error err = NSP_ERROR_INIT;
    close(supervisor);
    supervisor = -1;
    ck_assert_int_eq(put(STOREWIRE_STDOUT, 1, &err), -1);
    ck_assert_int_eq(err.sys_errno, EPIPE);
    ck_assert_int_eq(store_ready(&store, POWER_VARIANT_AUTO, UINT32_MAX, &err), -1);
    ck_assert_int_eq(store_load(&store, NULL, NULL, &err), -1);
    store_drop(&store, STOREWIRE_STDIN, 1);
    ck_assert_uint_eq(fatal, 1);
}
END_TEST

START_TEST(ready_is_told_at_once)
{
    ck_assert_int_eq(store_ready(&store, POWER_VARIANT_OFF, 700, NULL), 0);
    ck_assert(next_message());
    ck_assert_int_eq(message.op, STOREWIRE_READY);
    ck_assert_uint_eq(message.argument, POWER_VARIANT_OFF);
    ck_assert_uint_eq(message.grace_ms, 700);
    ck_assert(was_kicked());
}
END_TEST

static void answer(enum storewire_op op, uint32_t count)
{
    struct storewire_message reply = {.op = op, .count = count};
    int copies[STOREWIRE_BATCH];
    for (uint32_t i = 0; i < count; i++) {
        reply.keys[i] = (struct storewire_key){STOREWIRE_STDOUT, i};
        copies[i] = kick;
    }
    ck_assert_int_eq(storewire_send(supervisor, &reply, copies, NULL), 0);
}

static unsigned loaded;

static void on_item(void *arg, const struct store_item *item)
{
    ck_assert_ptr_eq(arg, &store);
    ck_assert_uint_eq(item->key.kind, STOREWIRE_STDOUT);
    ck_assert_int_ge(fcntl(item->fd, F_GETFD), 0);
    close(item->fd);
    loaded++;
}

START_TEST(all_entries_are_loaded)
{
    answer(STOREWIRE_ITEM, STOREWIRE_BATCH);
    answer(STOREWIRE_ITEM, 3);
    answer(STOREWIRE_DONE, 0);
    ck_assert_int_eq(store_load(&store, on_item, &store, NULL), 0);
    ck_assert_uint_eq(loaded, STOREWIRE_BATCH + 3);
    ck_assert(next_message());
    ck_assert_int_eq(message.op, STOREWIRE_LIST);
    ck_assert(was_kicked());
}
END_TEST

START_TEST(what_is_loaded_is_found_by_its_key)
{
    struct store_items items;
    answer(STOREWIRE_ITEM, 3);
    answer(STOREWIRE_DONE, 0);
    ck_assert_int_eq(store_items_load(&store, &items, NULL), 0);
    ck_assert_uint_eq(items.count, 3);
    for (unsigned i = 0; i < items.count; i++)
        ck_assert_int_eq(store_items_find(&items, items.list[i].key.kind, items.list[i].key.slot),
                         items.list[i].fd);
    ck_assert_int_eq(store_items_find(&items, STOREWIRE_TABLE, 0), -1);
    ck_assert_int_eq(store_items_find(&items, STOREWIRE_STDOUT, 4000), -1);
    for (unsigned i = 0; i < items.count; i++)
        ck_assert_int_eq(close(items.list[i].fd), 0);
    store_items_done(&items);
}
END_TEST

START_TEST(a_supervisor_that_ends_meanwhile_ends_the_loading)
{
    struct nsp_error err = NSP_ERROR_INIT;
    answer(STOREWIRE_ITEM, 2);
    answer(STOREWIRE_SHUTDOWN, 0);
    ck_assert_int_eq(store_load(&store, on_item, &store, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SHUTTING_DOWN);
    answer(STOREWIRE_ITEM, 1);
    shutdown(supervisor, SHUT_WR);
    ck_assert_int_eq(store_load(&store, on_item, &store, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SHUTTING_DOWN);
    ck_assert_uint_eq(loaded, 3);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("store");
    TCase *tests = tcase_create("store");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_put_goes_out_at_once_with_its_descriptors);
    tcase_add_test(tests, drops_wait_for_company_but_not_for_long);
    tcase_add_test(tests, a_full_message_of_drops_goes_out);
    tcase_add_test(tests, a_standard_input_is_dropped_at_once);
    tcase_add_test(tests, the_same_drop_twice_is_one);
    tcase_add_test(tests, a_put_makes_a_waiting_drop_of_its_key_superfluous);
    tcase_add_test(tests, drops_of_a_store_that_ends_are_left_to_the_successor);
    tcase_add_test(tests, a_supervisor_that_does_not_read_is_waited_for_once_and_not_for_long);
    tcase_add_test(tests, drops_wait_while_the_supervisor_does_not_read);
    tcase_add_test(tests, without_a_supervisor_everything_fails_and_says_so);
    tcase_add_test(tests, ready_is_told_at_once);
    tcase_add_test(tests, all_entries_are_loaded);
    tcase_add_test(tests, what_is_loaded_is_found_by_its_key);
    tcase_add_test(tests, a_supervisor_that_ends_meanwhile_ends_the_loading);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
