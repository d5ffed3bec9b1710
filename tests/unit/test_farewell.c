#include "agent/session/farewell.h"

#include <stdbool.h>
#include <string.h>

#include "agent/base/clock.h"
#include "tests/support/peer.h"
#include "tests/support/unit.h"

enum {
    LONG_MS = 10000,  /* nobody waits for it to pass */
    SHORT_MS = 400,   /* waited for */
    PROMPT_MS = 2000, /* even on a busy machine */
    STEP_MS = 5,
    SOURCE_BYTES = 1 << 20,
};

static struct peer peer, other;
static struct farewell *farewell;
static unsigned done;
static uint64_t began_ns, done_ns;

static void set_up(void)
{
    peer_set_up(&peer, NULL);
    /* A second client of the same server. */
    other =
        (struct peer){.loop = peer.loop, .server = peer.server, .fd = -1, .read_limit = SIZE_MAX};
    nsp_buf_init(&other.in, SIZE_MAX / 2);
    done = 0;
}

static void tear_down(void)
{
    farewell_free(farewell);
    peer_disconnect(&other);
    nsp_buf_done(&other.in);
    peer_tear_down(&peer);
}

static void on_done(void *arg)
{
    ck_assert_ptr_eq(arg, &peer);
    done++;
    done_ns = clock_now_ns();
}

static void start(bool wait_for_peers, unsigned limit_ms)
{
    struct nsp_error err = NSP_ERROR_INIT;
    began_ns = clock_now_ns();
    ck_assert_int_eq(farewell_start(peer.loop, peer.server, wait_for_peers, limit_ms, on_done,
                                    &peer, &farewell, &err),
                     0);
    ck_assert_uint_eq(done, 0);
}

static uint64_t passed_ms(uint64_t until_ns)
{
    return (until_ns - began_ns) / CLOCK_NS_PER_MS;
}

/* Both clients read meanwhile. */
static void run_until(uint64_t ms, bool until_done)
{
    while (passed_ms(clock_now_ns()) < ms && !(until_done && done > 0)) {
        peer_wait(&peer, STEP_MS);
        peer_settle(&other);
    }
}

static void expect_done_within(uint64_t ms)
{
    run_until(ms, true);
    ck_assert_uint_eq(done, 1);
    run_until(passed_ms(done_ns) + 10 * STEP_MS, false);
    ck_assert_uint_eq(done, 1);
}

static void join(struct peer *who)
{
    peer_connect(who);
    peer_greet(who);
}

static void request_source(struct peer *who)
{
    peer_request(who, 3, "{\"method\":\"source\",\"bytes\":1048576}");
}

/* All that was asked for, and then the end. */
static void expect_all_and_goodbye(struct peer *who)
{
    ck_assert_uint_eq(peer_take_data(who, 3, 0), SOURCE_BYTES);
    peer_expect(who, NSP_FRAME_END, NULL);
    peer_expect(who, NSP_FRAME_RESPONSE, NULL);
    peer_expect_goaway(who, "SHUTTING_DOWN");
}

START_TEST(without_peers_it_is_over_at_once)
{
    start(false, LONG_MS);
    expect_done_within(PROMPT_MS);
}
END_TEST

START_TEST(nobody_to_wait_for_is_over_at_once)
{
    start(true, LONG_MS);
    expect_done_within(PROMPT_MS);
}
END_TEST

START_TEST(idle_peers_are_told_and_not_waited_for)
{
    join(&peer);
    join(&other);
    start(false, LONG_MS);
    expect_done_within(PROMPT_MS);
    peer_expect_goaway(&peer, "SHUTTING_DOWN");
    peer_expect_goaway(&other, "SHUTTING_DOWN");
}
END_TEST

START_TEST(queued_output_goes_out_before_the_goodbye)
{
    join(&peer);
    join(&other);
    peer.paused = true;
    request_source(&peer);
    request_source(&other);
    start(false, LONG_MS);
    run_until(100, false);
    ck_assert_uint_eq(done, 0);
    peer.paused = false;
    expect_done_within(PROMPT_MS);
    expect_all_and_goodbye(&peer);
    expect_all_and_goodbye(&other);
}
END_TEST

