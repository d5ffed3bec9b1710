#include <sys/socket.h>

#include "agent/netlink/rtaddress.h"
#include "tests/support/unit.h"

static const struct rtaddress subnet = {AF_INET, 20, {10, 0, 16, 0}};

static bool covers(const struct rtaddress *network, uint8_t third, uint8_t fourth)
{
    const struct rtaddress address = {AF_INET, 32, {10, 0, third, fourth}};
    return rtaddress_covers(network, &address);
}

START_TEST(a_subnet_covers_its_addresses_to_the_bit)
{
    ck_assert(covers(&subnet, 16, 0) && covers(&subnet, 31, 255));
    ck_assert(!covers(&subnet, 32, 0) && !covers(&subnet, 15, 255));
    const struct rtaddress single = {AF_INET, 32, {10, 0, 1, 1}};
    ck_assert(covers(&single, 1, 1) && !covers(&single, 1, 0));
    const struct rtaddress all = {.family = AF_INET}, all6 = {.family = AF_INET6};
    ck_assert(covers(&all, 200, 200) && !covers(&all6, 200, 200));
}
END_TEST

START_TEST(a_prefix_beyond_the_family_covers_nothing)
{
    const struct rtaddress wrong = {AF_INET, 130, {10}};
    ck_assert(!covers(&wrong, 0, 0));
}
END_TEST

START_TEST(what_the_kernel_gives_is_known)
{
    const struct rtaddress own[] = {{AF_INET, 32, {127, 0, 0, 1}},
                                    {AF_INET, 8, {127, 9, 9, 9}},
                                    {AF_INET6, 128, {[15] = 1}},
                                    {AF_INET6, 64, {0xfe, 0x80, [15] = 7}}};
    const struct rtaddress others[] = {{AF_INET, 32, {128, 0, 0, 1}},
                                       {AF_INET6, 128, {[15] = 2}},
                                       {AF_INET6, 64, {0xfe, 0xc0}},
                                       {AF_INET6, 64, {0xfd}}};
    for (int i = 0; i < 4; i++) {
        ck_assert(rtaddress_is_own(&own[i]));
        ck_assert(!rtaddress_is_own(&others[i]));
    }
}
END_TEST

START_TEST(equal_means_family_bytes_and_prefix)
{
    struct rtaddress other = subnet;
    ck_assert(rtaddress_equal(&subnet, &other));
    other.prefix = 21;
    ck_assert(!rtaddress_equal(&subnet, &other));
    other = subnet;
    other.bytes[3] = 1;
    ck_assert(!rtaddress_equal(&subnet, &other));
    other = subnet;
    other.bytes[4] = 1; /* not of an IPv4 address */
    ck_assert(rtaddress_equal(&subnet, &other));
}
END_TEST

START_TEST(texts_are_the_usual_ones)
{
    static const uint8_t mac[] = {2, 0, 0xab, 0xcd, 0, 1};
    const struct rtaddress ipv6 = {AF_INET6, 64, {0xfd, [15] = 2}}, wrong = {.family = 99};
    char text[RTADDRESS_TEXT], mac_text[RTADDRESS_MAC_TEXT];
    rtaddress_format(&subnet, true, text);
    ck_assert_str_eq(text, "10.0.16.0/20");
    rtaddress_format(&ipv6, false, text);
    ck_assert_str_eq(text, "fd00::2");
    rtaddress_format(&wrong, true, text);
    ck_assert_str_eq(text, "?/0");
    rtaddress_format_mac(mac, mac_text);
    ck_assert_str_eq(mac_text, "02:00:ab:cd:00:01");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("rtaddress");
    TCase *tests = tcase_create("rtaddress");
    tcase_add_test(tests, a_subnet_covers_its_addresses_to_the_bit);
    tcase_add_test(tests, a_prefix_beyond_the_family_covers_nothing);
    tcase_add_test(tests, what_the_kernel_gives_is_known);
    tcase_add_test(tests, equal_means_family_bytes_and_prefix);
    tcase_add_test(tests, texts_are_the_usual_ones);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
