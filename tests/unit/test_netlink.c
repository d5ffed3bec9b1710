/* The socket, against a stand-in that answers what it is told to, and against the kernel of a
 * network namespace of its own. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/netlink/netlink.h"
#include "agent/netlink/rtrecord.h"
#include "agent/netlink/rtrequest.h"
#include "protocol/cleanup.h"
#include "tests/support/unit.h"

enum { REQUESTS = 3 };

static struct netlink *netlink;
static struct nlmessage_writer batch;
static int kernel; /* the stand-in's end */

static void setup(void)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(netlink_new(ends[0], &netlink, NULL), 0);
    netlink_set_deadline(netlink, 30);
    kernel = ends[1];
    nlmessage_init(&batch, NETLINK_BATCH_MAX);
}

static void teardown(void)
{
    nlmessage_done(&batch);
    netlink_close(netlink);
    close(kernel);
}

static void add_requests(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        rtrequest_link_up(&batch, (int)i + 1, true);
    ck_assert(!batch.failed);
}

struct ack {
    struct nlmsghdr header;
    struct nlmsgerr error;
};

static struct ack ack_of(uint32_t sequence, int error)
{
    return (struct ack){
        .header = {sizeof(struct ack), NLMSG_ERROR, NLM_F_CAPPED, sequence, 0},
        .error = {.error = -error},
    };
}

static void answer(uint32_t sequence, int error)
{
    const struct ack ack = ack_of(sequence, error);
    ck_assert_int_eq(send(kernel, &ack, sizeof ack, 0), sizeof ack);
}

START_TEST(answers_find_their_requests_in_any_order)
{
    struct nlmessage_answer answers[REQUESTS];
    const struct ack two[] = {ack_of(2, ENODEV), ack_of(3, 0)};
    add_requests(REQUESTS);
    ck_assert_int_eq(send(kernel, two, sizeof two, 0), sizeof two);
    answer(1, EPERM);
    netlink_exchange(netlink, &batch, answers);
    ck_assert_int_eq(answers[0].error, EPERM);
    ck_assert_int_eq(answers[1].error, ENODEV);
    ck_assert_int_eq(answers[2].error, 0);
}
END_TEST

START_TEST(a_batch_goes_out_at_once)
{
    struct nlmessage_answer answers[REQUESTS];
    uint8_t sent[1024];
    add_requests(REQUESTS);
    for (uint32_t i = 1; i <= REQUESTS; i++)
        answer(i, 0);
    netlink_exchange(netlink, &batch, answers);
    ssize_t length = recv(kernel, sent, sizeof sent, MSG_DONTWAIT);
    ck_assert_int_eq(length, REQUESTS * 32);
    const uint8_t *at = sent;
    struct nlmessage message;
    for (uint32_t i = 1; i <= REQUESTS; i++) {
        ck_assert_int_eq(nlmessage_next(&at, sent + length, &message), 1);
        ck_assert_uint_eq(message.sequence, i);
        ck_assert_uint_eq(message.flags, NLM_F_REQUEST | NLM_F_ACK);
    }
}
END_TEST

START_TEST(silence_ends_at_the_deadline)
{
    struct nlmessage_answer answers[REQUESTS];
    add_requests(REQUESTS);
    answer(2, 0);
    netlink_exchange(netlink, &batch, answers);
    ck_assert_int_eq(answers[0].error, ETIMEDOUT);
    ck_assert_int_eq(answers[1].error, 0);
    ck_assert_int_eq(answers[2].error, ETIMEDOUT);
}
END_TEST

START_TEST(answers_to_others_do_not_count)
{
    struct nlmessage_answer answers[1];
    add_requests(1);
    answer(0, 0);
    answer(77, 0);
    answer(1, EEXIST);
    netlink_exchange(netlink, &batch, answers);
    ck_assert_int_eq(answers[0].error, EEXIST);
}
END_TEST

