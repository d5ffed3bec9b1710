#include "protocol/channel.h"
#include "tests/support/unit.h"

static struct nsp_send_half sender;
static struct nsp_recv_half receiver;
static struct nsp_error err;

static void setup(void)
{
    nsp_send_half_init(&sender, 100, 1000);
    nsp_recv_half_init(&receiver, 100, 1000);
    err = NSP_ERROR_INIT;
}

static void assert_refused(int result)
{
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
}

static void receive(uint64_t offset, uint64_t length, uint64_t skip)
{
    uint64_t skipped = 12345;
    ck_assert_int_eq(nsp_recv_half_data(&receiver, offset, length, &skipped, NULL), 0);
    ck_assert_uint_eq(skipped, skip);
}

START_TEST(sending_uses_up_the_allowance)
{
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 1000);
    nsp_send_half_data(&sender, 400);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 600);
    nsp_send_half_data(&sender, 600);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 0);
    ck_assert_uint_eq(sender.next, 1100);
}
END_TEST

START_TEST(a_gap_needs_no_credit_and_uses_none_up)
{
    nsp_send_half_data(&sender, 400);
    nsp_send_half_gap(&sender, 5000);
    ck_assert_uint_eq(sender.next, 5500);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 600);
    receive(100, 400, 0);
    ck_assert_int_eq(nsp_recv_half_gap(&receiver, 500, 5500, NULL), 0);
    ck_assert_uint_eq(receiver.limit, sender.limit);
    receive(5500, 600, 0);
}
END_TEST

START_TEST(credit_raises_the_allowance_and_never_lowers_it)
{
    nsp_send_half_data(&sender, 500);
    ck_assert_int_eq(nsp_send_half_credit(&sender, 400, 1400, NULL), 0);
    ck_assert_uint_eq(sender.consumed, 400);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 800);
    ck_assert_int_eq(nsp_send_half_credit(&sender, 300, 1300, NULL), 0);
    ck_assert_uint_eq(sender.consumed, 400);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 800);
}
END_TEST

START_TEST(credit_for_what_was_not_sent_is_refused)
{
    nsp_send_half_data(&sender, 10);
    assert_refused(nsp_send_half_credit(&sender, 111, 2000, &err));
    assert_refused(nsp_send_half_credit(&sender, 110, 109, &err));
    ck_assert_uint_eq(sender.consumed, 100);
    ck_assert_uint_eq(sender.limit, 1100);
}
END_TEST

START_TEST(nothing_is_allowed_after_the_end)
{
    nsp_send_half_end(&sender);
    ck_assert_int_eq(sender.state, NSP_HALF_ENDED);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 0);
    ck_assert_int_eq(nsp_send_half_credit(&sender, 100, 9000, NULL), 0);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 0);
}
END_TEST

START_TEST(offsets_saturate)
{
    nsp_send_half_init(&sender, UINT64_MAX - 5, 1000);
    ck_assert_uint_eq(nsp_send_half_allowance(&sender), 5);
    nsp_send_half_data(&sender, 1000);
    ck_assert_uint_eq(sender.next, UINT64_MAX);
    nsp_recv_half_init(&receiver, UINT64_MAX - 5, 1000);
    ck_assert_uint_eq(receiver.limit, UINT64_MAX);
    uint64_t skip;
    assert_refused(nsp_recv_half_data(&receiver, UINT64_MAX - 5, 6, &skip, &err));
    receive(UINT64_MAX - 5, 5, 0);
}
END_TEST

START_TEST(data_in_order_is_taken)
{
    receive(100, 300, 0);
    receive(400, 700, 0);
    ck_assert_uint_eq(receiver.next, 1100);
}
END_TEST

START_TEST(a_repetition_is_trimmed)
{
    receive(100, 300, 0);
    receive(100, 300, 300);
    receive(50, 10, 10);
    receive(350, 100, 50);
    ck_assert_uint_eq(receiver.next, 450);
}
END_TEST

START_TEST(a_hole_is_refused)
{
    uint64_t skip = 7;
    assert_refused(nsp_recv_half_data(&receiver, 101, 1, &skip, &err));
    ck_assert_uint_eq(skip, 7);
    ck_assert_uint_eq(receiver.next, 100);
}
END_TEST

START_TEST(data_beyond_the_credit_is_refused)
{
    uint64_t skip = 7;
    assert_refused(nsp_recv_half_data(&receiver, 100, 1001, &skip, &err));
    assert_refused(nsp_recv_half_data(&receiver, 100, UINT64_MAX, &skip, &err));
    ck_assert_uint_eq(skip, 7);
    receive(100, 1000, 0);
    assert_refused(nsp_recv_half_data(&receiver, 1100, 1, &skip, &err));
}
END_TEST

START_TEST(data_after_the_end_is_refused_but_not_its_repetition)
{
    uint64_t skip;
    receive(100, 50, 0);
    ck_assert_int_eq(nsp_recv_half_end(&receiver, 150, NULL), 0);
    ck_assert_int_eq(receiver.state, NSP_HALF_ENDED);
    receive(100, 50, 50);
    assert_refused(nsp_recv_half_data(&receiver, 150, 1, &skip, &err));
    assert_refused(nsp_recv_half_data(&receiver, 140, 20, &skip, &err));
    ck_assert_uint_eq(receiver.next, 150);
}
END_TEST

