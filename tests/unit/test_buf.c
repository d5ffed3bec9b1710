#include <string.h>

#include "protocol/buf.h"
#include "tests/support/unit.h"

static struct nsp_buf buf;

static void setup(void)
{
    nsp_buf_init(&buf, 1000);
}

static void teardown(void)
{
    nsp_buf_done(&buf);
}

static void append(const char *text)
{
    ck_assert_int_eq(nsp_buf_append(&buf, text, strlen(text), NULL), 0);
}

static void assert_content(const char *text)
{
    ck_assert_uint_eq(nsp_buf_length(&buf), strlen(text));
    ck_assert_mem_eq(nsp_buf_bytes(&buf), text, strlen(text));
}

START_TEST(what_is_appended_comes_out_in_order)
{
    append("abc");
    append("def");
    assert_content("abcdef");
    nsp_buf_consume(&buf, 2);
    append("g");
    assert_content("cdefg");
    nsp_buf_consume(&buf, 5);
    ck_assert_uint_eq(nsp_buf_length(&buf), 0);
}
END_TEST

START_TEST(nothing_is_allocated_before_use)
{
    ck_assert_ptr_null(buf.data);
    ck_assert_int_eq(nsp_buf_append(&buf, NULL, 0, NULL), 0);
    ck_assert_ptr_null(buf.data);
}
END_TEST

START_TEST(the_ceiling_holds_and_leaves_the_content)
{
    char bytes[1000];
    struct nsp_error err = NSP_ERROR_INIT;
    memset(bytes, 'x', sizeof bytes);
    append("ab");
    ck_assert_int_eq(nsp_buf_append(&buf, bytes, 999, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    assert_content("ab");
    ck_assert_int_eq(nsp_buf_append(&buf, bytes, 998, NULL), 0);
    ck_assert_uint_eq(nsp_buf_length(&buf), 1000);
    ck_assert_uint_le(buf.capacity, 1000);
    uint8_t *room;
    ck_assert_int_eq(nsp_buf_reserve(&buf, SIZE_MAX, &room, &err), -1);
    nsp_buf_consume(&buf, 1);
    append("z");
    ck_assert_int_eq(nsp_buf_bytes(&buf)[999], 'z');
}
END_TEST

START_TEST(reserved_room_counts_when_committed)
{
    uint8_t *room;
    ck_assert_int_eq(nsp_buf_reserve(&buf, 600, &room, NULL), 0);
    memset(room, 'r', 600);
    ck_assert_uint_eq(nsp_buf_length(&buf), 0);
    nsp_buf_commit(&buf, 3);
    assert_content("rrr");
}
END_TEST

START_TEST(a_queue_in_motion_does_not_grow)
{
    for (int i = 0; i < 10000; i++) {
        append("0123456789");
        if (i >= 4) {
            ck_assert_mem_eq(nsp_buf_bytes(&buf), "0123456789", 10);
            nsp_buf_consume(&buf, 10);
        }
    }
    ck_assert_uint_eq(nsp_buf_length(&buf), 40);
    ck_assert_uint_le(buf.capacity, 256);
}
END_TEST

START_TEST(shrink_frees_only_what_is_empty_and_large)
{
    append("abc");
    nsp_buf_shrink(&buf, 0);
    assert_content("abc");
    nsp_buf_consume(&buf, 3);
    nsp_buf_shrink(&buf, 4096);
    ck_assert_ptr_nonnull(buf.data);
    nsp_buf_shrink(&buf, 0);
    ck_assert_ptr_null(buf.data);
    append("again");
    assert_content("again");
}
END_TEST

START_TEST(done_leaves_a_buffer_that_can_be_used_again)
{
    append("abc");
    nsp_buf_done(&buf);
    ck_assert_uint_eq(nsp_buf_length(&buf), 0);
    append("xyz");
    assert_content("xyz");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("buf");
    TCase *tests = tcase_create("buf");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_is_appended_comes_out_in_order);
    tcase_add_test(tests, nothing_is_allocated_before_use);
    tcase_add_test(tests, the_ceiling_holds_and_leaves_the_content);
    tcase_add_test(tests, reserved_room_counts_when_committed);
    tcase_add_test(tests, a_queue_in_motion_does_not_grow);
    tcase_add_test(tests, shrink_frees_only_what_is_empty_and_large);
    tcase_add_test(tests, done_leaves_a_buffer_that_can_be_used_again);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
