#include "client/input.h"

#include <stdio.h>
#include <string.h>

#include "client/nsclient.h"
#include "protocol/limits.h"
#include "tests/support/fake_agent.h"
#include "tests/support/unit.h"

enum { IN = NSP_CHANNEL_STDIN };

/* ---- alone -------------------------------------------------------------------------------- */

static struct nsp_input input;
static struct nsp_frame frame;
static const uint8_t *payload;

static void setup_alone(void)
{
    nsp_input_init(&input, true);
}

static void teardown_alone(void)
{
    nsp_input_done(&input);
}

static void write_text(const char *text)
{
    ck_assert_uint_eq(nsp_input_write(&input, text, strlen(text)), strlen(text));
}

static void expect_data(uint64_t offset, const char *text)
{
    ck_assert(nsp_input_pull(&input, 1000, &frame, &payload));
    ck_assert_int_eq(frame.type, NSP_FRAME_DATA);
    ck_assert_uint_eq(frame.offset, offset);
    ck_assert_uint_eq(frame.length, strlen(text));
    ck_assert_mem_eq(payload, text, strlen(text));
}

static void expect_none(void)
{
    ck_assert(!nsp_input_pull(&input, 1000, &frame, &payload));
}

START_TEST(nothing_is_sent_before_the_offset_is_known)
{
    write_text("abc");
    nsp_input_close(&input);
    expect_none();
    ck_assert_int_eq(nsp_input_started(&input, 10, 100, NULL), 0);
    expect_data(10, "abc");
    ck_assert(nsp_input_pull(&input, 1000, &frame, &payload));
    ck_assert_int_eq(frame.type, NSP_FRAME_END);
    ck_assert_uint_eq(frame.offset, 13);
    expect_none();
}
END_TEST

START_TEST(no_more_is_sent_than_credit_and_frame_allow)
{
    ck_assert_int_eq(nsp_input_started(&input, 0, 4, NULL), 0);
    write_text("abcdef");
    ck_assert(nsp_input_pull(&input, 3, &frame, &payload));
    ck_assert_uint_eq(frame.length, 3);
    expect_data(3, "d");
    expect_none();
    ck_assert_int_eq(nsp_input_credit(&input, 2, 6, NULL), 0);
    expect_data(4, "ef");
}
END_TEST

START_TEST(a_new_connection_goes_on_where_the_process_is)
{
    ck_assert_int_eq(nsp_input_started(&input, 0, 100, NULL), 0);
    write_text("abcdef");
    expect_data(0, "abcdef");
    ck_assert_int_eq(nsp_input_credit(&input, 2, 102, NULL), 0);
    nsp_input_lost(&input);
    expect_none();
    ck_assert_int_eq(nsp_input_started(&input, 4, 100, NULL), 0);
    expect_data(4, "ef");
    expect_none();
}
END_TEST

START_TEST(the_end_is_sent_on_each_connection)
{
    ck_assert_int_eq(nsp_input_started(&input, 0, 100, NULL), 0);
    write_text("a");
    nsp_input_close(&input);
    expect_data(0, "a");
    ck_assert(nsp_input_pull(&input, 9, &frame, &payload));
    nsp_input_lost(&input);
    ck_assert_int_eq(nsp_input_started(&input, 1, 100, NULL), 0);
    ck_assert(nsp_input_pull(&input, 9, &frame, &payload));
    ck_assert_int_eq(frame.type, NSP_FRAME_END);
    ck_assert_uint_eq(frame.offset, 1);
}
END_TEST

