#include <string.h>

#include "agent/rpc/json.h"
#include "agent/schema/network.h"
#include "tests/support/unit.h"

static struct json_document *document;
static struct params *params;
static struct nsp_error err;

static void teardown(void)
{
    params_free(params);
    params = NULL;
    json_free(document);
    document = NULL;
}

static int check(const char *text)
{
    teardown();
    err = NSP_ERROR_INIT;
    ck_assert_msg(json_parse(text, strlen(text), &document, &err) == 0, "%s: %s", text, err.msg);
    if (params_decode(network_table.fields, network_table.count, network_table.size, document,
                      json_root(document), &params, &err) < 0)
        return -1;
    return network_check(params_struct(params), &err);
}

START_TEST(a_whole_network_is_decoded)
{
    int result =
        check("{\"links\":[{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":9000,"
              "\"up\":false,\"flush\":true,\"addresses\":[\"10.0.0.2/24\",\"fd00::2/64\"],"
              "\"routes\":[{\"to\":\"default\",\"via\":\"10.0.0.1\",\"metric\":100},"
              "{\"to\":\"10.1.0.0/16\"},{\"to\":\"::/0\",\"via\":\"fd00::1\"}],"
              "\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"02:00:00:00:00:02\"}]},"
              "{\"mac\":\"02:00:00:00:00:03\"}],\"dns_servers\":[\"10.0.0.1\",\"fd00::1\"],"
              "\"dns_search\":[\"a.example\",\"b\"],\"dns_options\":[\"ndots:2\"]}");
    ck_assert_msg(result == 0, "%s", err.msg);
    const struct network *network = params_struct(params);
    const struct network_link *links = network->links.items;
    ck_assert_uint_eq(network->links.count, 2);
    ck_assert_str_eq(links[0].name, "eth0");
    ck_assert_int_eq(links[0].mtu, 9000);
    ck_assert(!links[0].up && links[0].flush);
    ck_assert_str_eq(links[0].addresses.items[1], "fd00::2/64");
    const struct network_route *routes = links[0].routes.items;
    ck_assert_uint_eq(links[0].routes.count, 3);
    ck_assert_str_eq(routes[0].to, "default");
    ck_assert_int_eq(routes[0].metric, 100);
    ck_assert_ptr_null(routes[1].via);
    const struct network_neighbour *neighbours = links[0].neighbours.items;
    ck_assert_str_eq(neighbours[0].mac, "02:00:00:00:00:02");
    ck_assert_ptr_null(links[1].name);
    ck_assert(links[1].up && !links[1].flush);
    ck_assert_int_eq(links[1].mtu, 0);
    ck_assert_uint_eq(network->dns_search.count, 2);
}
END_TEST

START_TEST(nothing_at_all_is_a_network)
{
    ck_assert_int_eq(check("{}"), 0);
    ck_assert_ptr_null(((const struct network *)params_struct(params))->dns_servers.items);
}
END_TEST

#define LINK(members) "{\"links\":[{\"name\":\"lo\"},{" members "}]}"
#define ETH(members) LINK("\"name\":\"eth0\"," members)
#define ROUTE(members) ETH("\"routes\":[{" members "}]")

