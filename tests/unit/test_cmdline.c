/* Words of the kernel command line, quoted as the kernel has them quoted. */
#include "agent/machine/cmdline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/unit.h"

static struct cmdline cmdline;

static void assert_word(unsigned number, const char *key, const char *value)
{
    ck_assert_uint_lt(number, cmdline.count);
    ck_assert_str_eq(cmdline.words[number].key, key);
    if (value)
        ck_assert_pstr_eq(cmdline.words[number].value, value);
    else
        ck_assert_ptr_null(cmdline.words[number].value);
}

START_TEST(blanks_of_any_kind_separate_words)
{
    cmdline_parse("  quiet\tpanic=1\n\n console=ttyS0,115200n8 \n", &cmdline);
    ck_assert_uint_eq(cmdline.count, 3);
    assert_word(0, "quiet", NULL);
    assert_word(1, "panic", "1");
    assert_word(2, "console", "ttyS0,115200n8");
    ck_assert(!cmdline.is_cut);
}
END_TEST

START_TEST(nothing_is_no_word)
{
    cmdline_parse("", &cmdline);
    ck_assert_uint_eq(cmdline.count, 0);
    cmdline_parse(" \n\t ", &cmdline);
    ck_assert_uint_eq(cmdline.count, 0);
    ck_assert_ptr_null(cmdline_value(&cmdline, "quiet"));
}
END_TEST

START_TEST(a_value_may_be_empty_or_missing)
{
    cmdline_parse("a= b c=d=e", &cmdline);
    assert_word(0, "a", "");
    assert_word(1, "b", NULL);
    assert_word(2, "c", "d=e");
    ck_assert_pstr_eq(cmdline_value(&cmdline, "a"), "");
    ck_assert_pstr_eq(cmdline_value(&cmdline, "b"), "");
    ck_assert_ptr_null(cmdline_value(&cmdline, "c=d"));
}
END_TEST

START_TEST(quotes_keep_blanks_together)
{
    cmdline_parse("a=\"b c\" \"d=e f\" \"g h\" i=j\"k l\"m n", &cmdline);
    ck_assert_uint_eq(cmdline.count, 5);
    assert_word(0, "a", "b c");
    assert_word(1, "d", "e f");
    assert_word(2, "g h", NULL);
    assert_word(3, "i", "j\"k l\"m");
    assert_word(4, "n", NULL);
}
END_TEST

START_TEST(a_quote_that_stays_open_reaches_to_the_end)
{
    cmdline_parse("a=\"b c", &cmdline);
    ck_assert_uint_eq(cmdline.count, 1);
    assert_word(0, "a", "b c");
    cmdline_parse("a=\"", &cmdline);
    assert_word(0, "a", "");
    cmdline_parse("\"", &cmdline);
    assert_word(0, "", NULL);
}
END_TEST

START_TEST(empty_quotes_are_an_empty_value)
{
    cmdline_parse("a=\"\" \"\" \"b=\"", &cmdline);
    ck_assert_uint_eq(cmdline.count, 3);
    assert_word(0, "a", "");
    assert_word(1, "", NULL);
    assert_word(2, "b", "");
}
END_TEST

START_TEST(the_last_word_of_a_key_counts)
{
    cmdline_parse("a=1 b=2 a=3 ab=4", &cmdline);
    ck_assert_pstr_eq(cmdline_value(&cmdline, "a"), "3");
}
END_TEST

START_TEST(words_beyond_the_table_are_left_out_and_said_to_be)
{
    char text[CMDLINE_WORDS * 2 + 8] = "";
    for (unsigned i = 0; i < CMDLINE_WORDS; i++)
        memcpy(text + 2 * i, "w ", 3);
    cmdline_parse(text, &cmdline);
    ck_assert_uint_eq(cmdline.count, CMDLINE_WORDS);
    ck_assert(!cmdline.is_cut);
    memcpy(text + 2 * CMDLINE_WORDS, "last", 5);
    cmdline_parse(text, &cmdline);
    ck_assert_uint_eq(cmdline.count, CMDLINE_WORDS);
    ck_assert(cmdline.is_cut);
    ck_assert_ptr_null(cmdline_value(&cmdline, "last"));
}
END_TEST

START_TEST(a_text_beyond_the_room_is_cut)
{
    static char text[CMDLINE_BYTES + 1];
    memset(text, 'x', sizeof text - 1);
    text[CMDLINE_BYTES - 1] = '\0';
    cmdline_parse(text, &cmdline);
    ck_assert(!cmdline.is_cut);
    ck_assert_uint_eq(strlen(cmdline.words[0].key), CMDLINE_BYTES - 1);
    text[CMDLINE_BYTES - 1] = 'x';
    cmdline_parse(text, &cmdline);
    ck_assert(cmdline.is_cut);
    ck_assert_uint_eq(strlen(cmdline.words[0].key), CMDLINE_BYTES - 1);
}
END_TEST

START_TEST(a_file_is_read_as_its_text)
{
    char path[] = "/tmp/test_cmdline.XXXXXX";
    struct nsp_error err = NSP_ERROR_INIT;
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "quiet ns.root=/dev/vda\n", 23), 23);
    int result = cmdline_read(path, &cmdline, &err);
    close(fd);
    unlink(path);
    ck_assert_int_eq(result, 0);
    ck_assert_uint_eq(cmdline.count, 2);
    ck_assert_pstr_eq(cmdline_value(&cmdline, "ns.root"), "/dev/vda");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_leaves_no_words)
{
    struct nsp_error err = NSP_ERROR_INIT;
    cmdline_parse("quiet", &cmdline);
    ck_assert_int_eq(cmdline_read("/nonexistent", &cmdline, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_str_eq(err.object, "/nonexistent");
    ck_assert_uint_eq(cmdline.count, 0);
    ck_assert_int_eq(cmdline_read("/", &cmdline, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_uint_eq(cmdline.count, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("cmdline");
    TCase *words = tcase_create("words");
    tcase_add_test(words, blanks_of_any_kind_separate_words);
    tcase_add_test(words, nothing_is_no_word);
    tcase_add_test(words, a_value_may_be_empty_or_missing);
    tcase_add_test(words, quotes_keep_blanks_together);
    tcase_add_test(words, a_quote_that_stays_open_reaches_to_the_end);
    tcase_add_test(words, empty_quotes_are_an_empty_value);
    tcase_add_test(words, the_last_word_of_a_key_counts);
    tcase_add_test(words, words_beyond_the_table_are_left_out_and_said_to_be);
    tcase_add_test(words, a_text_beyond_the_room_is_cut);
    tcase_add_test(words, a_file_is_read_as_its_text);
    tcase_add_test(words, a_file_that_cannot_be_read_leaves_no_words);
    suite_add_tcase(all, words);
    return all;
}

UNIT_MAIN(suite)
