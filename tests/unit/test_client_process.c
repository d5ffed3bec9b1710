#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/nsclient.h"
#include "protocol/limits.h"
#include "tests/support/fake_agent.h"
#include "tests/support/unit.h"

enum { OUT = NSP_CHANNEL_STDOUT, ERR = NSP_CHANNEL_STDERR, WINDOW = NSP_LIMIT_INITIAL_CREDIT };

static struct fake_agent fake;
static struct nsp_process *process;
static uint32_t stream;

static void setup(void)
{
    process = NULL;
    fake_agent_init(&fake);
    ck_assert_int_eq(nsp_client_new(fake.address, NULL, &fake.client, NULL), 0);
    fake_agent_accept(&fake);
}

static void teardown(void)
{
    nsp_process_free(process);
    fake_agent_done(&fake);
}

static void reconnect(void)
{
    fake_agent_drop(&fake);
    fake_agent_accept(&fake);
}

static void begin(const struct nsp_start *start, const struct nsp_attach *attach)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_process_start(fake.client, start, attach, &process, &err) == 0, "%s",
                  err.msg);
    stream = fake_agent_expect_request(&fake, "process.start", "\"attach\":true");
}

static const struct nsp_start simple = {.argv = (const char *const[]){"prog", "arg", NULL},
                                        .stdin_pipe = true};

static void tell_started(uint64_t in, uint64_t out, uint64_t err)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"method\":\"process.started\",\"params\":{\"id\":\"p1\",\"pid\":42,\"running\":true,"
             "\"argv0\":\"prog\",\"stdin_offset\":%llu,\"stdout_from\":%llu,\"stderr_from\":%llu,"
             "\"merged\":false}}",
             (unsigned long long)in, (unsigned long long)out, (unsigned long long)err);
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream, text);
}

static struct nsp_event next_of(unsigned wanted)
{
    struct nsp_event event;
    FAKE_UNTIL(&fake, nsp_process_peek(process, wanted, &event));
    return event;
}

static void expect_event(enum nsp_event_kind kind)
{
    struct nsp_event event = next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, kind);
    nsp_process_take(process, &event, 0);
}

/* The bytes that are next on a channel, which are taken. */
static void expect_data(int channel, uint64_t offset, const char *text)
{
    for (size_t length = strlen(text); length > 0;) {
        struct nsp_event event = next_of(1u << channel);
        ck_assert_int_eq(event.kind, NSP_EVENT_DATA);
        ck_assert_int_eq(event.channel, channel);
        ck_assert_uint_eq(event.offset, offset);
        size_t piece = event.length < length ? event.length : length;
        ck_assert_mem_eq(event.data, text, piece);
        nsp_process_take(process, &event, piece);
        text += piece;
        offset += piece;
        length -= piece;
    }
}

static void expect_nothing(unsigned wanted)
{
    struct nsp_event event;
    for (int i = 0; i < 4; i++) {
        fake_agent_work(&fake);
        ck_assert(!nsp_process_peek(process, wanted, &event));
    }
}

static void begin_started(void)
{
    begin(&simple, NULL);
    tell_started(0, 0, 0);
    expect_event(NSP_EVENT_STARTED);
}

static void respond(const char *text)
{
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, text);
}

static void reattach(const char *fragment)
{
    stream = fake_agent_expect_request(&fake, "process.attach", fragment);
}

/* ---- the ordinary way --------------------------------------------------------------------- */

