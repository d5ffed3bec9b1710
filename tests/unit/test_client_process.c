#include <errno.h>
#include <string.h>

#include "tests/support/fake_process.h"
#include "tests/support/unit.h"

/* ---- the ordinary way --------------------------------------------------------------------- */

START_TEST(a_process_is_told_from_start_to_finish)
{
    fake_process_begin(&fake_process_simple, NULL);
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"argv\":[\"prog\",\"arg\"]"));
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"stdin\":\"pipe\""));
    ck_assert_ptr_nonnull(strstr(fake_process.agent.payload, "\"stdout_from\":0"));
    fake_process_tell_started(0, 0, 0);
    fake_process_expect_event(NSP_EVENT_STARTED);
    ck_assert_str_eq(nsp_process_id(fake_process.process), "p1");
    ck_assert_int_eq(nsp_process_pid(fake_process.process), 42);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "hello ");
    fake_agent_data(&fake_process.agent, fake_process.stream, ERR, 0, "oops");
    fake_agent_json(&fake_process.agent, NSP_FRAME_NOTIFY, fake_process.stream,
                    "{\"method\":\"process.exited\",\"params\":{\"code\":3,\"wall_ms\":9}}");
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 6, "world");
    fake_agent_json(&fake_process.agent, NSP_FRAME_NOTIFY, fake_process.stream,
                    "{\"method\":\"process.drained\",\"params\":{\"stdout\":11,\"stderr\":4}}");
    fake_process_expect_event(NSP_EVENT_EXITED);
    ck_assert_int_eq(nsp_process_exit(fake_process.process)->code, 3);
    ck_assert_uint_eq(nsp_process_exit(fake_process.process)->wall_ms, 9);
    fake_agent_send(&fake_process.agent, NSP_FRAME_END, 0, fake_process.stream, OUT, 11, NULL, 0);
    fake_process_respond(
        "{\"result\":{\"id\":\"p1\",\"exit\":{\"code\":3},\"stdout\":11,\"stderr\":4}}");
    fake_process_expect_event(NSP_EVENT_DRAINED);
    fake_process_expect_nothing(NSP_PEEK_CONTROL);
    fake_process_expect_data(OUT, 0, "hello world");
    struct nsp_event event = fake_process_next_of(NSP_PEEK_STDOUT);
    ck_assert_int_eq(event.kind, NSP_EVENT_END);
    ck_assert_uint_eq(event.offset, 11);
    ck_assert(!event.truncated);
    nsp_process_take(fake_process.process, &event, 0);
    fake_process_expect_nothing(NSP_PEEK_CONTROL);
    fake_process_expect_data(ERR, 0, "oops");
    event = fake_process_next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_NONE);
    ck_assert(!nsp_process_finished(fake_process.process));
    nsp_process_take(fake_process.process, &event, 0);
    ck_assert(nsp_process_finished(fake_process.process));
    ck_assert_int_eq(nsp_process_next(fake_process.process, &event, 0, NULL), -1);
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
    struct nsp_attach attach = {.interleaved = true,
                                .until_closed = true,
                                .hold_ms = 7,
                                .droppable = true,
                                .no_follow = true};
    fake_process_begin(&start, &attach);
    static const char *const fragments[] = {
        "\"command\":{\"b64\":\"ZWNobyAiAf8i\"}",
        "\"cwd\":\"/tmp\"",
        "\"env\":{\"A\":\"1\",\"B\":{\"b64\":\"/g==\"},\"C\":\"\"}",
        "\"clear_env\":true",
        "\"id\":\"name\"",
        "\"key\":\"k\"",
        "\"stdin\":\"null\"",
        "\"merge\":true",
        "\"policy\":\"drop\"",
        "\"ring_bytes\":65536",
        "\"timeout_ms\":5",
        "\"drain_ms\":6",
        "\"grace_ms\":0",
        "\"interleaved\":true",
        "\"until\":\"closed\"",
        "\"hold_ms\":7",
        "\"lossless\":false",
        "\"follow\":false",
    };
    for (size_t i = 0; i < sizeof fragments / sizeof *fragments; i++)
        ck_assert_msg(strstr(fake_process.agent.payload, fragments[i]) != NULL, "%s is not in %s",
                      fragments[i], fake_process.agent.payload);
}
END_TEST

START_TEST(a_start_needs_argv_or_command_but_not_both)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct nsp_start none = {0}, both = fake_process_simple;
    both.command = "x";
    ck_assert_int_eq(
        nsp_process_start(fake_process.agent.client, &none, NULL, &fake_process.process, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_int_eq(
        nsp_process_start(fake_process.agent.client, &both, NULL, &fake_process.process, &err), -1);
    ck_assert_ptr_null(fake_process.process);
}
END_TEST

START_TEST(a_failed_start_finishes_with_its_error)
{
    fake_process_begin(&fake_process_simple, NULL);
    fake_process_respond(
        "{\"error\":{\"code\":-32011,\"message\":\"m\",\"data\":{\"name\":\"SPAWN\",\"errno\":"
        "\"ENOENT\",\"op\":\"execve\"}}}");
    struct nsp_event event = fake_process_next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_SPAWN);
    ck_assert_int_eq(nsp_exit_status_of_error(&event.error), 127);
}
END_TEST