START_TEST(the_end_must_be_where_the_data_ended)
{
    receive(100, 50, 0);
    assert_refused(nsp_recv_half_end(&receiver, 149, &err));
    assert_refused(nsp_recv_half_end(&receiver, 151, &err));
    ck_assert_int_eq(receiver.state, NSP_HALF_OPEN);
    ck_assert_int_eq(nsp_recv_half_end(&receiver, 150, NULL), 0);
    ck_assert_int_eq(nsp_recv_half_end(&receiver, 150, NULL), 0);
    assert_refused(nsp_recv_half_end(&receiver, 151, &err));
}
END_TEST

START_TEST(a_gap_moves_everything_on)
{
    receive(100, 50, 0);
    nsp_recv_half_consume(&receiver, 50);
    ck_assert_int_eq(nsp_recv_half_gap(&receiver, 150, 5000, NULL), 0);
    ck_assert_uint_eq(receiver.next, 5000);
    ck_assert_uint_eq(receiver.consumed, 5000);
    receive(5000, 950, 0);
}
END_TEST

START_TEST(a_gap_that_does_not_follow_is_refused)
{
    assert_refused(nsp_recv_half_gap(&receiver, 99, 200, &err));
    assert_refused(nsp_recv_half_gap(&receiver, 101, 200, &err));
    assert_refused(nsp_recv_half_gap(&receiver, 100, 100, &err));
    ck_assert_int_eq(nsp_recv_half_end(&receiver, 100, NULL), 0);
    assert_refused(nsp_recv_half_gap(&receiver, 100, 200, &err));
    ck_assert_uint_eq(receiver.next, 100);
}
END_TEST

START_TEST(credit_is_told_by_quarters_of_the_window)
{
    receive(100, 1000, 0);
    ck_assert(!nsp_recv_half_consume(&receiver, 249));
    ck_assert(nsp_recv_half_consume(&receiver, 1));
    ck_assert_uint_eq(receiver.consumed, 350);
    ck_assert_uint_eq(receiver.limit, 1350);
    ck_assert(!nsp_recv_half_consume(&receiver, 100));
    ck_assert(nsp_recv_half_consume(&receiver, 150));
    ck_assert_uint_eq(receiver.limit, 1600);
}
END_TEST

START_TEST(no_credit_is_due_after_the_end)
{
    receive(100, 1000, 0);
    ck_assert_int_eq(nsp_recv_half_end(&receiver, 1100, NULL), 0);
    ck_assert(!nsp_recv_half_consume(&receiver, 1000));
    ck_assert_uint_eq(receiver.consumed, 1100);
}
END_TEST

START_TEST(sender_and_receiver_agree_over_a_long_run)
{
    uint64_t skip;
    for (int i = 0; i < 1000; i++) {
        uint64_t length = nsp_send_half_allowance(&sender);
        if (length > (uint64_t)(i % 170 + 1))
            length = (uint64_t)(i % 170 + 1);
        ck_assert_uint_gt(length, 0);
        ck_assert_int_eq(nsp_recv_half_data(&receiver, sender.next, length, &skip, NULL), 0);
        ck_assert_uint_eq(skip, 0);
        nsp_send_half_data(&sender, length);
        if (nsp_recv_half_consume(&receiver, length))
            ck_assert_int_eq(nsp_send_half_credit(&sender, receiver.consumed, receiver.limit, NULL),
                             0);
    }
    nsp_send_half_end(&sender);
    ck_assert_int_eq(nsp_recv_half_end(&receiver, sender.next, NULL), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("channel");
    TCase *tests = tcase_create("channel");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, sending_uses_up_the_allowance);
    tcase_add_test(tests, a_gap_needs_no_credit_and_uses_none_up);
    tcase_add_test(tests, credit_raises_the_allowance_and_never_lowers_it);
    tcase_add_test(tests, credit_for_what_was_not_sent_is_refused);
    tcase_add_test(tests, nothing_is_allowed_after_the_end);
    tcase_add_test(tests, offsets_saturate);
    tcase_add_test(tests, data_in_order_is_taken);
    tcase_add_test(tests, a_repetition_is_trimmed);
    tcase_add_test(tests, a_hole_is_refused);
    tcase_add_test(tests, data_beyond_the_credit_is_refused);
    tcase_add_test(tests, data_after_the_end_is_refused_but_not_its_repetition);
    tcase_add_test(tests, the_end_must_be_where_the_data_ended);
    tcase_add_test(tests, a_gap_moves_everything_on);
    tcase_add_test(tests, a_gap_that_does_not_follow_is_refused);
    tcase_add_test(tests, credit_is_told_by_quarters_of_the_window);
    tcase_add_test(tests, no_credit_is_due_after_the_end);
    tcase_add_test(tests, sender_and_receiver_agree_over_a_long_run);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