START_TEST(a_slow_reader_has_half_of_the_time)
{
    join(&peer);
    peer.paused = true;
    request_source(&peer);
    start(false, 2 * SHORT_MS);
    run_until(SHORT_MS / 2, false);
    ck_assert_uint_eq(done, 0);
    expect_done_within(2 * SHORT_MS + PROMPT_MS);
    ck_assert_uint_ge(passed_ms(done_ns), SHORT_MS);
    /* Too late for the rest, and early enough to read why. */
    peer.paused = false;
    peer_settle(&peer);
    uint64_t got = peer_take_data(&peer, 3, 0);
    ck_assert_uint_gt(got, 0);
    ck_assert_uint_lt(got, SOURCE_BYTES);
    peer_expect_goaway(&peer, "SHUTTING_DOWN");
}
END_TEST

START_TEST(a_reader_that_never_reads_does_not_keep_it)
{
    join(&peer);
    peer.paused = true;
    request_source(&peer);
    start(true, SHORT_MS);
    expect_done_within(SHORT_MS + PROMPT_MS);
    ck_assert_uint_ge(passed_ms(done_ns), SHORT_MS);
}
END_TEST

START_TEST(it_waits_until_all_peers_have_closed)
{
    join(&peer);
    join(&other);
    start(true, LONG_MS);
    run_until(100, false);
    ck_assert_uint_eq(done, 0);
    peer_expect_goaway(&peer, "SHUTTING_DOWN");
    peer_expect_goaway(&other, "SHUTTING_DOWN");
    peer_disconnect(&other);
    run_until(200, false);
    ck_assert_uint_eq(done, 0);
    peer_disconnect(&peer);
    expect_done_within(200 + PROMPT_MS);
}
END_TEST

START_TEST(a_peer_that_stays_is_waited_for_up_to_the_limit)
{
    join(&peer);
    start(true, SHORT_MS);
    expect_done_within(SHORT_MS + PROMPT_MS);
    ck_assert_uint_ge(passed_ms(done_ns), SHORT_MS);
    peer_expect_goaway(&peer, "SHUTTING_DOWN");
}
END_TEST

START_TEST(output_that_ends_meanwhile_is_waited_for)
{
    join(&peer);
    start(false, LONG_MS);
    request_source(&peer);
    expect_done_within(PROMPT_MS);
    expect_all_and_goodbye(&peer);
}
END_TEST

START_TEST(one_that_is_not_over_can_be_freed)
{
    join(&peer);
    start(true, LONG_MS);
    peer_wait(&peer, STEP_MS);
    farewell_free(farewell);
    farewell = NULL;
    farewell_free(NULL);
    peer_wait(&peer, 10 * STEP_MS);
    ck_assert_uint_eq(done, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("farewell");
    TCase *words = tcase_create("last words");
    tcase_add_checked_fixture(words, set_up, tear_down);
    tcase_set_timeout(words, 30);
    tcase_add_test(words, without_peers_it_is_over_at_once);
    tcase_add_test(words, nobody_to_wait_for_is_over_at_once);
    tcase_add_test(words, idle_peers_are_told_and_not_waited_for);
    tcase_add_test(words, queued_output_goes_out_before_the_goodbye);
    tcase_add_test(words, a_slow_reader_has_half_of_the_time);
    tcase_add_test(words, a_reader_that_never_reads_does_not_keep_it);
    tcase_add_test(words, it_waits_until_all_peers_have_closed);
    tcase_add_test(words, a_peer_that_stays_is_waited_for_up_to_the_limit);
    tcase_add_test(words, output_that_ends_meanwhile_is_waited_for);
    tcase_add_test(words, one_that_is_not_over_can_be_freed);
    suite_add_tcase(all, words);
    return all;
}

UNIT_MAIN(suite)