START_TEST(an_offset_that_goes_back_is_refused)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_input_started(&input, 5, 100, NULL), 0);
    nsp_input_lost(&input);
    ck_assert_int_eq(nsp_input_started(&input, 4, 100, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
}
END_TEST

START_TEST(bytes_that_another_client_wrote_are_not_ours_to_send)
{
    ck_assert_int_eq(nsp_input_started(&input, 0, 100, NULL), 0);
    write_text("abc");
    nsp_input_lost(&input);
    ck_assert_int_eq(nsp_input_started(&input, 50, 100, NULL), 0);
    expect_none();
    write_text("x");
    expect_data(50, "x");
}
END_TEST

START_TEST(credit_for_what_was_not_sent_is_refused)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_input_credit(&input, 0, 1, &err), -1);
    ck_assert_int_eq(nsp_input_started(&input, 0, 100, NULL), 0);
    ck_assert_int_eq(nsp_input_credit(&input, 1, 101, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
}
END_TEST

START_TEST(the_queue_is_bounded_and_frees_by_consumption)
{
    static char bytes[NSP_LIMIT_STDIN_QUEUE + 5];
    ck_assert_uint_eq(nsp_input_write(&input, bytes, sizeof bytes), NSP_LIMIT_STDIN_QUEUE);
    ck_assert_uint_eq(nsp_input_room(&input), 0);
    ck_assert_int_eq(nsp_input_started(&input, 0, 4096, NULL), 0);
    ck_assert(nsp_input_pull(&input, 4096, &frame, &payload));
    ck_assert_uint_eq(nsp_input_room(&input), 0);
    ck_assert_int_eq(nsp_input_credit(&input, 4096, 8192, NULL), 0);
    ck_assert_uint_eq(nsp_input_room(&input), 4096);
}
END_TEST

START_TEST(a_closed_or_dead_input_takes_nothing)
{
    nsp_input_close(&input);
    ck_assert_uint_eq(nsp_input_write(&input, "x", 1), 0);
    nsp_input_done(&input);
    nsp_input_init(&input, true);
    write_text("abc");
    ck_assert_int_eq(nsp_input_started(&input, 0, 100, NULL), 0);
    nsp_input_reader_gone(&input);
    ck_assert_uint_eq(nsp_input_write(&input, "x", 1), 0);
    expect_none();
    nsp_input_done(&input);
    nsp_input_init(&input, false);
    ck_assert_uint_eq(nsp_input_room(&input), 0);
    ck_assert_int_eq(nsp_input_started(&input, 9, 9, NULL), 0);
    expect_none();
}
END_TEST

/* ---- on the wire -------------------------------------------------------------------------- */

static struct fake_agent fake;
static struct nsp_process *process;
static uint32_t stream;

static void tell_started(uint64_t offset)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"method\":\"process.started\",\"params\":{\"process\":\"p\",\"pid\":1,"
             "\"stdin_offset\":%llu,\"stdout_from\":0,\"stderr_from\":0}}",
             (unsigned long long)offset);
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream, text);
}

static void setup_wire(void)
{
    struct nsp_start start = {.command = "cat", .stdin_pipe = true};
    fake_agent_init(&fake);
    ck_assert_int_eq(nsp_client_new(fake.address, NULL, &fake.client, NULL), 0);
    fake_agent_accept(&fake);
    ck_assert_int_eq(nsp_process_start(fake.client, &start, NULL, &process, NULL), 0);
    stream = fake_agent_expect_request(&fake, "process.start", NULL);
}

static void teardown_wire(void)
{
    nsp_process_free(process);
    fake_agent_done(&fake);
}

static void expect_wire(uint8_t type, uint64_t offset, const char *text)
{
    fake_agent_expect(&fake, type);
    ck_assert_uint_eq(fake.frame.stream, stream);
    ck_assert_uint_eq(fake.frame.channel, IN);
    ck_assert_uint_eq(fake.frame.offset, offset);
    ck_assert_str_eq(fake.payload, text);
}

START_TEST(input_waits_for_started_and_ends_after_its_bytes)
{
    nsp_process_write(process, "abc", 3);
    nsp_process_close_stdin(process);
    fake_agent_expect_silence(&fake);
    tell_started(0);
    expect_wire(NSP_FRAME_DATA, 0, "abc");
    expect_wire(NSP_FRAME_END, 3, "");
    ck_assert_uint_eq(nsp_process_unread(process), 3);
    fake_agent_number(&fake, NSP_FRAME_CREDIT, stream, IN, 3, 3);
    FAKE_UNTIL(&fake, nsp_process_unread(process) == 0);
}
END_TEST

START_TEST(no_input_byte_is_sent_twice_after_an_outage)
{
    tell_started(0);
    nsp_process_write(process, "abcdef", 6);
    expect_wire(NSP_FRAME_DATA, 0, "abcdef");
    fake_agent_drop(&fake);
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) != NSP_CLIENT_READY);
    nsp_process_write(process, "ghi", 3);
    nsp_process_close_stdin(process);
    fake_agent_accept(&fake);
    stream = fake_agent_expect_request(&fake, "process.attach", "\"stdin\":true");
    fake_agent_expect_silence(&fake);
    tell_started(4);
    expect_wire(NSP_FRAME_DATA, 4, "efghi");
    expect_wire(NSP_FRAME_END, 9, "");
}
END_TEST

