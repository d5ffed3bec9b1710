#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "agent/netlink/rtrecord.h"
#include "tests/support/bytes.h"
#include "tests/support/unit.h"

/* Recorded, without attributes that nobody reads. */
#define HEADER "00020001000000 92100000"
#define LINK_VETH                                                                                  \
    "8c00000010" HEADER "00000100030000004310010000000000"                                         \
    "0700030076300000 0500100006000000 08000400dc050000 0a000100020000000001 0000"                 \
    "2c001700 0100000000000000 0200000000000000 0300000000000000 0400000000000000 "                \
    "0500000000000000"
#define ADDRESS_PEER                                                                               \
    "4c00000014" HEADER "0220800003000000080001000a630001080002000a620001070003007630000008000800" \
    "80000000140006 00ffffffffffffffff82b3160082b31600"
#define ADDRESS_V6                                                                                 \
    "4800000014" HEADER "0a4082000300000014000100fd550000000000000000000000000001"                 \
    "14000600ffffffffffffffff82b3160082b31600 0800080082000000"
#define ROUTE_VIA                                                                                  \
    "4400000018" HEADER "02100000fe0300010000000008000f00fe000000080001000a2c0000"                 \
    "0800060005000000080005000a6300090800040003000000"
#define ROUTE_HOPS                                                                                 \
    "5000000018" HEADER "02100000fe0300010000000008000f00fe000000080001000a2d0000"                 \
    "240009001000000003000000080005000a6300091000000004000000080005000a63000a"
#define ROUTE_BLACKHOLE                                                                            \
    "2c00000018" HEADER "02100000fe0300060000000008000f00fe000000080001000a2e0000"
#define ROUTE_V6_DEFAULT                                                                           \
    "4800000018" HEADER "0a000000fe0300010000000008000f00fe0000000800060000040000"                 \
    "14000500fd550000000000000000000000000009 0800040003000000"
#define NEIGHBOUR                                                                                  \
    "340000001c" HEADER "020000000300000080000001080001000a63004d0a000200020000000077 0000"        \
    "0800040000000000"

static uint8_t bytes[512];

static struct nlmessage message_of(const char *hex)
{
    size_t length = bytes_from_hex(hex, bytes, sizeof bytes);
    const uint8_t *at = bytes;
    struct nlmessage message = {0};
    uint32_t said = (uint32_t)length;
    memcpy(bytes, &said, sizeof said);
    ck_assert_int_eq(nlmessage_next(&at, bytes + length, &message), 1);
    return message;
}

static void expect_address(const struct rtaddress *address, const char *expected)
{
    char text[RTADDRESS_TEXT];
    rtaddress_format(address, true, text);
    ck_assert_str_eq(text, expected);
}

START_TEST(a_link_is_read)
{
    static const uint8_t mac[] = {2, 0, 0, 0, 0, 1};
    struct nlmessage message = message_of(LINK_VETH);
    struct rtrecord_link link;
    ck_assert(rtrecord_link(&message, &link));
    ck_assert_int_eq(link.index, 3);
    ck_assert_str_eq(link.name, "v0");
    ck_assert_str_eq(link.kind, "");
    ck_assert(link.has_mac && memcmp(link.mac, mac, sizeof mac) == 0);
    ck_assert_uint_eq(link.mtu, 1500);
    ck_assert_uint_ne(link.flags & IFF_UP, 0);
    ck_assert_str_eq(rtrecord_state_name(link.state), "up");
    /* statistics of an older kernel, which has fewer of them */
    ck_assert_uint_eq(link.rx_packets, 1);
    ck_assert_uint_eq(link.tx_packets, 2);
    ck_assert_uint_eq(link.rx_bytes, 3);
    ck_assert_uint_eq(link.tx_bytes, 4);
    ck_assert_uint_eq(link.rx_errors, 5);
    ck_assert_uint_eq(link.tx_errors, 0);
}
END_TEST

