/* Options on the kernel command line. */
#include "agent/boot/kernel_options.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/unit.h"

enum { CAPACITY = 8 };

static struct cmdline cmdline;
static struct nsp_error err;
static char *target[CAPACITY + 1], detail[256];
static int count;

static bool is_known(const char *key)
{
    return strcmp(key, "ns.root") == 0;
}

static int collect(const char *kernels, const char *const *words)
{
    int argc = 0;
    while (words[argc])
        argc++;
    err = NSP_ERROR_INIT;
    memset(target, 0, sizeof target);
    memset(detail, 'x', sizeof detail);
    cmdline_parse(kernels, &cmdline);
    return kernel_options_collect(argc, (char **)words, &cmdline, is_known, target, CAPACITY,
                                  &count, detail, sizeof detail, &err);
}

#define COLLECT(kernels, ...) collect(kernels, (const char *const[]){"agent", __VA_ARGS__ NULL})

static void assert_collected(const char *const *words)
{
    int expected = 0;
    for (; words[expected]; expected++) {
        ck_assert_int_lt(expected, count);
        ck_assert_pstr_eq(target[expected], words[expected]);
    }
    ck_assert_int_eq(count, expected);
    ck_assert_ptr_null(target[count]);
}

#define ASSERT_COLLECTED(...) assert_collected((const char *const[]){"agent", __VA_ARGS__ NULL})

START_TEST(without_words_nothing_is_added)
{
    ck_assert_int_eq(COLLECT("", ), 0);
    ASSERT_COLLECTED();
    ck_assert_str_eq(detail, "");
    ck_assert_int_eq(err.code, NSP_E_NONE);
}
END_TEST

START_TEST(our_words_become_options_behind_those_of_argv)
{
    ck_assert_int_eq(
        COLLECT("quiet ns.log_level=debug ns.any_cid root=/dev/vda", "--workspace", "/w", ), 0);
    ASSERT_COLLECTED("--workspace", "/w", "--log-level=debug", "--any-cid", );
}
END_TEST

START_TEST(words_of_others_are_passed_over)
{
    ck_assert_int_eq(COLLECT("ns.root=/dev/vda ns nsx.a=b ro", ), 0);
    ASSERT_COLLECTED();
}
END_TEST

START_TEST(a_quoted_value_keeps_its_blanks_and_underscores)
{
    ck_assert_int_eq(COLLECT("ns.workspace=\"/my own_dir\" \"ns.config=/a b\"", ), 0);
    ASSERT_COLLECTED("--workspace=/my own_dir", "--config=/a b", );
}
END_TEST

START_TEST(each_word_that_is_not_acceptable_is_named_and_left_out)
{
    static const char *const wrong[] = {"ns.nonsense=1",  "ns.log_level=loud", "ns.listen",
                                        "ns.any_cid=yes", "ns.ring_budget=-1", "ns.=1",
                                        "ns.help",        "ns.version",        "ns.give_up=x"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[128], key[64];
        snprintf(text, sizeof text, "%s ns.role=guest", wrong[i]);
        snprintf(key, sizeof key, "%.*s", (int)strcspn(wrong[i], "="), wrong[i]);
        ck_assert_msg(COLLECT(text, ) == -1, "%s", wrong[i]);
        ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
        ck_assert_msg(strstr(detail, key) == detail, "%s: %s", wrong[i], detail);
        ASSERT_COLLECTED("--role=guest", );
    }
}
END_TEST

START_TEST(several_mistakes_are_all_named_and_the_first_is_the_error)
{
    ck_assert_int_eq(COLLECT("ns.one=1 ns.two=2", ), -1);
    ck_assert_ptr_nonnull(strstr(detail, "ns.one"));
    ck_assert_ptr_nonnull(strstr(detail, "; ns.two"));
    ck_assert_ptr_nonnull(strstr(err.msg, "one"));
}
END_TEST

START_TEST(a_wrong_argument_leaves_out_all_of_argv_but_not_the_kernels_words)
{
    ck_assert_int_eq(COLLECT("ns.any_cid", "--nonsense", "--workspace", "/w", ), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_ptr_eq(strstr(detail, "arguments: "), detail);
    ASSERT_COLLECTED("--any-cid", );
}
END_TEST

START_TEST(options_beyond_the_room_are_left_out_and_said_to_be)
{
    ck_assert_int_eq(COLLECT("ns.any_cid ns.any_cid ns.any_cid ns.any_cid ns.any_cid ns.any_cid", ),
                     0);
    ck_assert_int_eq(count, CAPACITY - 1);
    ck_assert_int_eq(COLLECT("ns.any_cid ns.any_cid ns.any_cid ns.any_cid ns.any_cid ns.any_cid "
                             "ns.role=guest", ),
                     -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_int_eq(count, CAPACITY - 1);
    ck_assert_ptr_null(target[CAPACITY - 1]);
    ck_assert_ptr_nonnull(strstr(detail, "--role=guest"));
}
END_TEST

START_TEST(a_long_detail_is_cut)
{
    char text[1024] = "";
    for (int i = 0; i < 30; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "ns.wrong%d=1 ", i);
    ck_assert_int_eq(COLLECT(text, ), -1);
    ck_assert_uint_eq(strlen(detail), sizeof detail - 1);
    ASSERT_COLLECTED();
}
END_TEST

START_TEST(an_address_given_twice_is_left_out_once)
{
    ck_assert_int_eq(COLLECT("ns.listen=unix:/a ns.listen=unix:/b", "--listen=unix:/a", ), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_ptr_nonnull(strstr(detail, "ns.listen"));
    ASSERT_COLLECTED("--listen=unix:/a", "--listen=unix:/b", );
}
END_TEST

START_TEST(without_any_argv_the_program_has_a_name)
{
    cmdline_parse("", &cmdline);
    ck_assert_int_eq(kernel_options_collect(0, (char *[]){NULL}, &cmdline, is_known, target,
                                            CAPACITY, &count, detail, sizeof detail, &err),
                     0);
    ck_assert_int_eq(count, 1);
    ck_assert_str_eq(target[0], "nullspace-agent");
}
END_TEST

UNIT_WITHOUT_LEAK_CHECK()

static Suite *suite(void)
{
    Suite *all = suite_create("kernel_options");
    TCase *words = tcase_create("words");
    tcase_add_test(words, without_words_nothing_is_added);
    tcase_add_test(words, our_words_become_options_behind_those_of_argv);
    tcase_add_test(words, words_of_others_are_passed_over);
    tcase_add_test(words, a_quoted_value_keeps_its_blanks_and_underscores);
    tcase_add_test(words, each_word_that_is_not_acceptable_is_named_and_left_out);
    tcase_add_test(words, several_mistakes_are_all_named_and_the_first_is_the_error);
    tcase_add_test(words, a_wrong_argument_leaves_out_all_of_argv_but_not_the_kernels_words);
    tcase_add_test(words, options_beyond_the_room_are_left_out_and_said_to_be);
    tcase_add_test(words, a_long_detail_is_cut);
    tcase_add_test(words, an_address_given_twice_is_left_out_once);
    tcase_add_test(words, without_any_argv_the_program_has_a_name);
    suite_add_tcase(all, words);
    return all;
}

UNIT_MAIN(suite)
