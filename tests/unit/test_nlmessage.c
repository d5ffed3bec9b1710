#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "agent/netlink/nlmessage.h"
#include "tests/support/bytes.h"
#include "tests/support/unit.h"

/* Recorded: a request that went well, one that did not, and one with the reason, without and with
 * the request in the answer. */
#define ACK "2400000002000001010000009210000000000000200000001000050001000000 00000000"
#define REFUSED "240000000200000101000000 92100000 edffffff 20000000100005000100000000000000"
#define REASON                                                                                     \
    "44000000020000030100000092100000 eaffffff 2c000000180005050100000000000000"                   \
    "200001004e657874686f702068617320696e76616c6964206761746577617900"
#define REASON_BEHIND_REQUEST                                                                      \
    "60000000020000020100000092100000 eaffffff 2c000000180005050100000000000000 02000000fe040001"  \
    "04000000080004000300000008000500e0000001"                                                     \
    "200001004e657874686f702068617320696e76616c6964206761746577617900"

static struct nlmessage_writer writer;

static void setup(void)
{
    nlmessage_init(&writer, 4096);
}

static void teardown(void)
{
    nlmessage_done(&writer);
}

static bool answer_of(const char *hex, struct nlmessage_answer *ret_answer)
{
    uint8_t bytes[256];
    size_t length = bytes_from_hex(hex, bytes, sizeof bytes);
    const uint8_t *at = bytes;
    struct nlmessage message;
    ck_assert_int_eq(nlmessage_next(&at, bytes + length, &message), 1);
    return nlmessage_answer(&message, ret_answer);
}

START_TEST(answers_carry_the_error)
{
    struct nlmessage_answer answer = {.error = 77};
    ck_assert(answer_of(ACK, &answer));
    ck_assert_int_eq(answer.error, 0);
    ck_assert(answer_of(REFUSED, &answer));
    ck_assert_int_eq(answer.error, ENODEV);
    ck_assert_str_eq(answer.text, "");
}
END_TEST

START_TEST(answers_carry_the_kernels_reason)
{
    struct nlmessage_answer answer;
    ck_assert(answer_of(REASON, &answer));
    ck_assert_int_eq(answer.error, EINVAL);
    ck_assert_str_eq(answer.text, "Nexthop has invalid gateway");
    ck_assert(answer_of(REASON_BEHIND_REQUEST, &answer));
    ck_assert_str_eq(answer.text, "Nexthop has invalid gateway");
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
    struct nlmessage_answer answer;
    struct nlmessage message;
    struct {
        struct nlmsgerr head;
        struct nlattr attribute;
        char text[300];
    } body = {.head = {.error = -EPERM}, .attribute = {304, NLMSGERR_ATTR_MSG}};
    memset(body.text, 'x', sizeof body.text);
    message = (struct nlmessage){.type = NLMSG_ERROR,
                                 .flags = NLM_F_CAPPED | NLM_F_ACK_TLVS,
                                 .body = (const uint8_t *)&body,
                                 .length = sizeof body};
    ck_assert(nlmessage_answer(&message, &answer));
    ck_assert_uint_eq(strlen(answer.text), NLMESSAGE_TEXT - 1);
}
END_TEST

START_TEST(malformed_answers_are_refused_and_write_nothing)
{
    static const char *const wrong[] = {
        /* too short for the request's header */
        "18000000020000010100000092100000 edffffff 20000000",
        /* an error above zero, and one that is none */
        "240000000200000101000000 92100000 03000000 20000000100005000100000000000000",
        "240000000200000101000000 92100000 00000080 20000000100005000100000000000000",
        /* an attribute longer than the message, and one shorter than its header */
        "28000000020000030100000092100000 eaffffff 2c000000180005050100000000000000 20000100",
        "28000000020000030100000092100000 eaffffff 2c000000180005050100000000000000 02000100",
        /* the request is said to be longer than the message, and shorter than its header */
        "28000000020000020100000092100000 eaffffff 2c000000180005050100000000000000 04000100",
        "28000000020000020100000092100000 eaffffff 08000000180005050100000000000000 04000100",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct nlmessage_answer answer = {.error = 77};
        ck_assert_msg(!answer_of(wrong[i], &answer), "%s", wrong[i]);
        ck_assert_int_eq(answer.error, 77);
    }
}
END_TEST

