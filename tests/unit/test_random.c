#include "agent/os/random.h"

#include <string.h>

#include "tests/support/unit.h"

START_TEST(two_draws_differ)
{
    unsigned char first[32] = {0}, second[32] = {0};
    ck_assert_int_eq(random_name_bytes(first, sizeof first, NULL), 0);
    ck_assert_int_eq(random_name_bytes(second, sizeof second, NULL), 0);
    ck_assert_mem_ne(first, second, sizeof first);
    ck_assert_int_eq(random_key_bytes(first, sizeof first, NULL), 0);
    ck_assert_mem_ne(first, second, sizeof first);
}
END_TEST

START_TEST(hexadecimal_text_has_two_digits_a_byte)
{
    char text[21] = "";
    ck_assert_int_eq(random_hex(text, 10, NULL), 0);
    ck_assert_uint_eq(strlen(text), 20);
    ck_assert_uint_eq(strspn(text, "0123456789abcdef"), 20);
}
END_TEST

START_TEST(more_than_the_kernel_gives_at_once_is_refused)
{
    unsigned char bytes[257];
    char text[200];
    struct nsp_error err;
    ck_assert_int_eq(random_name_bytes(bytes, 256, &err), 0);
    ck_assert_int_eq(random_name_bytes(bytes, 257, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_int_eq(random_key_bytes(bytes, 257, &err), -1);
    ck_assert_int_eq(random_hex(text, 65, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("random");
    TCase *draws = tcase_create("draws");
    tcase_add_test(draws, two_draws_differ);
    tcase_add_test(draws, hexadecimal_text_has_two_digits_a_byte);
    tcase_add_test(draws, more_than_the_kernel_gives_at_once_is_refused);
    suite_add_tcase(all, draws);
    return all;
}

UNIT_MAIN(suite)