START_TEST(an_end_before_all_bytes_came_is_an_error)
{
    fake_process_begin_started();
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "abc");
    fake_process_respond("{\"result\":{\"exit\":{\"code\":0},\"stdout\":4,\"stderr\":0}}");
    fake_process_expect_event(NSP_EVENT_EXITED);
    fake_process_expect_data(OUT, 0, "abc");
    struct nsp_event event = fake_process_next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_PROTOCOL);
}
END_TEST

START_TEST(a_gap_is_told_in_its_place)
{
    fake_process_begin_started();
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "ab");
    fake_agent_number(&fake_process.agent, NSP_FRAME_GAP, fake_process.stream, OUT, 2, 100);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 100, "cd");
    fake_process_expect_data(OUT, 0, "ab");
    struct nsp_event event = fake_process_next_of(NSP_PEEK_STDOUT);
    ck_assert_int_eq(event.kind, NSP_EVENT_GAP);
    ck_assert_uint_eq(event.offset, 2);
    ck_assert_uint_eq(event.gap_to, 100);
    nsp_process_take(fake_process.process, &event, 0);
    fake_process_expect_data(OUT, 100, "cd");
}
END_TEST

START_TEST(interleaved_output_keeps_one_order)
{
    struct nsp_attach attach = {.interleaved = true};
    fake_process_begin(&fake_process_simple, &attach);
    fake_process_tell_started(0, 0, 0);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "1");
    fake_agent_data(&fake_process.agent, fake_process.stream, ERR, 0, "2");
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 1, "3");
    fake_process_expect_event(NSP_EVENT_STARTED);
    fake_process_expect_nothing(NSP_PEEK_STDERR);
    fake_process_expect_data(OUT, 0, "1");
    fake_process_expect_nothing(NSP_PEEK_STDOUT);
    fake_process_expect_data(ERR, 0, "2");
    fake_process_expect_data(OUT, 1, "3");
}
END_TEST

/* ---- credit ------------------------------------------------------------------------------- */

START_TEST(credit_is_given_back_for_what_was_taken_only)
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
    nsp_process_take(fake_process.process, &event, sizeof bytes - 1);
    fake_agent_expect_silence(&fake_process.agent);
    event = fake_process_next_of(NSP_PEEK_STDOUT);
    nsp_process_take(fake_process.process, &event, 1);
    fake_agent_expect(&fake_process.agent, NSP_FRAME_CREDIT);
    ck_assert_uint_eq(fake_process.agent.frame.stream, fake_process.stream);
    ck_assert_uint_eq(fake_process.agent.frame.channel, OUT);
    ck_assert_uint_eq(fake_process.agent.frame.offset, sizeof bytes);
    ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)fake_process.agent.payload),
                      sizeof bytes + WINDOW);
}
END_TEST

START_TEST(a_large_gap_gives_credit_by_itself)
{
    fake_process_begin_started();
    fake_agent_number(&fake_process.agent, NSP_FRAME_GAP, fake_process.stream, OUT, 0,
                      4 * (uint64_t)WINDOW);
    fake_agent_expect(&fake_process.agent, NSP_FRAME_CREDIT);
    ck_assert_uint_eq(fake_process.agent.frame.offset, 4 * (uint64_t)WINDOW);
    ck_assert_uint_eq(nsp_frame_get_u64((const uint8_t *)fake_process.agent.payload),
                      5 * (uint64_t)WINDOW);
}
END_TEST

START_TEST(a_blocked_agent_gets_credit_for_the_last_byte_it_has_sent)
{
    fake_process_begin_started();
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "abc");
    fake_agent_send(&fake_process.agent, NSP_FRAME_BLOCKED, 0, fake_process.stream, OUT, 3, NULL,
                    0);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 3, "d");
    fake_process_expect_data(OUT, 0, "ab");
    fake_agent_expect_silence(&fake_process.agent);
    fake_process_expect_data(OUT, 2, "c");
    fake_agent_expect(&fake_process.agent, NSP_FRAME_CREDIT);
    ck_assert_uint_eq(fake_process.agent.frame.offset, 3);
    fake_process_expect_data(OUT, 3, "d");
    fake_agent_expect_silence(&fake_process.agent);
    fake_agent_send(&fake_process.agent, NSP_FRAME_BLOCKED, 0, fake_process.stream, OUT, 4, NULL,
                    0);
    fake_agent_expect(&fake_process.agent, NSP_FRAME_CREDIT);
    ck_assert_uint_eq(fake_process.agent.frame.offset, 4);
}
END_TEST