START_TEST(messages_follow_one_another)
{
    uint8_t bytes[256];
    size_t length = bytes_from_hex(ACK REFUSED, bytes, sizeof bytes);
    const uint8_t *at = bytes;
    struct nlmessage message;
    ck_assert_int_eq(nlmessage_next(&at, bytes + length, &message), 1);
    ck_assert_uint_eq(message.type, NLMSG_ERROR);
    ck_assert_uint_eq(message.flags, NLM_F_CAPPED);
    ck_assert_uint_eq(message.sequence, 1);
    ck_assert_uint_eq(message.length, 20);
    ck_assert_int_eq(nlmessage_next(&at, bytes + length, &message), 1);
    ck_assert_int_eq(nlmessage_next(&at, bytes + length, &message), 0);
}
END_TEST

START_TEST(lengths_that_lie_end_the_reading)
{
    static const char *const wrong[] = {
        "24000000", "0f000000020000010100000092100000", "00000000020000010100000092100000",
        "11000000020000010100000092100000", "ffffffff020000010100000092100000"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t bytes[32];
        size_t length = bytes_from_hex(wrong[i], bytes, sizeof bytes);
        const uint8_t *at = bytes;
        struct nlmessage message;
        ck_assert_int_eq(nlmessage_next(&at, bytes + length, &message), -1);
    }
}
END_TEST

START_TEST(attributes_are_sorted_by_type)
{
    struct nlmessage_attribute table[4];
    uint8_t bytes[64], byte = 0;
    uint32_t number = 0;
    char text[4] = "";
    /* type 2 u32, type 1 "ab", type 9, type 3 (nested flag) u8 */
    size_t length = bytes_from_hex("08000200 07000000 06000100 61620000 04000900 05000380 2a",
                                   bytes, sizeof bytes);
    ck_assert(nlmessage_attributes(bytes, length, table, 4));
    ck_assert_ptr_null(table[0].data);
    ck_assert(nlmessage_u32(&table[2], &number));
    ck_assert_uint_eq(number, 7);
    ck_assert(nlmessage_text(&table[1], text, sizeof text));
    ck_assert_str_eq(text, "ab");
    ck_assert(!nlmessage_text(&table[1], text, 2));
    ck_assert(nlmessage_u8(&table[3], &byte));
    ck_assert_uint_eq(byte, 42);
    ck_assert(!nlmessage_u32(&table[3], &number));
    ck_assert(!nlmessage_u32(&table[0], &number));
    ck_assert(!nlmessage_attributes(bytes, 10, table, 4));
}
END_TEST

START_TEST(what_is_written_can_be_read)
{
    const struct rtgenmsg header = {.rtgen_family = 2};
    struct nlmessage_attribute table[6];
    struct nlmessage message;
    size_t offset = 0;
    for (int i = 0; i < 2; i++) {
        nlmessage_begin(&writer, 100, 5, &header, sizeof header);
        nlmessage_put(&writer, 5, "abc", 3);
        nlmessage_put(&writer, 4, NULL, 0);
        nlmessage_end(&writer);
    }
    ck_assert(!writer.failed);
    ck_assert_uint_eq(writer.count, 2);
    ck_assert_uint_eq(nsp_buf_length(&writer.bytes), 2 * 32);
    while (nlmessage_take(&writer.bytes, &offset, &message)) {
        ck_assert_uint_eq(message.type, 100);
        ck_assert(nlmessage_attributes(message.body + 4, message.length - 4, table, 6));
        ck_assert_uint_eq(table[5].length, 3);
        ck_assert(table[4].data && table[4].length == 0);
    }
    ck_assert_uint_eq(offset, 64);
}
END_TEST

START_TEST(too_much_is_remembered_as_a_failure)
{
    static const char big[4096];
    nlmessage_begin(&writer, 100, 5, NULL, 0);
    nlmessage_put(&writer, 1, big, sizeof big);
    nlmessage_end(&writer);
    nlmessage_begin(&writer, 100, 5, NULL, 0);
    nlmessage_end(&writer);
    ck_assert(writer.failed);
    ck_assert_uint_eq(writer.count, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("nlmessage");
    TCase *tests = tcase_create("nlmessage");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, answers_carry_the_error);
    tcase_add_test(tests, answers_carry_the_kernels_reason);
    tcase_add_test(tests, a_long_reason_is_cut);
    tcase_add_test(tests, malformed_answers_are_refused_and_write_nothing);
    tcase_add_test(tests, messages_follow_one_another);
    tcase_add_test(tests, lengths_that_lie_end_the_reading);
    tcase_add_test(tests, attributes_are_sorted_by_type);
    tcase_add_test(tests, what_is_written_can_be_read);
    tcase_add_test(tests, too_much_is_remembered_as_a_failure);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
