#include "agent/schema/network_routes.h"
#include "tests/support/unit.h"

static struct nsp_error err;

/* Two routes, on one link or on two. */
static int check(struct network_route one, struct network_route other, bool together)
{
    const struct network_route routes[] = {one, other};
    const struct network_link links[] = {{.name = "a", .routes = {routes, together ? 2 : 1}},
                                         {.name = "b", .routes = {routes + 1, 1}}};
    const struct network network = {.links = {links, together ? 1 : 2}};
    struct place place = {.err = &err};
    err = NSP_ERROR_INIT;
    return network_routes_check(&network, &place);
}

static void expect(struct network_route one, struct network_route other, int result)
{
    ck_assert_int_eq(check(one, other, true), result);
    if (result < 0)
        ck_assert_str_eq(err.object, "links[0].routes[1]");
    ck_assert_int_eq(check(one, other, false), result);
    if (result < 0)
        ck_assert_str_eq(err.object, "links[1].routes[0]");
}

START_TEST(two_of_one_destination_and_metric_are_refused)
{
    expect((struct network_route){"10.0.0.0/8", NULL, 0},
           (struct network_route){"10.0.0.0/8", "10.9.9.9", 0}, -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    expect((struct network_route){"default", "10.0.0.1", 5},
           (struct network_route){"0.0.0.0/0", NULL, 5}, -1);
    expect((struct network_route){"default", "fd00::1", 0},
           (struct network_route){"::/0", "fd00::2", 1024}, -1);
}
END_TEST

START_TEST(other_destinations_metrics_and_families_may_be)
{
    expect((struct network_route){"10.0.0.0/8", NULL, 0},
           (struct network_route){"10.0.0.0/9", NULL, 0}, 0);
    expect((struct network_route){"default", "10.0.0.1", 0},
           (struct network_route){"default", "10.0.0.1", 1}, 0);
    expect((struct network_route){"default", "10.0.0.1", 0},
           (struct network_route){"default", "fd00::1", 0}, 0);
    expect((struct network_route){"default", "10.0.0.1", 0},
           (struct network_route){"default", "fd00::1", 0}, 0);
    expect((struct network_route){"0.0.0.0/0", NULL, 0}, (struct network_route){"::/0", NULL, 0},
           0);
}
END_TEST

START_TEST(there_is_a_limit_for_all)
{
    static struct network_route routes[NETWORK_ROUTES_MAX + 1];
    for (int i = 0; i <= NETWORK_ROUTES_MAX; i++)
        routes[i] = (struct network_route){"default", NULL, i + 1};
    struct network_link link = {.routes = {routes, NETWORK_ROUTES_MAX}};
    const struct network network = {.links = {&link, 1}};
    struct place place = {.err = &err};
    ck_assert_int_eq(network_routes_check(&network, &place), 0);
    link.routes.count++;
    ck_assert_int_eq(network_routes_check(&network, &place), -1);
    ck_assert_str_eq(err.object, "links[0].routes[1024]");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("network routes");
    TCase *tests = tcase_create("network routes");
    tcase_add_test(tests, two_of_one_destination_and_metric_are_refused);
    tcase_add_test(tests, other_destinations_metrics_and_families_may_be);
    tcase_add_test(tests, there_is_a_limit_for_all);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