START_TEST(a_malformed_answer_fails_what_is_open)
{
    struct nlmessage_answer answers[REQUESTS];
    add_requests(REQUESTS);
    answer(1, 0);
    ck_assert_int_eq(send(kernel, "0123456", 7, 0), 7);
    netlink_exchange(netlink, &batch, answers);
    ck_assert_int_eq(answers[0].error, 0);
    ck_assert_int_eq(answers[1].error, EPROTO);
}
END_TEST

START_TEST(a_batch_that_could_not_be_built_is_not_sent)
{
    struct nlmessage_answer answers[1];
    char byte;
    add_requests(1);
    batch.failed = true;
    netlink_exchange(netlink, &batch, answers);
    ck_assert_int_eq(answers[0].error, ENOMEM);
    ck_assert_int_eq(recv(kernel, &byte, 1, MSG_DONTWAIT), -1);
}
END_TEST

/* Dumps */

static void tell(uint16_t type, uint16_t flags, uint32_t sequence, const void *body, size_t length)
{
    uint8_t bytes[256];
    const struct nlmsghdr header = {(uint32_t)(sizeof header + length), type, flags, sequence, 0};
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, body, length);
    ck_assert_int_gt(send(kernel, bytes, sizeof header + length, 0), 0);
}

static void tell_done(uint16_t flags, uint32_t sequence, int error)
{
    error = -error;
    tell(NLMSG_DONE, NLM_F_MULTI | flags, sequence, &error, sizeof error);
}

static unsigned dumped(struct nsp_buf *bytes)
{
    struct nlmessage message;
    unsigned count = 0;
    for (size_t offset = 0; nlmessage_take(bytes, &offset, &message);)
        count++;
    nsp_buf_done(bytes);
    return count;
}

START_TEST(a_dump_of_several_datagrams_is_one)
{
    struct nsp_buf bytes;
    for (int i = 0; i < 5; i++)
        tell(RTM_NEWLINK, NLM_F_MULTI, 1, "12345678", 8);
    tell_done(0, 1, 0);
    ck_assert_int_eq(netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, &bytes, NULL), 0);
    ck_assert_uint_eq(dumped(&bytes), 5);
}
END_TEST

START_TEST(an_interrupted_dump_begins_again)
{
    struct nsp_buf bytes;
    tell(RTM_NEWLINK, NLM_F_MULTI | NLM_F_DUMP_INTR, 1, "12345678", 8);
    tell_done(0, 1, 0);
    tell(RTM_NEWLINK, NLM_F_MULTI, 2, "12345678", 8);
    tell(RTM_NEWLINK, NLM_F_MULTI, 2, "12345678", 8);
    tell_done(0, 2, 0);
    ck_assert_int_eq(netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, &bytes, NULL), 0);
    ck_assert_uint_eq(dumped(&bytes), 2);
}
END_TEST

START_TEST(a_dump_that_is_interrupted_for_ever_fails)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct nsp_buf bytes;
    for (uint32_t i = 1; i <= 5; i++)
        tell_done(NLM_F_DUMP_INTR, i, 0);
    ck_assert_int_eq(netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, &bytes, &err), -1);
    ck_assert_int_eq(err.sys_errno, EAGAIN);
}
END_TEST

START_TEST(a_dump_can_be_refused)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct nsp_buf bytes;
    answer(1, EPERM);
    ck_assert_int_eq(netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, &bytes, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PERMISSION);
    tell_done(0, 2, EBUSY);
    ck_assert_int_eq(netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, &bytes, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, EBUSY);
}
END_TEST

START_TEST(a_dump_without_end_is_given_up)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct nsp_buf bytes;
    tell(RTM_NEWLINK, NLM_F_MULTI, 1, "12345678", 8);
    ck_assert_int_eq(netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, &bytes, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_DEADLINE);
}
END_TEST