START_TEST(a_process_is_told_from_start_to_finish)
{
    begin(&simple, NULL);
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"argv\":[\"prog\",\"arg\"]"));
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"stdin\":\"pipe\""));
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"stdout_from\":0"));
    tell_started(0, 0, 0);
    expect_event(NSP_EVENT_STARTED);
    ck_assert_str_eq(nsp_process_id(process), "p1");
    ck_assert_int_eq(nsp_process_pid(process), 42);
    fake_agent_data(&fake, stream, OUT, 0, "hello ");
    fake_agent_data(&fake, stream, ERR, 0, "oops");
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream,
                    "{\"method\":\"process.exited\",\"params\":{\"code\":3,\"wall_ms\":9}}");
    fake_agent_data(&fake, stream, OUT, 6, "world");
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream,
                    "{\"method\":\"process.drained\",\"params\":{\"stdout\":11,\"stderr\":4}}");
    expect_event(NSP_EVENT_EXITED);
    ck_assert_int_eq(nsp_process_exit(process)->code, 3);
    ck_assert_uint_eq(nsp_process_exit(process)->wall_ms, 9);
    fake_agent_send(&fake, NSP_FRAME_END, 0, stream, OUT, 11, NULL, 0);
    respond("{\"result\":{\"id\":\"p1\",\"exit\":{\"code\":3},\"stdout\":11,\"stderr\":4}}");
    expect_event(NSP_EVENT_DRAINED);
    expect_nothing(NSP_PEEK_CONTROL);
    expect_data(OUT, 0, "hello world");
    struct nsp_event event = next_of(NSP_PEEK_STDOUT);
    ck_assert_int_eq(event.kind, NSP_EVENT_END);
    ck_assert_uint_eq(event.offset, 11);
    ck_assert(!event.truncated);
    nsp_process_take(process, &event, 0);
    expect_nothing(NSP_PEEK_CONTROL);
    expect_data(ERR, 0, "oops");
    event = next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_NONE);
    ck_assert(!nsp_process_finished(process));
    nsp_process_take(process, &event, 0);
    ck_assert(nsp_process_finished(process));
    ck_assert_int_eq(nsp_process_next(process, &event, 0, NULL), -1);
}
END_TEST

START_TEST(all_fields_of_a_start_are_sent)
{
    struct nsp_start start = {
        .command = "echo \"\x01\xff\"",
        .cwd = "/tmp",
        .environment = (const char *const[]){"A=1", "B=\xfe", "C", NULL},
        .clear_environment = true,
        .id = "name",
        .key = "k",
        .merge = true,
        .policy = "drop",
        .ring_bytes = 65536,
        .timeout_ms = 5,
        .drain_ms = 6,
        .has_grace = true,
    };
    struct nsp_attach attach = {.interleaved = true, .until_closed = true, .hold_ms = 7,
                                .droppable = true, .no_follow = true};
    begin(&start, &attach);
    static const char *const fragments[] = {
        "\"command\":{\"b64\":\"ZWNobyAiAf8i\"}", "\"cwd\":\"/tmp\"",
        "\"env\":{\"A\":\"1\",\"B\":{\"b64\":\"/g==\"},\"C\":\"\"}", "\"clear_env\":true",
        "\"id\":\"name\"", "\"key\":\"k\"", "\"stdin\":\"null\"", "\"merge\":true",
        "\"policy\":\"drop\"", "\"ring_bytes\":65536", "\"timeout_ms\":5", "\"drain_ms\":6",
        "\"grace_ms\":0", "\"interleaved\":true", "\"until\":\"closed\"", "\"hold_ms\":7",
        "\"lossless\":false", "\"follow\":false",
    };
    for (size_t i = 0; i < sizeof fragments / sizeof *fragments; i++)
        ck_assert_msg(strstr(fake.payload, fragments[i]) != NULL, "%s is not in %s", fragments[i],
                      fake.payload);
}
END_TEST

START_TEST(a_start_needs_argv_or_command_but_not_both)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct nsp_start none = {0}, both = simple;
    both.command = "x";
    ck_assert_int_eq(nsp_process_start(fake.client, &none, NULL, &process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_int_eq(nsp_process_start(fake.client, &both, NULL, &process, &err), -1);
    ck_assert_ptr_null(process);
}
END_TEST

START_TEST(a_failed_start_finishes_with_its_error)
{
    begin(&simple, NULL);
    respond("{\"error\":{\"code\":-32011,\"message\":\"m\",\"data\":{\"name\":\"SPAWN\",\"errno\":"
            "\"ENOENT\",\"op\":\"execve\"}}}");
    struct nsp_event event = next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_SPAWN);
    ck_assert_int_eq(nsp_exit_status_of_error(&event.error), 127);
}
END_TEST

