#include <string.h>

#include "protocol/utf8.h"
#include "tests/support/unit.h"

static const struct {
    const char *bytes;
    uint32_t point;
} good[] = {
    {"a", 'a'},
    {"\x7F", 0x7F},
    {"\xC2\x80", 0x80},
    {"\xDF\xBF", 0x7FF},
    {"\xE0\xA0\x80", 0x800},
    {"\xED\x9F\xBF", 0xD7FF},
    {"\xEE\x80\x80", 0xE000},
    {"\xEF\xBF\xBF", 0xFFFF},
    {"\xF0\x90\x80\x80", 0x10000},
    {"\xF4\x8F\xBF\xBF", 0x10FFFF},
};
enum { GOOD = sizeof good / sizeof *good };

static const char *const bad[] = {
    "\x80",
    "\xBF",
    "\xC0\x80",
    "\xC1\xBF",
    "\xC2",
    "\xC2\x41",
    "\xC2\xC2",
    "\xE0\x9F\xBF",
    "\xED\xA0\x80",
    "\xED\xBF\xBF",
    "\xE1\x80",
    "\xE1\x80\x41",
    "\xF0\x8F\xBF\xBF",
    "\xF4\x90\x80\x80",
    "\xF1\x80\x80",
    "\xF5\x80\x80\x80",
    "\xF1\x80\x80\xC0",
    "\xFE",
    "\xFF",
};
enum { BAD = sizeof bad / sizeof *bad };

START_TEST(a_sequence_has_its_length_and_code_point)
{
    const uint8_t *bytes = (const uint8_t *)good[_i].bytes;
    size_t length = strlen(good[_i].bytes);
    ck_assert_uint_eq(nsp_utf8_next(bytes, bytes + length), length);
    ck_assert_uint_eq(nsp_utf8_code_point(bytes, length), good[_i].point);
    ck_assert(nsp_utf8_is_text(bytes, length));
}
END_TEST

START_TEST(a_sequence_cut_short_is_ill_formed)
{
    const uint8_t *bytes = (const uint8_t *)good[_i].bytes;
    for (size_t length = 1; length < strlen(good[_i].bytes); length++)
        ck_assert_uint_eq(nsp_utf8_next(bytes, bytes + length), 0);
}
END_TEST

START_TEST(what_is_ill_formed_is_no_text)
{
    char text[16];
    size_t length = strlen(bad[_i]);
    memcpy(text, "ab", 2);
    memcpy(text + 2, bad[_i], length);
    ck_assert_uint_eq(nsp_utf8_next((const uint8_t *)bad[_i], (const uint8_t *)bad[_i] + length),
                      0);
    ck_assert(!nsp_utf8_is_text(text, 2 + length));
}
END_TEST

START_TEST(a_nul_is_no_text_and_nothing_is)
{
    ck_assert(!nsp_utf8_is_text("a\0b", 3));
    ck_assert(nsp_utf8_is_text("a\0b", 1));
    ck_assert(nsp_utf8_is_text("", 0));
    ck_assert(nsp_utf8_is_text(NULL, 0));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("utf8");
    TCase *tests = tcase_create("utf8");
    tcase_add_loop_test(tests, a_sequence_has_its_length_and_code_point, 0, GOOD);
    tcase_add_loop_test(tests, a_sequence_cut_short_is_ill_formed, 0, GOOD);
    tcase_add_loop_test(tests, what_is_ill_formed_is_no_text, 0, BAD);
    tcase_add_test(tests, a_nul_is_no_text_and_nothing_is);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