START_TEST(a_links_kind_is_read)
{
    struct nlmessage message =
        message_of("0000000010" HEADER "00000100030000004310010000000000 0700030076300000"
                   "10001200 0900010076657468 00000000");
    struct rtrecord_link link;
    ck_assert(rtrecord_link(&message, &link));
    ck_assert_str_eq(link.kind, "veth");
    ck_assert(!link.has_mac);
}
END_TEST

START_TEST(a_link_without_name_or_number_is_refused)
{
    struct rtrecord_link link;
    struct nlmessage message =
        message_of("0000000010" HEADER "00000100030000004310010000000000 08000400dc050000");
    ck_assert(!rtrecord_link(&message, &link));
    message = message_of("0000000010" HEADER "00000100000000004310010000000000 0700030076300000");
    ck_assert(!rtrecord_link(&message, &link));
    message = message_of("0000000010" HEADER "00000100030000004310010000000000"
                         "14000300 61616161616161616161616161616161");
    ck_assert(!rtrecord_link(&message, &link));
}
END_TEST

START_TEST(an_address_is_read)
{
    struct nlmessage message = message_of(ADDRESS_PEER);
    struct rtrecord_address found;
    ck_assert(rtrecord_address(&message, &found));
    ck_assert_int_eq(found.index, 3);
    expect_address(&found.address, "10.98.0.1/32");
    expect_address(&found.peer, "10.99.0.1/32");
    ck_assert_str_eq(rtrecord_scope_name(found.scope), "global");
    message = message_of(ADDRESS_V6);
    ck_assert(rtrecord_address(&message, &found));
    expect_address(&found.address, "fd55::1/64");
    expect_address(&found.peer, "fd55::1/64");
    ck_assert_uint_eq(found.flags, 0x82);
}
END_TEST

START_TEST(a_route_is_read)
{
    struct nlmessage message = message_of(ROUTE_VIA);
    struct rtrecord_route route;
    ck_assert(rtrecord_route(&message, &route));
    expect_address(&route.to, "10.44.0.0/16");
    ck_assert(route.has_via);
    expect_address(&route.via, "10.99.0.9/32");
    ck_assert_uint_eq(route.metric, 5);
    ck_assert_uint_eq(route.table, RT_TABLE_MAIN);
    ck_assert_int_eq(route.index, 3);
    ck_assert_uint_eq(route.hops, 1);
    ck_assert_str_eq(rtrecord_protocol_name(route.protocol), "boot");
    ck_assert(rtrecord_route_uses(&message, 3) && !rtrecord_route_uses(&message, 4));
}
END_TEST

START_TEST(a_default_route_has_no_destination)
{
    struct nlmessage message = message_of(ROUTE_V6_DEFAULT);
    struct rtrecord_route route;
    ck_assert(rtrecord_route(&message, &route));
    expect_address(&route.to, "::/0");
    expect_address(&route.via, "fd55::9/128");
    ck_assert_uint_eq(route.metric, 1024);
}
END_TEST

START_TEST(a_route_may_have_several_hops)
{
    struct nlmessage message = message_of(ROUTE_HOPS);
    struct rtrecord_route route;
    ck_assert(rtrecord_route(&message, &route));
    ck_assert_uint_eq(route.hops, 2);
    ck_assert_int_eq(route.index, 3);
    expect_address(&route.via, "10.99.0.9/32");
    ck_assert(rtrecord_route_uses(&message, 3) && rtrecord_route_uses(&message, 4));
    ck_assert(!rtrecord_route_uses(&message, 5));
}
END_TEST

START_TEST(a_route_may_lead_nowhere)
{
    struct nlmessage message = message_of(ROUTE_BLACKHOLE);
    struct rtrecord_route route;
    ck_assert(rtrecord_route(&message, &route));
    ck_assert_str_eq(rtrecord_type_name(route.type), "blackhole");
    ck_assert_uint_eq(route.hops, 0);
    ck_assert(!route.has_via && route.index == 0);
}
END_TEST