START_TEST(an_end_before_all_bytes_came_is_an_error)
{
    begin_started();
    fake_agent_data(&fake, stream, OUT, 0, "abc");
    respond("{\"result\":{\"exit\":{\"code\":0},\"stdout\":4,\"stderr\":0}}");
    expect_event(NSP_EVENT_EXITED);
    expect_data(OUT, 0, "abc");
    struct nsp_event event = next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_PROTOCOL);
}
END_TEST

START_TEST(a_gap_is_told_in_its_place)
{
    begin_started();
    fake_agent_data(&fake, stream, OUT, 0, "ab");
    fake_agent_number(&fake, NSP_FRAME_GAP, stream, OUT, 2, 100);
    fake_agent_data(&fake, stream, OUT, 100, "cd");
    expect_data(OUT, 0, "ab");
    struct nsp_event event = next_of(NSP_PEEK_STDOUT);
    ck_assert_int_eq(event.kind, NSP_EVENT_GAP);
    ck_assert_uint_eq(event.offset, 2);
    ck_assert_uint_eq(event.gap_to, 100);
    nsp_process_take(process, &event, 0);
    expect_data(OUT, 100, "cd");
}
END_TEST

START_TEST(interleaved_output_keeps_one_order)
{
    struct nsp_attach attach = {.interleaved = true};
    begin(&simple, &attach);
    tell_started(0, 0, 0);
    fake_agent_data(&fake, stream, OUT, 0, "1");
    fake_agent_data(&fake, stream, ERR, 0, "2");
    fake_agent_data(&fake, stream, OUT, 1, "3");
    expect_event(NSP_EVENT_STARTED);
    expect_nothing(NSP_PEEK_STDERR);
    expect_data(OUT, 0, "1");
    expect_nothing(NSP_PEEK_STDOUT);
    expect_data(ERR, 0, "2");
    expect_data(OUT, 1, "3");
}
END_TEST

/* ---- credit ------------------------------------------------------------------------------- */

START_TEST(credit_is_given_back_for_what_was_taken_only)
{
    static char bytes[WINDOW / 4];
    memset(bytes, 'x', sizeof bytes);
    begin_started();
    fake_agent_send(&fake, NSP_FRAME_DATA, 0, stream, OUT, 0, bytes, sizeof bytes);
    struct nsp_event event;
    FAKE_UNTIL(&fake, nsp_process_peek(process, NSP_PEEK_STDOUT, &event) &&
                          event.length == sizeof bytes);
    nsp_process_take(process, &event, sizeof bytes - 1);
    fake_agent_expect_silence(&fake);
    event = next_of(NSP_PEEK_STDOUT);
    nsp_process_take(process, &event, 1);
    fake_agent_expect(&fake, NSP_FRAME_CREDIT);
    ck_assert_uint_eq(fake.frame.stream, stream);
    ck_assert_uint_eq(fake.frame.channel, OUT);
    ck_assert_uint_eq(fake.frame.offset, sizeof bytes);
    ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)fake.payload), sizeof bytes + WINDOW);
}
END_TEST

START_TEST(a_large_gap_gives_credit_by_itself)
{
    begin_started();
    fake_agent_number(&fake, NSP_FRAME_GAP, stream, OUT, 0, 4 * (uint64_t)WINDOW);
    fake_agent_expect(&fake, NSP_FRAME_CREDIT);
    ck_assert_uint_eq(fake.frame.offset, 4 * (uint64_t)WINDOW);
    ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)fake.payload), 5 * (uint64_t)WINDOW);
}
END_TEST

