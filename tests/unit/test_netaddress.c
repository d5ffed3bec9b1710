#include <arpa/inet.h>
#include <string.h>

#include "agent/schema/netaddress.h"
#include "tests/support/unit.h"

START_TEST(addresses_are_read_into_bytes)
{
    struct netaddress address;
    ck_assert(netaddress_parse("10.0.0.255", &address));
    ck_assert_int_eq(address.family, AF_INET);
    ck_assert_mem_eq(address.bytes, "\x0A\0\0\xFF", 4);
    ck_assert_uint_eq(address.prefix, 32);
    ck_assert_uint_eq(netaddress_length(&address), 4);
    ck_assert(netaddress_parse("fd00::1", &address));
    ck_assert_int_eq(address.family, AF_INET6);
    ck_assert_mem_eq(address.bytes, "\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    ck_assert_uint_eq(address.prefix, 128);
    ck_assert_uint_eq(netaddress_length(&address), 16);
    ck_assert(netaddress_parse("::", NULL));
}
END_TEST

static const char *const no_addresses[] = {
    "",     "10.0.0",       "10.0.0.256", "10.0.0.1/24", " 10.0.0.1", "10.0.0.1 ",
    "host", "fe80::1%eth0", "0x0a.0.0.1", ":",           "1::2::3",
};

START_TEST(nothing_else_is_an_address)
{
    struct netaddress address = {.family = -7};
    ck_assert_msg(!netaddress_parse(no_addresses[_i], &address), "%s", no_addresses[_i]);
    ck_assert_int_eq(address.family, -7);
}
END_TEST

START_TEST(prefixes_are_read)
{
    struct netaddress address;
    ck_assert(netaddress_parse_prefix("10.1.0.0/16", &address));
    ck_assert_uint_eq(address.prefix, 16);
    ck_assert(netaddress_parse_prefix("0.0.0.0/0", &address));
    ck_assert_uint_eq(address.prefix, 0);
    ck_assert(netaddress_parse_prefix("fd00::/128", &address));
    ck_assert_uint_eq(address.prefix, 128);
    ck_assert(
        netaddress_parse_prefix("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/64", &address));
}
END_TEST

static const char *const no_prefixes[] = {
    "10.0.0.1",
    "10.0.0.1/",
    "10.0.0.1/33",
    "10.0.0.1/-1",
    "10.0.0.1/ 8",
    "10.0.0.1/024",
    "10.0.0.1/8x",
    "10.0.0.1/4294967304",
    "fd00::/129",
    "/24",
    "0000000000000000000000000000000000000000000000000000000000000000/1",
};

START_TEST(nothing_else_is_a_prefix)
{
    struct netaddress address = {.family = -7};
    ck_assert_msg(!netaddress_parse_prefix(no_prefixes[_i], &address), "%s", no_prefixes[_i]);
    ck_assert_int_eq(address.family, -7);
}
END_TEST

START_TEST(a_network_has_no_bits_behind_its_prefix)
{
    static const struct {
        const char *text;
        bool expected;
    } cases[] = {
        {"10.0.0.0/8", true},       {"10.0.0.0/7", true},      {"10.0.0.0/6", false},
        {"10.0.0.1/31", false},     {"10.0.0.1/32", true},     {"0.0.0.0/0", true},
        {"128.0.0.0/0", false},     {"fd00::/8", true},        {"fd00::1/64", false},
        {"fd00:0:0:1::/63", false}, {"fd00:0:0:1::/64", true},
    };
    struct netaddress address;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert(netaddress_parse_prefix(cases[i].text, &address));
        ck_assert_msg(netaddress_is_network(&address) == cases[i].expected, "%s", cases[i].text);
    }
}
END_TEST

START_TEST(hardware_addresses_are_read)
{
    uint8_t mac[NETADDRESS_MAC_BYTES];
    ck_assert(netaddress_parse_mac("02:aB:Cd:09:00:ff", mac));
    ck_assert_mem_eq(mac, "\x02\xAB\xCD\x09\x00\xFF", 6);
    ck_assert(netaddress_parse_mac("00:00:00:00:00:01", NULL));
}
END_TEST

static const char *const no_macs[] = {
    "",
    "02:00:00:00:00",
    "02:00:00:00:00:00:00",
    "02:00:00:00:00:0",
    "02-00-00-00-00-00",
    "02:00:00:00:00:0g",
    "02:00:00:00:0:000",
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
    "01:00:5e:00:00:01",
    "020:00:00:00:0:00",
};

START_TEST(nothing_else_is_a_hardware_address)
{
    ck_assert_msg(!netaddress_parse_mac(no_macs[_i], NULL), "%s", no_macs[_i]);
}
END_TEST

START_TEST(names_are_made_of_labels)
{
    char name[256];
    ck_assert(netaddress_is_name("a"));
    ck_assert(netaddress_is_name("Host-1.example.org"));
    ck_assert(netaddress_is_name("_dns.1"));
    memset(name, 'a', sizeof name);
    name[63] = '\0';
    ck_assert(netaddress_is_name(name));
    name[63] = 'a';
    name[64] = '\0';
    ck_assert(!netaddress_is_name(name));
    name[64] = 'a';
    for (int i = 50; i < 253; i += 51)
        name[i] = '.';
    name[253] = '\0';
    ck_assert(netaddress_is_name(name));
    name[253] = 'a';
    name[254] = '\0';
    ck_assert(!netaddress_is_name(name));
}
END_TEST

static const char *const no_names[] = {"",    ".",  "a.", ".a",  "a..b",
                                       "a b", "-a", "a-", "a/b", "\xC3\xA9"};

START_TEST(nothing_else_is_a_name)
{
    ck_assert_msg(!netaddress_is_name(no_names[_i]), "%s", no_names[_i]);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof *(list))

static Suite *suite(void)
{
    Suite *suite = suite_create("netaddress");
    TCase *tests = tcase_create("netaddress");
    tcase_add_test(tests, addresses_are_read_into_bytes);
    tcase_add_loop_test(tests, nothing_else_is_an_address, 0, COUNT(no_addresses));
    tcase_add_test(tests, prefixes_are_read);
    tcase_add_loop_test(tests, nothing_else_is_a_prefix, 0, COUNT(no_prefixes));
    tcase_add_test(tests, a_network_has_no_bits_behind_its_prefix);
    tcase_add_test(tests, hardware_addresses_are_read);
    tcase_add_loop_test(tests, nothing_else_is_a_hardware_address, 0, COUNT(no_macs));
    tcase_add_test(tests, names_are_made_of_labels);
    tcase_add_loop_test(tests, nothing_else_is_a_name, 0, COUNT(no_names));
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
