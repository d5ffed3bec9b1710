#include <string.h>

#include "agent/network/resolvconf.h"
#include "tests/support/unit.h"

static char *servers[] = {"10.0.0.1", "fd00::53", NULL};
static char *search[] = {"a.example", "b.example", NULL};
static char *options[] = {"ndots:2", "rotate", NULL};
static char *none[] = {NULL};

static void expect(const struct network *network, const char *expected)
{
    struct nsp_buf text;
    nsp_buf_init(&text, RESOLVCONF_MAX);
    ck_assert_int_eq(resolvconf_format(network, &text, NULL), 0);
    ck_assert_uint_eq(nsp_buf_length(&text), strlen(expected));
    if (expected[0])
        ck_assert_mem_eq(nsp_buf_bytes(&text), expected, strlen(expected));
    nsp_buf_done(&text);
}

START_TEST(servers_search_and_options_are_lines)
{
    const struct network network = {
        .dns_servers = {servers, 2}, .dns_search = {search, 2}, .dns_options = {options, 2}};
    ck_assert(resolvconf_is_wanted(&network));
    expect(&network, "nameserver 10.0.0.1\nnameserver fd00::53\nsearch a.example b.example\n"
                     "options ndots:2 rotate\n");
}
END_TEST

START_TEST(what_is_absent_has_no_line)
{
    const struct network network = {.dns_search = {search, 1}};
    ck_assert(resolvconf_is_wanted(&network));
    expect(&network, "search a.example\n");
}
END_TEST

START_TEST(the_file_is_left_alone_only_when_nothing_is_given)
{
    const struct network nothing = {0}, empty = {.dns_servers = {none, 0}};
    ck_assert(!resolvconf_is_wanted(&nothing));
    ck_assert(resolvconf_is_wanted(&empty));
    expect(&empty, "");
}
END_TEST

START_TEST(too_much_is_refused)
{
    const struct network network = {.dns_servers = {servers, 2}};
    struct nsp_error err = NSP_ERROR_INIT;
    struct nsp_buf text;
    nsp_buf_init(&text, 30);
    ck_assert_int_eq(resolvconf_format(&network, &text, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    nsp_buf_done(&text);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("resolvconf");
    TCase *tests = tcase_create("resolvconf");
    tcase_add_test(tests, servers_search_and_options_are_lines);
    tcase_add_test(tests, what_is_absent_has_no_line);
    tcase_add_test(tests, the_file_is_left_alone_only_when_nothing_is_given);
    tcase_add_test(tests, too_much_is_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