START_TEST(a_datagram_that_is_too_long_is_no_answer)
{
    static const uint8_t long_one[NETLINK_DATAGRAM + 1];
    struct nsp_error err = NSP_ERROR_INIT;
    struct nsp_buf bytes;
    ck_assert_int_gt(send(kernel, long_one, sizeof long_one, 0), 0);
    ck_assert_int_eq(netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, &bytes, &err), -1);
    ck_assert_int_eq(err.sys_errno, EMSGSIZE);
}
END_TEST

/* The kernel */

static int own_namespace(void)
{
    return unshare(CLONE_NEWNET);
}

static struct rtrecord_link loopback(void)
{
    struct nsp_buf bytes;
    struct nlmessage message;
    struct rtrecord_link link = {0};
    struct netlink *real;
    size_t offset = 0;
    ck_assert_int_eq(netlink_open(&real, NULL), 0);
    ck_assert_int_eq(netlink_dump(real, RTM_GETLINK, AF_UNSPEC, &bytes, NULL), 0);
    ck_assert(nlmessage_take(&bytes, &offset, &message));
    ck_assert(rtrecord_link(&message, &link));
    nsp_buf_done(&bytes);
    netlink_close(real);
    return link;
}

START_TEST(the_kernel_answers_each_request)
{
    struct nlmessage_answer answers[2];
    struct netlink *real;
    if (own_namespace() < 0)
        UNIT_SKIP("no network namespaces");
    ck_assert_int_eq(netlink_open(&real, NULL), 0);
    rtrequest_link_up(&batch, 4711, true);
    rtrequest_link_mtu(&batch, 1, 1400);
    netlink_exchange(real, &batch, answers);
    netlink_close(real);
    ck_assert_int_eq(answers[0].error, ENODEV);
    ck_assert_int_eq(answers[1].error, 0);
    struct rtrecord_link link = loopback();
    ck_assert_str_eq(link.name, "lo");
    ck_assert_uint_eq(link.mtu, 1400);
}
END_TEST

/* A receive buffer for about one answer: the others are lost, and asked for again one by one. */
START_TEST(lost_answers_are_asked_for_again_in_order)
{
    enum { COUNT = 200, SMALLEST_MTU = 1000 };
    static struct nlmessage_answer answers[COUNT];
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    const int size = 1;
    struct netlink *small;
    if (own_namespace() < 0)
        UNIT_SKIP("no network namespaces");
    AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(netlink_new(STEAL_FD(fd), &small, NULL), 0);
    for (uint32_t i = 0; i < COUNT; i++)
        rtrequest_link_mtu(&batch, i == 100 ? 4711 : 1, SMALLEST_MTU + i);
    netlink_exchange(small, &batch, answers);
    netlink_close(small);
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_int_eq(answers[i].error, i == 100 ? ENODEV : 0);
    ck_assert_uint_eq(loopback().mtu, SMALLEST_MTU + COUNT - 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("netlink");
    TCase *tests = tcase_create("netlink");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, answers_find_their_requests_in_any_order);
    tcase_add_test(tests, a_batch_goes_out_at_once);
    tcase_add_test(tests, silence_ends_at_the_deadline);
    tcase_add_test(tests, answers_to_others_do_not_count);
    tcase_add_test(tests, a_malformed_answer_fails_what_is_open);
    tcase_add_test(tests, a_batch_that_could_not_be_built_is_not_sent);
    tcase_add_test(tests, a_dump_of_several_datagrams_is_one);
    tcase_add_test(tests, an_interrupted_dump_begins_again);
    tcase_add_test(tests, a_dump_that_is_interrupted_for_ever_fails);
    tcase_add_test(tests, a_dump_can_be_refused);
    tcase_add_test(tests, a_dump_without_end_is_given_up);
    tcase_add_test(tests, a_datagram_that_is_too_long_is_no_answer);
    tcase_add_test(tests, the_kernel_answers_each_request);
    tcase_add_test(tests, lost_answers_are_asked_for_again_in_order);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
