#include <stdio.h>
#include <string.h>

#include "tests/support/fake_process.h"
#include "tests/support/unit.h"

START_TEST(it_attaches_again_under_the_same_name_at_the_next_byte)
{
    char reader[32];
    fake_process_begin(&fake_process_simple, NULL);
    const char *at = strstr(fake_process.agent.payload, "\"reader\":\"");
    ck_assert_ptr_nonnull(at);
    snprintf(reader, sizeof reader, "%.27s", at);
    fake_process_tell_started(0, 0, 0);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "abcde");
    fake_agent_data(&fake_process.agent, fake_process.stream, ERR, 0, "xyz");
    fake_process_expect_event(NSP_EVENT_STARTED);
    fake_process_expect_data(OUT, 0, "abc");
    fake_process_expect_data(ERR, 0, "xyz");
    fake_process_reconnect();
    fake_process_reattach(reader);
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"id\":\"p1\""));
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"stdout_from\":5"));
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"stderr_from\":3"));
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"stdin\":true"));
    fake_process_tell_started(0, 5, 3);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 5, "fg");
    fake_process_expect_data(OUT, 3, "defg");
    fake_process_expect_nothing(NSP_PEEK_ALL);
}
END_TEST

START_TEST(a_frame_cut_in_the_middle_is_asked_for_again)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    fake_process_begin_started();
    struct nsp_frame frame = {
        .length = 6, .stream = fake_process.stream, .type = NSP_FRAME_DATA, .channel = OUT};
    nsp_frame_encode(&frame, header);
    fake_agent_write(&fake_process.agent, header, sizeof header);
    fake_agent_write(&fake_process.agent, "abc", 3);
    fake_process_reconnect();
    fake_process_reattach("\"stdout_from\":0");
    fake_process_tell_started(0, 0, 0);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "abcdef");
    fake_process_expect_data(OUT, 0, "abcdef");
}
END_TEST

START_TEST(repeated_bytes_are_dropped_and_missing_ones_become_a_gap)
{
    fake_process_begin_started();
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "abcde");
    fake_agent_data(&fake_process.agent, fake_process.stream, ERR, 0, "xyz");
    fake_process_expect_data(OUT, 0, "abcde");
    fake_process_expect_data(ERR, 0, "xyz");
    fake_process_reconnect();
    fake_process_reattach(NULL);
    fake_process_tell_started(0, 2, 10);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 2, "cdefg");
    fake_process_expect_data(OUT, 5, "fg");
    struct nsp_event event = fake_process_next_of(NSP_PEEK_STDERR);
    ck_assert_int_eq(event.kind, NSP_EVENT_GAP);
    ck_assert_uint_eq(event.offset, 3);
    ck_assert_uint_eq(event.gap_to, 10);
}
END_TEST

START_TEST(repeated_bytes_give_their_credit_back)
{
    static char bytes[WINDOW / 4];
    memset(bytes, 'x', sizeof bytes);
    fake_process_begin_started();
    fake_agent_send(&fake_process.agent, NSP_FRAME_DATA, 0, fake_process.stream, OUT, 0, bytes,
                    sizeof bytes);
    struct nsp_event event;
    FAKE_UNTIL(&fake_process.agent,
               nsp_process_peek(fake_process.process, NSP_PEEK_STDOUT, &event) &&
                   event.length == sizeof bytes);
    fake_process_reconnect();
    fake_process_reattach(NULL);
    fake_process_tell_started(0, 0, 0);
    fake_agent_send(&fake_process.agent, NSP_FRAME_DATA, 0, fake_process.stream, OUT, 0, bytes,
                    sizeof bytes);
    fake_agent_expect(&fake_process.agent, NSP_FRAME_CREDIT);
    ck_assert_uint_eq(fake_process.agent.frame.offset, sizeof bytes);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, sizeof bytes, "y");
    FAKE_UNTIL(&fake_process.agent,
               nsp_process_peek(fake_process.process, NSP_PEEK_STDOUT, &event) &&
                   event.length == sizeof bytes + 1);
}
END_TEST

START_TEST(a_gap_over_repeated_bytes_is_cut_to_what_is_missing)
{
    fake_process_begin_started();
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "abcde");
    fake_process_expect_data(OUT, 0, "abcde");
    fake_process_reconnect();
    fake_process_reattach(NULL);
    fake_process_tell_started(0, 2, 0);
    fake_agent_number(&fake_process.agent, NSP_FRAME_GAP, fake_process.stream, OUT, 2, 4);
    fake_agent_number(&fake_process.agent, NSP_FRAME_GAP, fake_process.stream, OUT, 4, 9);
    struct nsp_event event = fake_process_next_of(NSP_PEEK_STDOUT);
    ck_assert_int_eq(event.kind, NSP_EVENT_GAP);
    ck_assert_uint_eq(event.offset, 5);
    ck_assert_uint_eq(event.gap_to, 9);
}
END_TEST