START_TEST(data_beyond_the_credit_is_a_violation)
{
    static char bytes[WINDOW / 4];
    begin_started();
    for (int i = 0; i < 4; i++)
        fake_agent_send(&fake, NSP_FRAME_DATA, 0, stream, OUT, (uint64_t)i * sizeof bytes, bytes,
                        sizeof bytes);
    fake_agent_data(&fake, stream, OUT, WINDOW, "x");
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_FAILED);
    ck_assert_int_eq(nsp_client_last_error(fake.client)->code, NSP_E_PROTOCOL);
}
END_TEST

static void data_before_started(void)
{
    fake_agent_data(&fake, stream, OUT, 0, "x");
}

static void data_with_a_hole(void)
{
    tell_started(0, 0, 0);
    fake_agent_data(&fake, stream, OUT, 1, "x");
}

static void data_after_end(void)
{
    tell_started(0, 0, 0);
    fake_agent_send(&fake, NSP_FRAME_END, 0, stream, OUT, 0, NULL, 0);
    fake_agent_data(&fake, stream, OUT, 0, "x");
}

static void data_on_standard_input(void)
{
    tell_started(0, 0, 0);
    fake_agent_data(&fake, stream, NSP_CHANNEL_STDIN, 0, "x");
}

static void credit_on_standard_output(void)
{
    tell_started(0, 0, 0);
    fake_agent_number(&fake, NSP_FRAME_CREDIT, stream, OUT, 0, 1);
}

static void credit_for_what_was_not_sent(void)
{
    tell_started(0, 0, 0);
    fake_agent_number(&fake, NSP_FRAME_CREDIT, stream, NSP_CHANNEL_STDIN, 1, WINDOW);
}

static void started_without_id(void)
{
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream,
                    "{\"method\":\"process.started\",\"params\":{}}");
}

static void (*const violations[])(void) = {
    data_before_started,       data_with_a_hole,             data_after_end,     data_on_standard_input,
    credit_on_standard_output, credit_for_what_was_not_sent, started_without_id,
};

START_TEST(a_violation_ends_the_connection_and_the_stream)
{
    begin(&simple, NULL);
    violations[_i]();
    FAKE_UNTIL(&fake, nsp_client_state(fake.client) == NSP_CLIENT_FAILED);
    ck_assert_int_eq(nsp_client_last_error(fake.client)->code, NSP_E_PROTOCOL);
    struct nsp_event event;
    int rounds = 0;
    while (nsp_process_next(process, &event, 0, NULL) > 0 && event.kind != NSP_EVENT_FINISHED) {
        nsp_process_take(process, &event, event.length);
        ck_assert_int_lt(rounds++, 10);
    }
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_PROTOCOL);
}
END_TEST

/* ---- over connections --------------------------------------------------------------------- */

START_TEST(it_attaches_again_under_the_same_name_at_the_next_byte)
{
    char reader[32];
    begin(&simple, NULL);
    const char *at = strstr(fake.payload, "\"reader\":\"");
    ck_assert_ptr_nonnull(at);
    snprintf(reader, sizeof reader, "%.27s", at);
    tell_started(0, 0, 0);
    fake_agent_data(&fake, stream, OUT, 0, "abcde");
    fake_agent_data(&fake, stream, ERR, 0, "xyz");
    expect_event(NSP_EVENT_STARTED);
    expect_data(OUT, 0, "abc");
    expect_data(ERR, 0, "xyz");
    reconnect();
    reattach(reader);
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"id\":\"p1\""));
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"stdout_from\":5"));
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"stderr_from\":3"));
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"stdin\":true"));
    tell_started(0, 5, 3);
    fake_agent_data(&fake, stream, OUT, 5, "fg");
    expect_data(OUT, 3, "defg");
    expect_nothing(NSP_PEEK_ALL);
}
END_TEST

START_TEST(a_frame_cut_in_the_middle_is_asked_for_again)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    begin_started();
    struct nsp_frame frame = {.length = 6, .stream = stream, .type = NSP_FRAME_DATA, .channel = OUT};
    nsp_frame_encode(&frame, header);
    fake_agent_write(&fake, header, sizeof header);
    fake_agent_write(&fake, "abc", 3);
    reconnect();
    reattach("\"stdout_from\":0");
    tell_started(0, 0, 0);
    fake_agent_data(&fake, stream, OUT, 0, "abcdef");
    expect_data(OUT, 0, "abcdef");
}
END_TEST