START_TEST(malformed_routes_are_refused)
{
    static const char *const wrong[] = {
        /* 33 bits of IPv4, no destination, a destination of IPv6 */
        "0000000018" HEADER "02210000fe0300010000000008000100 0a2c0000",
        "0000000018" HEADER "02100000fe0300010000000008000f00 fe000000",
        "0000000018" HEADER "02100000fe03000100000000 14000100 fd550000000000000000000000000009",
        /* another family, a cached route */
        "0000000018" HEADER "80000000fe03000100000000",
        "0000000018" HEADER "02100000fe0300010002000008000100 0a2c0000",
        /* a hop that is longer than its list, and one that is too short */
        "0000000018" HEADER "02000000fe03000100000000 0c000900 20000000 03000000",
        "0000000018" HEADER "02000000fe03000100000000 0c000900 04000000 03000000",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct nlmessage message = message_of(wrong[i]);
        struct rtrecord_route route = {.index = 77};
        ck_assert_msg(!rtrecord_route(&message, &route), "%s", wrong[i]);
        ck_assert_int_eq(route.index, 77);
    }
}
END_TEST

START_TEST(a_neighbour_is_read)
{
    static const uint8_t mac[] = {2, 0, 0, 0, 0, 0x77};
    struct nlmessage message = message_of(NEIGHBOUR);
    struct rtrecord_neighbour found;
    ck_assert(rtrecord_neighbour(&message, &found));
    ck_assert_int_eq(found.index, 3);
    expect_address(&found.address, "10.99.0.77/32");
    ck_assert(found.has_mac && memcmp(found.mac, mac, sizeof mac) == 0);
    ck_assert_uint_eq(found.state, NUD_PERMANENT);
}
END_TEST

START_TEST(other_types_are_refused)
{
    struct nlmessage message = message_of(NEIGHBOUR);
    struct rtrecord_link link;
    struct rtrecord_address address;
    struct rtrecord_route route;
    ck_assert(!rtrecord_link(&message, &link) && !rtrecord_address(&message, &address) &&
              !rtrecord_route(&message, &route));
}
END_TEST

START_TEST(every_beginning_of_a_message_is_survived)
{
    static const char *const whole[] = {LINK_VETH, ADDRESS_PEER, ROUTE_HOPS, NEIGHBOUR};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct nlmessage message = message_of(whole[i]);
        for (; message.length > 0; message.length--) {
            struct rtrecord_link link;
            struct rtrecord_address address;
            struct rtrecord_route route;
            struct rtrecord_neighbour neighbour;
            unsigned read = rtrecord_link(&message, &link) + rtrecord_address(&message, &address) +
                            rtrecord_route(&message, &route) +
                            rtrecord_neighbour(&message, &neighbour);
            ck_assert_uint_le(read, 1);
        }
    }
}
END_TEST

START_TEST(numbers_without_a_name_have_none)
{
    ck_assert_ptr_null(rtrecord_scope_name(17));
    ck_assert_ptr_null(rtrecord_protocol_name(200));
    ck_assert_ptr_null(rtrecord_type_name(99));
    ck_assert_str_eq(rtrecord_state_name(99), "unknown");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("rtrecord");
    TCase *tests = tcase_create("rtrecord");
    tcase_add_test(tests, a_link_is_read);
    tcase_add_test(tests, a_links_kind_is_read);
    tcase_add_test(tests, a_link_without_name_or_number_is_refused);
    tcase_add_test(tests, an_address_is_read);
    tcase_add_test(tests, a_route_is_read);
    tcase_add_test(tests, a_default_route_has_no_destination);
    tcase_add_test(tests, a_route_may_have_several_hops);
    tcase_add_test(tests, a_route_may_lead_nowhere);
    tcase_add_test(tests, malformed_routes_are_refused);
    tcase_add_test(tests, a_neighbour_is_read);
    tcase_add_test(tests, other_types_are_refused);
    tcase_add_test(tests, every_beginning_of_a_message_is_survived);
    tcase_add_test(tests, numbers_without_a_name_have_none);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
