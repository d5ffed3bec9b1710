/* The functions that block run in a child process; the agent is the test itself. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/nsclient.h"
#include "tests/support/fake_agent.h"
#include "tests/support/unit.h"

static struct fake_agent fake;
static pid_t child;

static void teardown(void)
{
    fake_agent_done(&fake);
}

static void setup(void)
{
    fake_agent_init(&fake);
}

/* What body returns becomes the child's exit status: 0 for success. */
static void run_child(int (*body)(struct nsp_client *client))
{
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child > 0)
        return;
    struct nsp_client *client = NULL;
    int status = nsp_client_new(fake.address, NULL, &client, NULL) < 0 ? 100 : body(client);
    nsp_client_free(client);
    _exit(status);
}

static void expect_success(void)
{
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x",
                  (unsigned)status);
}

static void greet(void)
{
    uint8_t preface[NSP_PREFACE_SIZE];
    fake_agent_accept_only(&fake);
    fake_agent_read(&fake, preface, sizeof preface);
    fake_agent_write(&fake, preface, sizeof preface);
    uint32_t stream = fake_agent_expect_request(&fake, "hello", NULL);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{}}");
}

static int ping(struct nsp_client *client)
{
    uint64_t nanoseconds = 0;
    if (nsp_client_ping(client, 5000, &nanoseconds, NULL) < 0)
        return 1;
    return nanoseconds > 0 && nanoseconds < 5000000000 ? 0 : 2;
}

START_TEST(ping_measures_one_round)
{
    run_child(ping);
    greet();
    fake_agent_expect(&fake, NSP_FRAME_PING);
    fake_agent_send(&fake, NSP_FRAME_PONG, 0, 0, 0, 0, fake.payload, 8);
    expect_success();
}
END_TEST

static int ping_lost(struct nsp_client *client)
{
    uint64_t nanoseconds = 0;
    struct nsp_error err = NSP_ERROR_INIT;
    if (nsp_client_ping(client, 5000, &nanoseconds, &err) == 0)
        return 1;
    return err.code == NSP_E_CONNECTION ? 0 : 2;
}

START_TEST(ping_tells_that_the_connection_was_lost)
{
    run_child(ping_lost);
    greet();
    fake_agent_expect(&fake, NSP_FRAME_PING);
    fake_agent_drop(&fake);
    expect_success();
}
END_TEST

static int run(struct nsp_client *client)
{
    char *json = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    if (nsp_call_run(client, "a", "{\"x\":1}", 0, &json, &err) < 0)
        return 1;
    int status = strcmp(json, "{\"y\":2}") == 0 ? 0 : 2;
    free(json);
    if (nsp_call_run(client, "b", NULL, 0, &json, &err) == 0)
        return 3;
    return err.code == NSP_E_STATE ? status : 4;
}

START_TEST(run_gives_the_result_or_the_error)
{
    run_child(run);
    greet();
    uint32_t stream = fake_agent_expect_request(&fake, "a", "{\"x\":1}");
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{\"y\":2}}");
    stream = fake_agent_expect_request(&fake, "b", NULL);
    fake_agent_json(
        &fake, NSP_FRAME_RESPONSE, stream,
        "{\"error\":{\"code\":-32009,\"message\":\"m\",\"data\":{\"name\":\"STATE\"}}}");
    expect_success();
}
END_TEST

static int launch(struct nsp_client *client)
{
    struct nsp_start start = {.command = "sleep 1"};
    char id[NSP_ID_SIZE];
    int64_t pid = 0;
    if (nsp_process_launch(client, &start, id, &pid, NULL) < 0)
        return 1;
    return strcmp(id, "p9") == 0 && pid == 9 ? 0 : 2;
}

START_TEST(launch_repeats_a_start_whose_answer_was_lost)
{
    char first[2048];
    run_child(launch);
    greet();
    fake_agent_expect_request(&fake, "process.start", "\"key\":\"");
    ck_assert_ptr_null(strstr(fake.payload, "attach"));
    ck_assert_uint_lt(fake.frame.length, sizeof first);
    memcpy(first, fake.payload, fake.frame.length + 1);
    fake_agent_drop(&fake);
    greet();
    uint32_t stream = fake_agent_expect_request(&fake, "process.start", NULL);
    ck_assert_str_eq(fake.payload, first);
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream,
                    "{\"result\":{\"id\":\"p9\",\"pid\":9,\"attached\":false}}");
    expect_success();
}
END_TEST

static int follow(struct nsp_client *client)
{
    struct nsp_process *process = NULL;
    struct nsp_event event;
    char text[16] = "";
    int result;
    if (nsp_process_attach(client, "p", NULL, &process, NULL) < 0)
        return 1;
    if (nsp_process_next(process, &event, 10, NULL) != 0)
        return 2;
    while ((result = nsp_process_next(process, &event, -1, NULL)) > 0 &&
           event.kind != NSP_EVENT_FINISHED) {
        if (event.kind == NSP_EVENT_DATA)
            strncat(text, event.data, event.length);
        nsp_process_take(process, &event, event.length);
    }
    nsp_process_free(process);
    return result > 0 && strcmp(text, "hello") == 0 ? 0 : 3;
}

START_TEST(next_hands_out_one_event_after_the_other)
{
    run_child(follow);
    usleep(30000);
    greet();
    uint32_t stream = fake_agent_expect_request(&fake, "process.attach", "\"id\":\"p\"");
    fake_agent_json(&fake, NSP_FRAME_NOTIFY, stream,
                    "{\"method\":\"process.started\",\"params\":{\"process\":\"p\"}}");
    fake_agent_data(&fake, stream, 2, 0, "hel");
    fake_agent_data(&fake, stream, 2, 3, "lo");
    fake_agent_json(&fake, NSP_FRAME_RESPONSE, stream, "{\"result\":{\"exit\":{\"code\":0}}}");
    expect_success();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/blocking");
    TCase *blocking = tcase_create("blocking");
    tcase_add_checked_fixture(blocking, setup, teardown);
    tcase_add_test(blocking, ping_measures_one_round);
    tcase_add_test(blocking, ping_tells_that_the_connection_was_lost);
    tcase_add_test(blocking, run_gives_the_result_or_the_error);
    tcase_add_test(blocking, launch_repeats_a_start_whose_answer_was_lost);
    tcase_add_test(blocking, next_hands_out_one_event_after_the_other);
    suite_add_tcase(suite, blocking);
    return suite;
}

UNIT_MAIN(suite)