START_TEST(repeated_bytes_are_dropped_and_missing_ones_become_a_gap)
{
    begin_started();
    fake_agent_data(&fake, stream, OUT, 0, "abcde");
    fake_agent_data(&fake, stream, ERR, 0, "xyz");
    expect_data(OUT, 0, "abcde");
    expect_data(ERR, 0, "xyz");
    reconnect();
    reattach(NULL);
    tell_started(0, 2, 10);
    fake_agent_data(&fake, stream, OUT, 2, "cdefg");
    expect_data(OUT, 5, "fg");
    struct nsp_event event = next_of(NSP_PEEK_STDERR);
    ck_assert_int_eq(event.kind, NSP_EVENT_GAP);
    ck_assert_uint_eq(event.offset, 3);
    ck_assert_uint_eq(event.gap_to, 10);
}
END_TEST

START_TEST(what_every_connection_repeats_is_told_once)
{
    static const char exited[] = "{\"method\":\"process.exited\",\"params\":{\"code\":1}}";
    begin_started();
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream, exited);
    fake_agent_send(&fake, NSP_FRAME_END, 0, stream, OUT, 0, NULL, 0);
    expect_event(NSP_EVENT_EXITED);
    struct nsp_event event = next_of(NSP_PEEK_STDOUT);
    ck_assert_int_eq(event.kind, NSP_EVENT_END);
    nsp_process_take(process, &event, 0);
    reconnect();
    reattach(NULL);
    tell_started(0, 0, 0);
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream, exited);
    fake_agent_send(&fake, NSP_FRAME_END, 0, stream, OUT, 0, NULL, 0);
    expect_nothing(NSP_PEEK_ALL);
    respond("{\"result\":{\"exit\":{\"code\":1},\"stdout\":0,\"stderr\":0}}");
    expect_event(NSP_EVENT_FINISHED);
}
END_TEST

START_TEST(a_start_whose_answer_was_lost_is_repeated_with_the_same_key)
{
    char first[4096];
    begin(&simple, NULL);
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"key\":\""));
    ck_assert_uint_lt(fake.frame.length, sizeof first);
    memcpy(first, fake.payload, fake.frame.length + 1);
    reconnect();
    stream = fake_agent_expect_request(&fake, "process.start", NULL);
    ck_assert_str_eq(fake.payload, first);
    tell_started(0, 0, 0);
    expect_event(NSP_EVENT_STARTED);
}
END_TEST

START_TEST(a_process_that_is_gone_after_the_outage_ends_the_stream)
{
    begin_started();
    reconnect();
    reattach(NULL);
    respond("{\"error\":{\"code\":-32007,\"message\":\"m\",\"data\":{\"name\":\"NOT_FOUND\"}}}");
    struct nsp_event event = next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_NOT_FOUND);
}
END_TEST

START_TEST(tail_is_asked_for_only_once)
{
    struct nsp_attach attach = {.tail = true};
    ck_assert_int_eq(nsp_process_attach(fake.client, "p1", &attach, &process, NULL), 0);
    reattach("\"tail\":true");
    tell_started(0, 70, 80);
    expect_event(NSP_EVENT_STARTED);
    fake_agent_data(&fake, stream, OUT, 70, "a");
    expect_data(OUT, 70, "a");
    reconnect();
    reattach("\"stdout_from\":71");
    ck_assert_ptr_null(strstr(fake.payload, "tail"));
    ck_assert_ptr_nonnull(strstr(fake.payload, "\"stderr_from\":80"));
}
END_TEST

static void send_window(uint64_t from)
{
    static char bytes[WINDOW / 4];
    for (int i = 0; i < 4; i++, from += sizeof bytes)
        fake_agent_send(&fake, NSP_FRAME_DATA, 0, stream, OUT, from, bytes, sizeof bytes);
    struct nsp_event event;
    FAKE_UNTIL(&fake, nsp_process_peek(process, NSP_PEEK_STDOUT, &event) && event.length == from);
}