START_TEST(what_every_connection_repeats_is_told_once)
{
    static const char exited[] = "{\"method\":\"process.exited\",\"params\":{\"code\":1}}";
    fake_process_begin_started();
    fake_agent_json(&fake_process.agent, NSP_FRAME_NOTIFY, fake_process.stream, exited);
    fake_agent_send(&fake_process.agent, NSP_FRAME_END, 0, fake_process.stream, OUT, 0, NULL, 0);
    fake_process_expect_event(NSP_EVENT_EXITED);
    struct nsp_event event = fake_process_next_of(NSP_PEEK_STDOUT);
    ck_assert_int_eq(event.kind, NSP_EVENT_END);
    nsp_process_take(fake_process.process, &event, 0);
    fake_process_reconnect();
    fake_process_reattach(NULL);
    fake_process_tell_started(0, 0, 0);
    fake_agent_json(&fake_process.agent, NSP_FRAME_NOTIFY, fake_process.stream, exited);
    fake_agent_send(&fake_process.agent, NSP_FRAME_END, 0, fake_process.stream, OUT, 0, NULL, 0);
    fake_process_expect_nothing(NSP_PEEK_ALL);
    fake_process_respond("{\"result\":{\"exit\":{\"code\":1},\"stdout\":0,\"stderr\":0}}");
    fake_process_expect_event(NSP_EVENT_FINISHED);
}
END_TEST

START_TEST(a_start_whose_answer_was_lost_is_repeated_with_the_same_key)
{
    char first[4096];
    fake_process_begin(&fake_process_simple, NULL);
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"key\":\""));
    ck_assert_uint_lt(fake_process.agent.frame.length, sizeof first);
    memcpy(first, fake_process.agent.payload, fake_process.agent.frame.length + 1);
    fake_process_reconnect();
    fake_process.stream = fake_agent_expect_request(&fake_process.agent, "process.start", NULL);
    ck_assert_str_eq(fake_process.agent.payload, first);
    fake_process_tell_started(0, 0, 0);
    fake_process_expect_event(NSP_EVENT_STARTED);
}
END_TEST

START_TEST(a_process_that_is_gone_after_the_outage_ends_the_stream)
{
    fake_process_begin_started();
    fake_process_reconnect();
    fake_process_reattach(NULL);
    fake_process_respond(
        "{\"error\":{\"code\":-32007,\"message\":\"m\",\"data\":{\"name\":\"NOT_FOUND\"}}}");
    struct nsp_event event = fake_process_next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_NOT_FOUND);
}
END_TEST

START_TEST(tail_is_asked_for_only_once)
{
    struct nsp_attach attach = {.tail = true};
    ck_assert_int_eq(
        nsp_process_attach(fake_process.agent.client, "p1", &attach, &fake_process.process, NULL),
        0);
    fake_process_reattach("\"tail\":true");
    fake_process_tell_started(0, 70, 80);
    fake_process_expect_event(NSP_EVENT_STARTED);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 70, "a");
    fake_process_expect_data(OUT, 70, "a");
    fake_process_reconnect();
    fake_process_reattach("\"stdout_from\":71");
    ck_assert_ptr_null(strstr(fake_process.agent.payload, "tail"));
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"stderr_from\":80"));
}
END_TEST

static void send_window(uint64_t from)
{
    static char bytes[WINDOW / 4];
    for (int i = 0; i < 4; i++, from += sizeof bytes)
        fake_agent_send(&fake_process.agent, NSP_FRAME_DATA, 0, fake_process.stream, OUT, from,
                        bytes, sizeof bytes);
    struct nsp_event event;
    FAKE_UNTIL(&fake_process.agent,
               nsp_process_peek(fake_process.process, NSP_PEEK_STDOUT, &event) &&
                   event.length == from);
}

START_TEST(a_user_who_takes_nothing_bounds_what_new_connections_bring)
{
    struct nsp_event event;
    fake_process_begin_started();
    send_window(0);
    for (uint64_t i = 1; i < 4; i++) {
        fake_process_reconnect();
        fake_process_reattach(NULL);
        fake_process_tell_started(0, i * WINDOW, 0);
        send_window(i * WINDOW);
    }
    fake_process_reconnect();
    fake_agent_expect_silence(&fake_process.agent);
    ck_assert(nsp_process_peek(fake_process.process, NSP_PEEK_STDOUT, &event));
    ck_assert_uint_eq(event.offset, 0);
    nsp_process_take(fake_process.process, &event, WINDOW);
    fake_process_reattach("\"stdout_from\":4194304");
    fake_process_tell_started(0, 4 * (uint64_t)WINDOW, 0);
    /* Taking what earlier connections brought gives no credit on this one. */
    event = fake_process_next_of(NSP_PEEK_STDOUT);
    nsp_process_take(fake_process.process, &event, event.length);
    fake_agent_expect_silence(&fake_process.agent);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 4 * (uint64_t)WINDOW, "z");
    fake_process_expect_data(OUT, 4 * (uint64_t)WINDOW, "z");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/reconnect");
    TCase *again = tcase_create("connections");
    tcase_add_checked_fixture(again, fake_process_setup, fake_process_teardown);
    tcase_add_test(again, it_attaches_again_under_the_same_name_at_the_next_byte);
    tcase_add_test(again, a_frame_cut_in_the_middle_is_asked_for_again);
    tcase_add_test(again, repeated_bytes_are_dropped_and_missing_ones_become_a_gap);
    tcase_add_test(again, repeated_bytes_give_their_credit_back);
    tcase_add_test(again, a_gap_over_repeated_bytes_is_cut_to_what_is_missing);
    tcase_add_test(again, what_every_connection_repeats_is_told_once);
    tcase_add_test(again, a_start_whose_answer_was_lost_is_repeated_with_the_same_key);
    tcase_add_test(again, a_process_that_is_gone_after_the_outage_ends_the_stream);
    tcase_add_test(again, tail_is_asked_for_only_once);
    tcase_add_test(again, a_user_who_takes_nothing_bounds_what_new_connections_bring);
    suite_add_tcase(suite, again);
    return suite;
}

UNIT_MAIN(suite)