START_TEST(data_beyond_the_credit_is_a_violation)
{
    static char bytes[WINDOW / 4];
    fake_process_begin_started();
    for (int i = 0; i < 4; i++)
        fake_agent_send(&fake_process.agent, NSP_FRAME_DATA, 0, fake_process.stream, OUT,
                        (uint64_t)i * sizeof bytes, bytes, sizeof bytes);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, WINDOW, "x");
    FAKE_UNTIL(&fake_process.agent,
               nsp_client_state(fake_process.agent.client) == NSP_CLIENT_FAILED);
    ck_assert_int_eq(nsp_client_last_error(fake_process.agent.client)->code, NSP_E_PROTOCOL);
}
END_TEST

static void data_before_started(void)
{
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "x");
}

static void data_with_a_hole(void)
{
    fake_process_tell_started(0, 0, 0);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 1, "x");
}

static void data_after_end(void)
{
    fake_process_tell_started(0, 0, 0);
    fake_agent_send(&fake_process.agent, NSP_FRAME_END, 0, fake_process.stream, OUT, 0, NULL, 0);
    fake_agent_data(&fake_process.agent, fake_process.stream, OUT, 0, "x");
}

static void data_on_standard_input(void)
{
    fake_process_tell_started(0, 0, 0);
    fake_agent_data(&fake_process.agent, fake_process.stream, NSP_CHANNEL_STDIN, 0, "x");
}

static void credit_on_standard_output(void)
{
    fake_process_tell_started(0, 0, 0);
    fake_agent_number(&fake_process.agent, NSP_FRAME_CREDIT, fake_process.stream, OUT, 0, 1);
}

static void blocked_at_another_byte(void)
{
    fake_process_tell_started(0, 0, 0);
    fake_agent_send(&fake_process.agent, NSP_FRAME_BLOCKED, 0, fake_process.stream, OUT, 1, NULL,
                    0);
}

static void credit_for_what_was_not_sent(void)
{
    fake_process_tell_started(0, 0, 0);
    fake_agent_number(&fake_process.agent, NSP_FRAME_CREDIT, fake_process.stream, NSP_CHANNEL_STDIN,
                      1, WINDOW);
}

static void started_without_id(void)
{
    fake_agent_json(&fake_process.agent, NSP_FRAME_NOTIFY, fake_process.stream,
                    "{\"method\":\"process.started\",\"params\":{}}");
}

static void (*const violations[])(void) = {
    data_before_started,    data_with_a_hole,          data_after_end,
    data_on_standard_input, credit_on_standard_output, credit_for_what_was_not_sent,
    started_without_id,     blocked_at_another_byte,
};

START_TEST(a_violation_ends_the_connection_and_the_stream)
{
    fake_process_begin(&fake_process_simple, NULL);
    violations[_i]();
    FAKE_UNTIL(&fake_process.agent,
               nsp_client_state(fake_process.agent.client) == NSP_CLIENT_FAILED);
    ck_assert_int_eq(nsp_client_last_error(fake_process.agent.client)->code, NSP_E_PROTOCOL);
    struct nsp_event event;
    int rounds = 0;
    while (nsp_process_next(fake_process.process, &event, 0, NULL) > 0 &&
           event.kind != NSP_EVENT_FINISHED) {
        nsp_process_take(fake_process.process, &event, event.length);
        ck_assert_int_lt(rounds++, 10);
    }
    ck_assert_int_eq(event.kind, NSP_EVENT_FINISHED);
    ck_assert_int_eq(event.error.code, NSP_E_PROTOCOL);
}
END_TEST

START_TEST(freeing_detaches_with_a_cancel)
{
    fake_process_begin_started();
    nsp_process_free(fake_process.process);
    fake_process.process = NULL;
    fake_agent_expect(&fake_process.agent, NSP_FRAME_CANCEL);
    ck_assert_uint_eq(fake_process.agent.frame.stream, fake_process.stream);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/process");
    TCase *way = tcase_create("stream");
    tcase_add_checked_fixture(way, fake_process_setup, fake_process_teardown);
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
    tcase_add_checked_fixture(credit, fake_process_setup, fake_process_teardown);
    tcase_add_test(credit, credit_is_given_back_for_what_was_taken_only);
    tcase_add_test(credit, a_large_gap_gives_credit_by_itself);
    tcase_add_test(credit, a_blocked_agent_gets_credit_for_the_last_byte_it_has_sent);
    tcase_add_test(credit, data_beyond_the_credit_is_a_violation);
    tcase_add_loop_test(credit, a_violation_ends_the_connection_and_the_stream, 0,
                        sizeof violations / sizeof *violations);
    suite_add_tcase(suite, credit);
    return suite;
}

UNIT_MAIN(suite)