START_TEST(a_user_who_takes_nothing_bounds_what_new_connections_bring)
{
    struct nsp_event event;
    begin_started();
    send_window(0);
    for (uint64_t i = 1; i < 4; i++) {
        reconnect();
        reattach(NULL);
        tell_started(0, i * WINDOW, 0);
        send_window(i * WINDOW);
    }
    reconnect();
    fake_agent_expect_silence(&fake);
    ck_assert(nsp_process_peek(process, NSP_PEEK_STDOUT, &event));
    ck_assert_uint_eq(event.offset, 0);
    nsp_process_take(process, &event, WINDOW);
    reattach("\"stdout_from\":4194304");
    tell_started(0, 4 * (uint64_t)WINDOW, 0);
    /* Taking what earlier connections brought gives no credit on this one. */
    event = next_of(NSP_PEEK_STDOUT);
    nsp_process_take(process, &event, event.length);
    fake_agent_expect_silence(&fake);
    fake_agent_data(&fake, stream, OUT, 4 * (uint64_t)WINDOW, "z");
    expect_data(OUT, 4 * (uint64_t)WINDOW, "z");
}
END_TEST

START_TEST(freeing_detaches_with_a_cancel)
{
    begin_started();
    nsp_process_free(process);
    process = NULL;
    fake_agent_expect(&fake, NSP_FRAME_CANCEL);
    ck_assert_uint_eq(fake.frame.stream, stream);
}
END_TEST

static void add_streams(Suite *suite)
{
    TCase *way = tcase_create("stream");
    tcase_add_checked_fixture(way, setup, teardown);
    tcase_add_test(way, a_process_is_told_from_start_to_finish);
    tcase_add_test(way, all_fields_of_a_start_are_sent);
    tcase_add_test(way, a_start_needs_argv_or_command_but_not_both);
    tcase_add_test(way, a_failed_start_finishes_with_its_error);
    tcase_add_test(way, an_end_before_all_bytes_came_is_an_error);
    tcase_add_test(way, a_gap_is_told_in_its_place);
    tcase_add_test(way, interleaved_output_keeps_one_order);
    tcase_add_test(way, freeing_detaches_with_a_cancel);
    suite_add_tcase(suite, way);
    TCase *credit = tcase_create("credit");
    tcase_add_checked_fixture(credit, setup, teardown);
    tcase_add_test(credit, credit_is_given_back_for_what_was_taken_only);
    tcase_add_test(credit, a_large_gap_gives_credit_by_itself);
    tcase_add_test(credit, data_beyond_the_credit_is_a_violation);
    tcase_add_loop_test(credit, a_violation_ends_the_connection_and_the_stream, 0,
                        sizeof violations / sizeof *violations);
    suite_add_tcase(suite, credit);
}

static Suite *suite(void)
{
    Suite *suite = suite_create("client/process");
    add_streams(suite);
    TCase *again = tcase_create("connections");
    tcase_add_checked_fixture(again, setup, teardown);
    tcase_add_test(again, it_attaches_again_under_the_same_name_at_the_next_byte);
    tcase_add_test(again, a_frame_cut_in_the_middle_is_asked_for_again);
    tcase_add_test(again, repeated_bytes_are_dropped_and_missing_ones_become_a_gap);
    tcase_add_test(again, what_every_connection_repeats_is_told_once);
    tcase_add_test(again, a_start_whose_answer_was_lost_is_repeated_with_the_same_key);
    tcase_add_test(again, a_process_that_is_gone_after_the_outage_ends_the_stream);
    tcase_add_test(again, tail_is_asked_for_only_once);
    tcase_add_test(again, a_user_who_takes_nothing_bounds_what_new_connections_bring);
    suite_add_tcase(suite, again);
    return suite;
}

UNIT_MAIN(suite)