START_TEST(credit_lets_the_rest_go)
{
    static char bytes[NSP_LIMIT_STDIN_QUEUE];
    uint64_t sent = 0;
    memset(bytes, 'x', sizeof bytes);
    tell_started(0);
    ck_assert_uint_eq(nsp_process_write(process, bytes, sizeof bytes), sizeof bytes);
    while (sent < NSP_LIMIT_INITIAL_CREDIT) {
        fake_agent_expect(&fake, NSP_FRAME_DATA);
        ck_assert_uint_eq(fake.frame.offset, sent);
        sent += fake.frame.length;
    }
    ck_assert_uint_eq(nsp_process_room(process), 0);
    fake_agent_number(&fake, NSP_FRAME_CREDIT, stream, IN, 100, sent);
    FAKE_UNTIL(&fake, nsp_process_room(process) == 100);
    ck_assert_uint_eq(nsp_process_write(process, bytes, 50), 50);
    fake_agent_expect_silence(&fake);
    fake_agent_number(&fake, NSP_FRAME_CREDIT, stream, IN, 100, sent + 10);
    fake_agent_expect(&fake, NSP_FRAME_DATA);
    ck_assert_uint_eq(fake.frame.length, 10);
    ck_assert_uint_eq(fake.frame.offset, sent);
}
END_TEST

START_TEST(control_overtakes_input)
{
    static char bytes[NSP_LIMIT_STDIN_QUEUE];
    bool overtaken = false;
    uint64_t sent = 0;
    tell_started(0);
    nsp_process_write(process, bytes, sizeof bytes);
    /* The socket fills up, since we do not read. */
    for (int i = 0; i < 5; i++)
        fake_agent_work(&fake);
    fake_agent_send(&fake, NSP_FRAME_PING, 0, 0, 0, 0, "12345678", 8);
    for (int i = 0; i < 5; i++)
        fake_agent_work(&fake);
    while (!overtaken) {
        uint8_t header[NSP_FRAME_HEADER_SIZE];
        fake_agent_read(&fake, header, sizeof header);
        ck_assert_int_eq(nsp_frame_decode(header, &fake.frame, NULL), 0);
        fake_agent_read(&fake, fake.payload, fake.frame.length);
        overtaken = fake.frame.type == NSP_FRAME_PONG;
        sent += overtaken ? 0 : fake.frame.length;
    }
    ck_assert_uint_lt(sent, sizeof bytes / 2);
}
END_TEST

START_TEST(a_process_that_reads_no_more_is_told_and_takes_no_more)
{
    struct nsp_event event;
    tell_started(0);
    nsp_process_write(process, "abc", 3);
    expect_wire(NSP_FRAME_DATA, 0, "abc");
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream,
                    "{\"method\":\"process.stdin_closed\",\"params\":{\"offset\":1}}");
    FAKE_UNTIL(&fake, nsp_process_room(process) == 0);
    FAKE_UNTIL(&fake, nsp_process_peek(process, NSP_PEEK_CONTROL, &event));
    ck_assert_int_eq(event.kind, NSP_EVENT_STARTED);
    nsp_process_take(process, &event, 0);
    ck_assert(nsp_process_peek(process, NSP_PEEK_CONTROL, &event));
    ck_assert_int_eq(event.kind, NSP_EVENT_STDIN_CLOSED);
    /* Credit may have crossed it. */
    fake_agent_number(&fake, NSP_FRAME_CREDIT, stream, IN, 3, 100);
    fake_agent_expect_silence(&fake);
    ck_assert_int_eq(nsp_client_state(fake.client), NSP_CLIENT_READY);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/input");
    TCase *alone = tcase_create("queue");
    tcase_add_checked_fixture(alone, setup_alone, teardown_alone);
    tcase_add_test(alone, nothing_is_sent_before_the_offset_is_known);
    tcase_add_test(alone, no_more_is_sent_than_credit_and_frame_allow);
    tcase_add_test(alone, a_new_connection_goes_on_where_the_process_is);
    tcase_add_test(alone, the_end_is_sent_on_each_connection);
    tcase_add_test(alone, an_offset_that_goes_back_is_refused);
    tcase_add_test(alone, bytes_that_another_client_wrote_are_not_ours_to_send);
    tcase_add_test(alone, credit_for_what_was_not_sent_is_refused);
    tcase_add_test(alone, the_queue_is_bounded_and_frees_by_consumption);
    tcase_add_test(alone, a_closed_or_dead_input_takes_nothing);
    suite_add_tcase(suite, alone);
    TCase *wire = tcase_create("wire");
    tcase_add_checked_fixture(wire, setup_wire, teardown_wire);
    tcase_add_test(wire, input_waits_for_started_and_ends_after_its_bytes);
    tcase_add_test(wire, no_input_byte_is_sent_twice_after_an_outage);
    tcase_add_test(wire, credit_lets_the_rest_go);
    tcase_add_test(wire, control_overtakes_input);
    tcase_add_test(wire, a_process_that_reads_no_more_is_told_and_takes_no_more);
    suite_add_tcase(suite, wire);
    return suite;
}

UNIT_MAIN(suite)
