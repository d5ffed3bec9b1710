#include "agent/base/idmap.h"

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/unit.h"

enum { CEILING = 10000 };

static struct idmap map;
static int values[CEILING + 1];

static void make_map(void)
{
    idmap_init(&map, CEILING);
}

static void free_map(void)
{
    idmap_done(&map);
}

static void put(uint64_t key, int *value)
{
    struct nsp_error err;
    ck_assert_msg(idmap_put(&map, key, value, &err) == 0, "%s", err.msg);
}

START_TEST(an_empty_map_has_nothing)
{
    size_t cursor = 0;
    ck_assert_ptr_null(idmap_get(&map, 1));
    ck_assert_ptr_null(idmap_remove(&map, 1));
    ck_assert_ptr_null(idmap_next(&map, &cursor));
    ck_assert_uint_eq(idmap_count(&map), 0);
}
END_TEST

START_TEST(what_is_put_is_found_until_it_is_removed)
{
    put(0, &values[0]);
    put(UINT64_MAX, &values[1]);
    ck_assert_ptr_eq(idmap_get(&map, 0), &values[0]);
    ck_assert_ptr_eq(idmap_get(&map, UINT64_MAX), &values[1]);
    ck_assert_ptr_eq(idmap_remove(&map, 0), &values[0]);
    ck_assert_ptr_null(idmap_get(&map, 0));
    ck_assert_ptr_null(idmap_remove(&map, 0));
    ck_assert_ptr_eq(idmap_get(&map, UINT64_MAX), &values[1]);
    ck_assert_uint_eq(idmap_count(&map), 1);
}
END_TEST

START_TEST(a_key_twice_is_refused)
{
    struct nsp_error err;
    put(7, &values[0]);
    ck_assert_int_eq(idmap_put(&map, 7, &values[1], &err), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_ptr_eq(idmap_get(&map, 7), &values[0]);
}
END_TEST

START_TEST(the_ceiling_holds_and_room_can_be_made)
{
    struct nsp_error err;
    for (unsigned i = 0; i < CEILING; i++)
        put(i, &values[i]);
    ck_assert_int_eq(idmap_put(&map, CEILING, &values[0], &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    for (unsigned i = 0; i < CEILING; i++)
        ck_assert_ptr_eq(idmap_get(&map, i), &values[i]);
    idmap_remove(&map, 5);
    put(CEILING, &values[0]);
    ck_assert_uint_eq(idmap_count(&map), CEILING);
}
END_TEST

START_TEST(keys_that_come_and_go_do_not_fill_the_map)
{
    for (uint64_t key = 0; key < 200000; key++) {
        put(key, &values[key % CEILING]);
        if (key >= 10)
            ck_assert_ptr_nonnull(idmap_remove(&map, key - 10));
    }
    ck_assert_uint_eq(idmap_count(&map), 10);
    ck_assert_uint_le(map.capacity, 64);
}
END_TEST

START_TEST(iteration_meets_each_entry_once_also_while_removing)
{
    bool seen[1000] = {false};
    size_t cursor = 0;
    unsigned count = 0;
    int *value;
    for (unsigned i = 0; i < 1000; i++)
        put(i * 977, &values[i]);
    while ((value = idmap_next(&map, &cursor)) != NULL) {
        unsigned i = (unsigned)(value - values);
        ck_assert(!seen[i]);
        seen[i] = true;
        count++;
        if (i % 2)
            ck_assert_ptr_eq(idmap_remove(&map, i * 977), value);
    }
    ck_assert_uint_eq(count, 1000);
    ck_assert_uint_eq(idmap_count(&map), 500);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("idmap");
    TCase *entries = tcase_create("entries");
    tcase_add_checked_fixture(entries, make_map, free_map);
    tcase_set_timeout(entries, 60);
    tcase_add_test(entries, an_empty_map_has_nothing);
    tcase_add_test(entries, what_is_put_is_found_until_it_is_removed);
    tcase_add_test(entries, a_key_twice_is_refused);
    tcase_add_test(entries, the_ceiling_holds_and_room_can_be_made);
    tcase_add_test(entries, keys_that_come_and_go_do_not_fill_the_map);
    tcase_add_test(entries, iteration_meets_each_entry_once_also_while_removing);
    suite_add_tcase(all, entries);
    return all;
}

UNIT_MAIN(suite)
