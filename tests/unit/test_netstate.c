#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/network/netstate.h"
#include "tests/support/unit.h"

static const uint8_t mac[] = {2, 0, 0, 0, 0, 1}, zeros[6];

static struct nlmessage_writer links, addresses;
static struct netstate state;

static void add_link(int index, const char *name, const char *kind, const uint8_t *address,
                     unsigned flags)
{
    const struct ifinfomsg header = {.ifi_index = index, .ifi_flags = flags};
    nlmessage_begin(&links, RTM_NEWLINK, 0, &header, sizeof header);
    nlmessage_put(&links, IFLA_IFNAME, name, strlen(name) + 1);
    nlmessage_put(&links, IFLA_ADDRESS, address, RTADDRESS_MAC);
    if (kind) {
        struct {
            struct nlattr header;
            char text[12];
        } info = {.header = {(uint16_t)(sizeof info.header + strlen(kind) + 1), IFLA_INFO_KIND}};
        memcpy(info.text, kind, strlen(kind));
        nlmessage_put(&links, IFLA_LINKINFO, &info, info.header.nla_len);
    }
    nlmessage_end(&links);
}

static void add_address(unsigned index, uint8_t prefix, const uint8_t bytes[4])
{
    const struct ifaddrmsg header = {
        .ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
    nlmessage_begin(&addresses, RTM_NEWADDR, 0, &header, sizeof header);
    nlmessage_put(&addresses, IFA_LOCAL, bytes, 4);
    nlmessage_put(&addresses, IFA_ADDRESS, bytes, 4);
    nlmessage_end(&addresses);
}

static void setup(void)
{
    nlmessage_init(&links, 4096);
    nlmessage_init(&addresses, 4096);
    add_link(1, "lo", NULL, zeros, IFF_LOOPBACK);
    add_link(2, "br0", "bridge", mac, 0);
    add_link(3, "eth0", NULL, mac, 0);
    add_link(4, "eth0.5", "vlan", mac, 0);
    add_address(3, 24, (const uint8_t[]){10, 0, 0, 2});
    ck_assert(!links.failed && !addresses.failed);
    state = (struct netstate){.links = links.bytes, .addresses = addresses.bytes};
}

static void teardown(void)
{
    netstate_done(&state);
}

START_TEST(a_link_is_found_by_its_name)
{
    struct rtrecord_link link = {.index = 77};
    ck_assert(netstate_find(&state, "eth0.5", NULL, &link));
    ck_assert_int_eq(link.index, 4);
    ck_assert(netstate_find(&state, "eth0", zeros, &link));
    ck_assert_int_eq(link.index, 3);
}
END_TEST

START_TEST(of_one_mac_the_hardware_is_found)
{
    struct rtrecord_link link;
    ck_assert(netstate_find(&state, NULL, mac, &link));
    ck_assert_str_eq(link.name, "eth0");
}
END_TEST

START_TEST(what_is_not_there_is_not_found)
{
    static const uint8_t other[] = {2, 0, 0, 0, 0, 9};
    struct rtrecord_link link = {.index = 77};
    ck_assert(!netstate_find(&state, "eth", NULL, &link));
    ck_assert(!netstate_find(&state, NULL, other, &link));
    ck_assert(!netstate_find(&state, NULL, zeros, &link));
    ck_assert_int_eq(link.index, 77);
    const struct netstate nothing = {0};
    ck_assert(!netstate_find(&nothing, "lo", NULL, &link));
}
END_TEST

START_TEST(a_link_reaches_what_its_subnets_have)
{
    const struct rtaddress near = {AF_INET, 32, {10, 0, 0, 200}},
                           far = {AF_INET, 32, {10, 0, 1, 2}};
    ck_assert(netstate_reaches(&state, 3, &near));
    ck_assert(!netstate_reaches(&state, 3, &far));
    ck_assert(!netstate_reaches(&state, 2, &near));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("netstate");
    TCase *tests = tcase_create("netstate");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_link_is_found_by_its_name);
    tcase_add_test(tests, of_one_mac_the_hardware_is_found);
    tcase_add_test(tests, what_is_not_there_is_not_found);
    tcase_add_test(tests, a_link_reaches_what_its_subnets_have);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