static const struct {
    const char *text, *object, *msg;
} refused[] = {
    {LINK(""), "links[1]", "links[1] needs name or mac"},
    {LINK("\"name\":\"\""), "links[1].name", "links[1].name is no name of an interface: "},
    {LINK("\"name\":\"a/b\""), "links[1].name", "links[1].name is no name of an interface: a/b"},
    {LINK("\"name\":\"..\""), "links[1].name", "links[1].name is no name of an interface: .."},
    {LINK("\"name\":\"a b\""), "links[1].name", "links[1].name is no name of an interface: a b"},
    {LINK("\"name\":\"1234567890123456\""), "links[1].name",
     "links[1].name has 16 bytes, but must have 0 to 15"},
    {LINK("\"name\":\"lo\""), "links[1].name", "links[1].name is that of another link as well: lo"},
    {LINK("\"mac\":\"02:00\""), "links[1].mac",
     "links[1].mac is no hardware address of an interface: 02:00"},
    {"{\"links\":[{\"mac\":\"0a:00:00:00:00:01\"},{\"mac\":\"0A:00:00:00:00:01\"}]}",
     "links[1].mac", "links[1].mac is that of another link as well: 0A:00:00:00:00:01"},
    {ETH("\"mtu\":67"), "links[1].mtu", "links[1].mtu is 67, but must be 68 to 65536"},
    {ETH("\"addresses\":[\"10.0.0.1\"]"), "links[1].addresses[0]",
     "links[1].addresses[0] is no ADDRESS/PREFIX: 10.0.0.1"},
    {ETH("\"addresses\":[\"10.0.0.1/8\",\"10.0.0.1/33\"]"), "links[1].addresses[1]",
     "links[1].addresses[1] is no ADDRESS/PREFIX: 10.0.0.1/33"},
    {ETH("\"addresses\":[\"::1/8\",\"0::1/128\"]"), "links[1].addresses[1]",
     "links[1].addresses[1] is given twice: 0::1/128"},
    {ROUTE("\"via\":\"10.0.0.1\""), "links[1].routes[0].to",
     "parameter links[1].routes[0].to is missing"},
    {ROUTE("\"to\":\"10.0.0.1\""), "links[1].routes[0].to",
     "links[1].routes[0].to is neither \"default\" nor ADDRESS/PREFIX: 10.0.0.1"},
    {ROUTE("\"to\":\"10.0.0.1/24\""), "links[1].routes[0].to",
     "links[1].routes[0].to has bits behind its prefix: 10.0.0.1/24"},
    {ROUTE("\"to\":\"default\",\"via\":\"gate\""), "links[1].routes[0].via",
     "links[1].routes[0].via is no address: gate"},
    {ROUTE("\"to\":\"::/0\",\"via\":\"10.0.0.1\""), "links[1].routes[0].via",
     "links[1].routes[0].via is not of the family of the destination: 10.0.0.1"},
    {ROUTE("\"to\":\"default\",\"metric\":4294967296"), "links[1].routes[0].metric",
     "links[1].routes[0].metric is 4294967296, but must be 0 to 4294967295"},
    {ETH("\"neighbours\":[{\"address\":\"x\",\"mac\":\"02:00:00:00:00:01\"}]"),
     "links[1].neighbours[0].address", "links[1].neighbours[0].address is no address: x"},
    {ETH("\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"x\"}]"), "links[1].neighbours[0].mac",
     "links[1].neighbours[0].mac is no hardware address of an interface: x"},
    {"{\"dns_servers\":[\"10.0.0.1\",\"ns\"]}", "dns_servers[1]",
     "dns_servers[1] is no address: ns"},
    {"{\"dns_servers\":[\"::1\",\"::2\",\"::3\",\"::4\"]}", "dns_servers",
     "dns_servers has 4 elements, but must have 0 to 3"},
    {"{\"dns_search\":[\"a b\"]}", "dns_search[0]", "dns_search[0] is no domain name: a b"},
    {"{\"dns_options\":[\"a\\nb\"]}", "dns_options[0]", "dns_options[0] is no option: a\nb"},
    {"{\"dns_options\":[\"\"]}", "dns_options[0]", "dns_options[0] is no option: "},
    {"{\"servers\":[]}", "servers", "unknown parameter servers"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(what_cannot_be_is_refused_with_its_path)
{
    ck_assert_msg(check(refused[_i].text) == -1, "%s", refused[_i].text);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, refused[_i].object);
    ck_assert_str_eq(err.msg, refused[_i].msg);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("network");
    TCase *tests = tcase_create("network");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, a_whole_network_is_decoded);
    tcase_add_test(tests, nothing_at_all_is_a_network);
    tcase_add_loop_test(tests, what_cannot_be_is_refused_with_its_path, 0, REFUSED);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
