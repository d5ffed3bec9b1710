#include <stdlib.h>
#include <string.h>

#include "agent/base/ring.h"
#include "tests/support/unit.h"

enum { LARGEST = 4 * RING_START };

static uint8_t memory[LARGEST];
static struct ring_state state;
static struct ring ring;

static void setup(void)
{
    ring_init_state(&state, LARGEST);
    ring = (struct ring){&state, memory};
}

/* The byte that belongs to an offset. */
static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

static void write_bytes(uint64_t length)
{
    struct iovec pieces[2];
    int count = ring_write_slices(&ring, length, pieces);
    uint64_t offset = state.head, total = 0;
    for (int i = 0; i < count; i++) {
        for (size_t at = 0; at < pieces[i].iov_len; at++)
            ((uint8_t *)pieces[i].iov_base)[at] = pattern(offset++);
        total += pieces[i].iov_len;
    }
    ck_assert_uint_eq(total, length);
    ring_commit(&ring, length);
}

static void assert_kept(void)
{
    struct iovec pieces[2];
    int count = ring_read_slices(&ring, state.tail, UINT64_MAX, pieces);
    uint64_t offset = state.tail, wrong = 0;
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < pieces[i].iov_len; at++)
            wrong += ((uint8_t *)pieces[i].iov_base)[at] != pattern(offset++);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(offset, state.head);
}

START_TEST(a_new_ring_is_empty_and_small)
{
    struct iovec pieces[2];
    ck_assert_uint_eq(state.size, RING_START);
    ck_assert_int_eq(ring_read_slices(&ring, 0, 100, pieces), 0);
    ck_assert(ring_state_valid(&state));
}
END_TEST

START_TEST(bytes_come_back_by_their_offsets)
{
    write_bytes(1000);
    struct iovec pieces[2];
    ck_assert_int_eq(ring_read_slices(&ring, 10, 5, pieces), 1);
    ck_assert_uint_eq(pieces[0].iov_len, 5);
    ck_assert_uint_eq(*(uint8_t *)pieces[0].iov_base, pattern(10));
    assert_kept();
}
END_TEST

START_TEST(a_full_ring_keeps_the_last_bytes)
{
    for (int i = 0; i < 100; i++) {
        write_bytes(1 + (uint64_t)i * 37 % 5000);
        ck_assert(ring_state_valid(&state));
        assert_kept();
    }
    ck_assert_uint_eq(state.head - state.tail, RING_START);
}
END_TEST

START_TEST(room_is_what_may_be_overwritten)
{
    write_bytes(RING_START);
    ck_assert_uint_eq(ring_room(&ring, state.head), RING_START);
    ck_assert_uint_eq(ring_room(&ring, 0), 0);
    ck_assert_uint_eq(ring_room(&ring, 100), 100);
}
END_TEST

START_TEST(it_grows_only_before_it_has_wrapped)
{
    write_bytes(RING_START);
    ck_assert(ring_can_grow(&ring));
    ring_grow(&ring);
    ck_assert_uint_eq(state.size, 2 * RING_START);
    assert_kept();
    write_bytes(RING_START);
    ck_assert_uint_eq(state.tail, 0);
    write_bytes(1);
    ck_assert(!ring_can_grow(&ring));
    ring_grow(&ring);
    ck_assert_uint_eq(state.size, 2 * RING_START);
    assert_kept();
}
END_TEST

START_TEST(it_does_not_grow_beyond_its_maximum)
{
    ring_grow(&ring);
    ring_grow(&ring);
    ck_assert(!ring_can_grow(&ring));
    ring_grow(&ring);
    ck_assert_uint_eq(state.size, LARGEST);
}
END_TEST

START_TEST(dropping_moves_the_tail_only_forward)
{
    write_bytes(1000);
    ring_drop(&ring, 400);
    ring_drop(&ring, 300);
    ck_assert_uint_eq(state.tail, 400);
    assert_kept();
}
END_TEST

START_TEST(impossible_states_are_seen)
{
    struct ring_state broken = state;
    broken.size = 3;
    ck_assert(!ring_state_valid(&broken));
    broken = state;
    broken.tail = 1;
    ck_assert(!ring_state_valid(&broken));
    broken = state;
    broken.head = RING_START + 1;
    ck_assert(!ring_state_valid(&broken));
    broken = state;
    broken.size_max = RING_START / 2;
    ck_assert(!ring_state_valid(&broken));
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("ring");
    TCase *tests = tcase_create("ring");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_new_ring_is_empty_and_small);
    tcase_add_test(tests, bytes_come_back_by_their_offsets);
    tcase_add_test(tests, a_full_ring_keeps_the_last_bytes);
    tcase_add_test(tests, room_is_what_may_be_overwritten);
    tcase_add_test(tests, it_grows_only_before_it_has_wrapped);
    tcase_add_test(tests, it_does_not_grow_beyond_its_maximum);
    tcase_add_test(tests, dropping_moves_the_tail_only_forward);
    tcase_add_test(tests, impossible_states_are_seen);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
