/* What all processes share: made by the first agent, found by the next, refused when it is foreign.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/process/shared.h"
#include "tests/support/unit.h"

enum { BUDGET = 1 << 20 };

static struct loop *loop;
static struct store store;
static int sockets[2], kick;
static struct inherit *inherit;

static void on_fatal(void *arg, const char *what, const struct nsp_error *err)
{
    (void)arg;
    (void)err;
    ck_abort_msg("%s", what);
}

static void setup(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    fcntl(sockets[0], F_SETFL, O_NONBLOCK);
    kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ck_assert_int_eq(loop_new(&loop, NULL), 0);
    ck_assert_int_eq(store_init(&store, loop, sockets[1], kick, on_fatal, NULL, NULL), 0);
    inherit = inherit_new(NULL, 0);
    ck_assert_ptr_nonnull(inherit);
}

static void teardown(void)
{
    free(inherit);
    store_done(&store);
    loop_free(loop);
}

/* Takes what was put into the place of what the next agent finds. */
static unsigned take_stored(void)
{
    struct storewire_message message;
    int fds[STOREWIRE_BATCH];
    unsigned count = 0;
    while (storewire_receive(sockets[0], &message, fds, NULL) > 0) {
        ck_assert_int_eq(message.op, STOREWIRE_PUT);
        for (uint32_t i = 0; i < message.count; i++, count++)
            inherit->single[message.keys[i].kind] = fds[i];
    }
    return count;
}

START_TEST(the_first_agent_makes_and_stores_everything)
{
    struct shared shared;
    ck_assert_int_eq(shared_open(&shared, inherit, BUDGET, &store, NULL), 0);
    ck_assert_uint_eq(shared.table.header->agent_starts, 1);
    ck_assert_ptr_eq(shared.output_stage.journal, &shared.table.header->output_stage);
    ck_assert_ptr_eq(shared.input_stage.journal, &shared.table.header->input_stage);
    ck_assert_uint_eq(take_stored(), STOREWIRE_LISTENER);
    shared_close(&shared);
}
END_TEST

START_TEST(the_next_finds_the_same)
{
    struct shared first, second;
    char byte = 0;
    ck_assert_int_eq(shared_open(&first, inherit, BUDGET, &store, NULL), 0);
    take_stored();
    table_begin(&first.table, 3)->pid = 77;
    ck_assert_int_eq(write(first.output_stage.write_fd, "x", 1), 1);
    shared_close(&first);
    ck_assert_int_eq(shared_open(&second, inherit, BUDGET, &store, NULL), 0);
    ck_assert_uint_eq(second.table.header->agent_starts, 2);
    ck_assert_int_eq(second.table.records[3].pid, 77);
    ck_assert_int_eq(read(second.output_stage.read_fd, &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
    ck_assert_uint_eq(take_stored(), 0);
    shared_close(&second);
}
END_TEST

START_TEST(what_is_missing_is_made_and_everything_stored_again)
{
    struct shared shared;
    ck_assert_int_eq(shared_open(&shared, inherit, BUDGET, &store, NULL), 0);
    take_stored();
    shared_close(&shared);
    close(inherit->single[STOREWIRE_INPUT_STAGE_READ]);
    close(inherit->single[STOREWIRE_INPUT_STAGE_WRITE]);
    inherit->single[STOREWIRE_INPUT_STAGE_READ] = inherit->single[STOREWIRE_INPUT_STAGE_WRITE] = -1;
    ck_assert_int_eq(shared_open(&shared, inherit, BUDGET, &store, NULL), 0);
    ck_assert_int_ge(shared.input_stage.read_fd, 0);
    ck_assert_uint_eq(take_stored(), STOREWIRE_LISTENER);
    shared_close(&shared);
}
END_TEST

START_TEST(a_foreign_table_is_refused)
{
    struct shared shared;
    struct nsp_error err = NSP_ERROR_INIT;
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    inherit->single[STOREWIRE_TABLE] = ends[0];
    ck_assert_int_eq(shared_open(&shared, inherit, BUDGET, &store, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_UNSUPPORTED);
    shared_close(&shared);
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), -1);
    ck_assert_uint_eq(take_stored(), 0);
}
END_TEST

START_TEST(without_a_supervisor_the_first_agent_cannot_begin)
{
    struct shared shared;
    struct nsp_error err = NSP_ERROR_INIT;
    close(sockets[0]);
    ck_assert_int_eq(shared_open(&shared, inherit, BUDGET, &store, &err), -1);
    shared_close(&shared);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("shared");
    TCase *tests = tcase_create("shared");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_first_agent_makes_and_stores_everything);
    tcase_add_test(tests, the_next_finds_the_same);
    tcase_add_test(tests, what_is_missing_is_made_and_everything_stored_again);
    tcase_add_test(tests, a_foreign_table_is_refused);
    tcase_add_test(tests, without_a_supervisor_the_first_agent_cannot_begin);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
