/* The memory of all rings: mapping, keeping, giving back, and its accounting. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/process/arena.h"
#include "agent/process/arrivals.h"
#include "tests/support/unit.h"

enum { RING = NSP_LIMIT_RING_MIN, BUDGET = 1 << 20 };

static struct arena *arena;
static struct arena_region region;

static void setup(void)
{
    ck_assert_int_eq(arena_new(-1, BUDGET, &arena, NULL), 0);
}

static void teardown(void)
{
    arena_free(arena);
    arena_free(NULL);
}

static void map(unsigned slot, uint64_t ring_max, bool merged)
{
    struct nsp_error err = NSP_ERROR_INIT;
    int result = arena_map(arena, slot, ring_max, merged, &region, &err);
    ck_assert_msg(result == 0, "%s", err.msg);
}

/* Bytes that the memory really uses. */
static uint64_t used(void)
{
    struct stat status;
    ck_assert_int_eq(fstat(arena_fd(arena), &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void touch(unsigned output, uint64_t bytes)
{
    memset(region.rings[output], 'x', bytes);
    arena_charge(arena, bytes);
}

START_TEST(only_what_is_touched_uses_memory)
{
    map(0, NSP_LIMIT_RING_MAX, false);
    map(TABLE_SLOTS - 1, NSP_LIMIT_RING_MAX, false);
    ck_assert_uint_eq(used(), 0);
    touch(1, 4096);
    ck_assert_uint_eq(used(), 4096);
    region.rings[1][NSP_LIMIT_RING_MAX - 1] = 'x';
    ck_assert_uint_eq(used(), 8192);
}
END_TEST

START_TEST(a_region_holds_arrivals_and_rings_one_after_the_other)
{
    map(3, RING, false);
    ck_assert_ptr_eq(region.rings[0], (uint8_t *)region.arrivals + ARRIVALS_BYTES);
    ck_assert_ptr_eq(region.rings[1], region.rings[0] + RING);
    map(4, RING, true);
    ck_assert_ptr_nonnull(region.rings[0]);
    ck_assert_ptr_null(region.rings[1]);
}
END_TEST

START_TEST(slots_do_not_overlap)
{
    map(0, NSP_LIMIT_RING_MAX, false);
    memset(region.rings[1] + NSP_LIMIT_RING_MAX - 4096, 'a', 4096);
    map(1, RING, false);
    ck_assert_int_eq(region.arrivals[0].length, 0);
    memset(region.arrivals, 'b', 4096);
    map(0, NSP_LIMIT_RING_MAX, false);
    ck_assert_int_eq(region.rings[1][NSP_LIMIT_RING_MAX - 1], 'a');
}
END_TEST

START_TEST(another_agent_finds_the_bytes)
{
    struct arena *successor = NULL;
    struct arena_region theirs;
    map(5, RING, false);
    memcpy(region.rings[1], "hello", 6);
    ck_assert_int_eq(arena_new(dup(arena_fd(arena)), BUDGET, &successor, NULL), 0);
    ck_assert_int_eq(arena_map(successor, 5, RING, false, &theirs, NULL), 0);
    ck_assert_str_eq((const char *)theirs.rings[1], "hello");
    arena_free(successor);
}
END_TEST

START_TEST(mapping_a_slot_in_use_again_changes_nothing)
{
    map(0, RING, false);
    struct arena_region first = region;
    map(0, RING, false);
    ck_assert_ptr_eq(region.arrivals, first.arrivals);
}
END_TEST

START_TEST(a_small_region_is_kept_warm_for_the_next)
{
    map(0, RING, false);
    const struct arrival *before = region.arrivals;
    touch(0, 4096);
    arena_release(arena, 0, 4096);
    ck_assert_uint_eq(arena_charged(arena), 4096);
    ck_assert_uint_eq(used(), 4096);
    map(0, RING, false);
    ck_assert_ptr_eq(region.arrivals, before);
    ck_assert_uint_eq(arena_charged(arena), 0);
}
END_TEST

START_TEST(a_large_region_is_given_back_at_once)
{
    map(0, 4 * RING, false);
    touch(0, 2 * RING);
    arena_release(arena, 0, 2 * RING);
    ck_assert_uint_eq(arena_charged(arena), 0);
    ck_assert_uint_eq(used(), 0);
    map(0, 4 * RING, false);
    ck_assert_int_eq(region.rings[0][0], 0);
}
END_TEST

START_TEST(a_kept_region_of_another_layout_is_given_back)
{
    map(0, 4 * RING, false);
    touch(1, 4096);
    arena_release(arena, 0, 4096);
    map(0, RING, true);
    ck_assert_uint_eq(used(), 0);
    ck_assert_uint_eq(arena_charged(arena), 0);
}
END_TEST

START_TEST(only_so_many_regions_are_kept)
{
    for (unsigned slot = 0; slot < 100; slot++) {
        map(slot, RING, false);
        touch(0, 4096);
    }
    for (unsigned slot = 0; slot < 100; slot++)
        arena_release(arena, slot, 4096);
    uint64_t kept = arena_charged(arena);
    ck_assert_uint_gt(kept, 0);
    ck_assert_uint_lt(kept, 100 * 4096);
    ck_assert_uint_eq(used(), kept);
    for (unsigned slot = 0; slot < 100; slot++)
        map(slot, RING, false);
    ck_assert_uint_eq(arena_charged(arena), 0);
    arena_charge(arena, 100 * 4096);
    for (unsigned slot = 0; slot < 100; slot++)
        arena_release(arena, slot, 4096);
    ck_assert_uint_eq(arena_charged(arena), kept);
}
END_TEST

START_TEST(a_slot_that_was_never_mapped_can_be_released)
{
    arena_release(arena, 9, 0);
    ck_assert_uint_eq(arena_charged(arena), 0);
}
END_TEST

START_TEST(punching_gives_one_ring_back)
{
    map(0, RING, false);
    touch(0, RING);
    touch(1, RING);
    arena_punch(arena, 0, 1, RING);
    ck_assert_uint_eq(arena_charged(arena), RING);
    ck_assert_uint_eq(used(), RING);
    ck_assert_int_eq(region.rings[0][0], 'x');
    arena_punch(arena, 0, 0, RING);
    ck_assert_uint_eq(used(), 0);
    ck_assert_int_eq(region.rings[1][0], 0);
}
END_TEST

START_TEST(what_is_left_is_the_budget_less_charged_and_promised)
{
    ck_assert_uint_eq(arena_left(arena), BUDGET);
    arena_charge(arena, 1000);
    ck_assert_uint_eq(arena_left(arena), BUDGET - 1000);
    arena_promise(arena, 0, 5000);
    ck_assert_uint_eq(arena_left(arena), BUDGET - 6000);
    arena_promise(arena, 5000, 2000);
    ck_assert_uint_eq(arena_left(arena), BUDGET - 3000);
    arena_promise(arena, 2000, 0);
    arena_charge(arena, 2 * BUDGET);
    ck_assert_uint_eq(arena_left(arena), 0);
    arena_discharge(arena, 2 * BUDGET);
    ck_assert_uint_eq(arena_left(arena), BUDGET - 1000);
    arena_discharge(arena, UINT64_MAX);
    ck_assert_uint_eq(arena_charged(arena), 0);
}
END_TEST

START_TEST(what_cannot_be_mapped_is_refused)
{
    struct arena *wrong = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(arena_map(arena, 0, UINT64_C(1) << 50, false, &region, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    map(0, RING, false);
    /* A descriptor that is no memory. */
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(arena_new(ends[0], BUDGET, &wrong, NULL), 0);
    ck_assert_int_eq(arena_map(wrong, 0, RING, false, &region, &err), -1);
    arena_free(wrong);
    close(ends[1]);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("arena");
    TCase *tests = tcase_create("arena");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, only_what_is_touched_uses_memory);
    tcase_add_test(tests, a_region_holds_arrivals_and_rings_one_after_the_other);
    tcase_add_test(tests, slots_do_not_overlap);
    tcase_add_test(tests, another_agent_finds_the_bytes);
    tcase_add_test(tests, mapping_a_slot_in_use_again_changes_nothing);
    tcase_add_test(tests, a_small_region_is_kept_warm_for_the_next);
    tcase_add_test(tests, a_large_region_is_given_back_at_once);
    tcase_add_test(tests, a_kept_region_of_another_layout_is_given_back);
    tcase_add_test(tests, only_so_many_regions_are_kept);
    tcase_add_test(tests, a_slot_that_was_never_mapped_can_be_released);
    tcase_add_test(tests, punching_gives_one_ring_back);
    tcase_add_test(tests, what_is_left_is_the_budget_less_charged_and_promised);
    tcase_add_test(tests, what_cannot_be_mapped_is_refused);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
