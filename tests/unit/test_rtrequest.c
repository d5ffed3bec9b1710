#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/netlink/rtrequest.h"
#include "tests/support/bytes.h"
#include "tests/support/unit.h"

static const struct rtaddress ipv4 = {AF_INET, 20, {10, 0, 18, 2}};
static const struct rtaddress ipv6 = {AF_INET6, 64, {0xfd, [15] = 2}};
static const struct rtaddress gateway = {AF_INET, 32, {10, 0, 0, 1}};
static const uint8_t mac[] = {2, 0, 0, 0, 0, 1};

static struct nlmessage_writer batch;

static void setup(void)
{
    nlmessage_init(&batch, 4096);
}

static void teardown(void)
{
    nlmessage_done(&batch);
}

/* The only message of the batch, byte for byte. */
static void expect(const char *hex)
{
    uint8_t bytes[256];
    size_t length = bytes_from_hex(hex, bytes, sizeof bytes);
    ck_assert(!batch.failed);
    ck_assert_uint_eq(batch.count, 1);
    ck_assert_uint_eq(nsp_buf_length(&batch.bytes), length);
    ck_assert_mem_eq(nsp_buf_bytes(&batch.bytes), bytes, length);
}

START_TEST(a_link_goes_up)
{
    rtrequest_link_up(&batch, 3, true);
    expect("20000000 1000 0500 00000000 00000000 0000 0000 03000000 01000000 01000000");
}
END_TEST

START_TEST(a_link_goes_down)
{
    rtrequest_link_up(&batch, 3, false);
    expect("20000000 1000 0500 00000000 00000000 0000 0000 03000000 00000000 01000000");
}
END_TEST

START_TEST(a_link_gets_its_mtu)
{
    rtrequest_link_mtu(&batch, 3, 1400);
    expect("28000000 1000 0500 00000000 00000000 0000 0000 03000000 00000000 00000000"
           "0800 0400 78050000");
}
END_TEST

START_TEST(a_link_gets_its_mac)
{
    rtrequest_link_mac(&batch, 3, mac);
    expect("2c000000 1000 0500 00000000 00000000 0000 0000 03000000 00000000 00000000"
           "0a00 0100 020000000001 0000");
}
END_TEST

START_TEST(an_ipv4_address_has_the_broadcast_address_of_its_subnet)
{
    rtrequest_address(&batch, 3, &ipv4);
    expect("30000000 1400 0505 00000000 00000000 02 14 00 00 03000000"
           "0800 0200 0a001202 0800 0100 0a001202 0800 0400 0a001fff");
}
END_TEST

START_TEST(a_single_address_has_no_broadcast_address)
{
    rtrequest_address(&batch, 3, &gateway);
    expect("28000000 1400 0505 00000000 00000000 02 20 00 00 03000000"
           "0800 0200 0a000001 0800 0100 0a000001");
}
END_TEST

START_TEST(a_loopback_address_stays_on_the_host)
{
    const struct rtaddress loopback = {AF_INET, 8, {127, 0, 0, 1}};
    rtrequest_address(&batch, 1, &loopback);
    expect("28000000 1400 0505 00000000 00000000 02 08 00 fe 01000000"
           "0800 0200 7f000001 0800 0100 7f000001");
}
END_TEST

START_TEST(an_ipv6_address_is_not_looked_for_elsewhere)
{
    rtrequest_address(&batch, 3, &ipv6);
    expect("48000000 1400 0505 00000000 00000000 0a 40 00 00 03000000"
           "1400 0200 fd000000000000000000000000000002"
           "1400 0100 fd000000000000000000000000000002 0800 0800 02000000");
}
END_TEST

START_TEST(an_address_is_removed_by_both_its_ends)
{
    rtrequest_remove_address(&batch, 3, &ipv4, &gateway);
    expect("28000000 1500 0500 00000000 00000000 02 14 00 00 03000000"
           "0800 0200 0a001202 0800 0100 0a000001");
}
END_TEST

START_TEST(a_default_route_has_a_gateway_and_no_destination)
{
    const struct rtrequest_route route = {
        .index = 3, .to = {.family = AF_INET}, .via = &gateway, .is_onlink = true, .metric = 5};
    rtrequest_route(&batch, &route);
    expect("34000000 1800 0505 00000000 00000000 02 00 00 00 fe 04 00 01 04000000"
           "0800 0400 03000000 0800 0500 0a000001 0800 0600 05000000");
}
END_TEST

START_TEST(a_route_on_the_link_has_its_scope)
{
    const struct rtrequest_route route = {.index = 3, .to = {AF_INET, 8, {10}}};
    rtrequest_route(&batch, &route);
    expect("2c000000 1800 0505 00000000 00000000 02 08 00 00 fe 04 fd 01 00000000"
           "0800 0100 0a000000 0800 0400 03000000");
}
END_TEST

START_TEST(a_route_is_removed_whoever_made_it)
{
    const struct rtrequest_route route = {.to = {AF_INET, 8, {10}}, .metric = 7};
    rtrequest_remove_route(&batch, &route);
    expect("2c000000 1900 0500 00000000 00000000 02 08 00 00 fe 00 ff 00 00000000"
           "0800 0100 0a000000 0800 0600 07000000");
}
END_TEST

START_TEST(a_neighbour_is_permanent)
{
    rtrequest_neighbour(&batch, 3, &gateway, mac);
    expect("30000000 1c00 0505 00000000 00000000 02 00 0000 03000000 8000 00 00"
           "0800 0100 0a000001 0a00 0200 020000000001 0000");
}
END_TEST

START_TEST(a_neighbour_is_removed_by_its_address)
{
    rtrequest_remove_neighbour(&batch, 3, &gateway);
    expect("24000000 1d00 0500 00000000 00000000 02 00 0000 03000000 8000 00 00"
           "0800 0100 0a000001");
}
END_TEST

START_TEST(removing_nothing_is_told_from_failures)
{
    ck_assert(rtrequest_is_gone(ESRCH) && rtrequest_is_gone(ENOENT) &&
              rtrequest_is_gone(EADDRNOTAVAIL));
    ck_assert(!rtrequest_is_gone(0) && !rtrequest_is_gone(EPERM) && !rtrequest_is_gone(ENODEV));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("rtrequest");
    TCase *tests = tcase_create("rtrequest");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_link_goes_up);
    tcase_add_test(tests, a_link_goes_down);
    tcase_add_test(tests, a_link_gets_its_mtu);
    tcase_add_test(tests, a_link_gets_its_mac);
    tcase_add_test(tests, an_ipv4_address_has_the_broadcast_address_of_its_subnet);
    tcase_add_test(tests, a_single_address_has_no_broadcast_address);
    tcase_add_test(tests, a_loopback_address_stays_on_the_host);
    tcase_add_test(tests, an_ipv6_address_is_not_looked_for_elsewhere);
    tcase_add_test(tests, an_address_is_removed_by_both_its_ends);
    tcase_add_test(tests, a_default_route_has_a_gateway_and_no_destination);
    tcase_add_test(tests, a_route_on_the_link_has_its_scope);
    tcase_add_test(tests, a_route_is_removed_whoever_made_it);
    tcase_add_test(tests, a_neighbour_is_permanent);
    tcase_add_test(tests, a_neighbour_is_removed_by_its_address);
    tcase_add_test(tests, removing_nothing_is_told_from_failures);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
