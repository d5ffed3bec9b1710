/* The tables are the test's own; the file under test is not part of any library. */
#include "client/nsctl_options.c"

#include "tests/support/unit.h"

#define AT(member) offsetof(struct nsctl_settings, member)

static const char *const scopes[] = {"leader", "group", NULL};

const struct nsctl_option nsctl_global_options[] = {
    {'c', "connect", NSCTL_TEXT, AT(connect), "URL", "", NULL},
    {0, "json", NSCTL_FLAG, AT(json), NULL, "", NULL},
    {'h', "help", NSCTL_FLAG, AT(help), NULL, "", NULL},
    {0, NULL, NSCTL_FLAG, 0, NULL, NULL, NULL},
};

static const struct nsctl_option options[] = {
    {'e', "env", NSCTL_LIST, AT(environment), "NAME=VALUE", "", NULL},
    {'f', "follow", NSCTL_FLAG, AT(follow), NULL, "", NULL},
    {'a', "all", NSCTL_FLAG, AT(all), NULL, "", NULL},
    {0, "timeout", NSCTL_SECONDS, AT(timeout), "S", "", NULL},
    {0, "ring", NSCTL_BYTES, AT(ring), "BYTES", "", NULL},
    {'n', "count", NSCTL_NUMBER, AT(count), "N", "", NULL},
    {0, "scope", NSCTL_CHOICE, AT(scope), "WHOM", "", scopes},
    {0, NULL, NSCTL_FLAG, 0, NULL, NULL, NULL},
};

const struct nsctl_command nsctl_commands[] = {
    {"run", "ARGV...", 1, 99, false, true, options, NULL, "", NULL},
    {"kill", "ID", 1, 1, false, false, options, NULL, "", NULL},
    {NULL, NULL, 0, 0, false, false, NULL, NULL, NULL, NULL},
};

static struct nsctl_settings settings;
static struct nsp_error error;
static char *words[32];

static void setup(void)
{
    settings = (struct nsctl_settings){0};
    error = NSP_ERROR_INIT;
}

static void teardown(void)
{
    nsctl_options_done(&settings);
}

/* Splits at blanks; the text must live as long as the settings. */
static int parse(int command, char *text)
{
    int count = 0;
    char *rest = text;
    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
        words[count++] = word;
    words[count] = NULL;
    return nsctl_options_command(&nsctl_commands[command], count, words, &settings, &error);
}

static int parse_one(const char *name, const char *value)
{
    static char text[128];
    snprintf(text, sizeof text, "--%s=%s x", name, value);
    setup();
    return parse(1, text);
}

START_TEST(all_spellings_of_an_option_mean_the_same)
{
    static const char *const texts[] = {"-n 5 x", "-n5 x", "--count 5 x", "--count=5 x", "x -n 5"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s", texts[i]);
        setup();
        ck_assert_int_eq(parse(1, text), 0);
        ck_assert(settings.count.set);
        ck_assert_uint_eq(settings.count.value, 5);
        ck_assert_int_eq(settings.word_count, 1);
        ck_assert_str_eq(settings.words[0], "x");
        ck_assert_ptr_null(settings.words[1]);
    }
}
END_TEST

START_TEST(flags_may_be_joined_and_lists_grow)
{
    char text[] = "-fae A=1 --env B=2 --json x";
    ck_assert_int_eq(parse(1, text), 0);
    ck_assert(settings.follow && settings.all && settings.json);
    ck_assert_uint_eq(settings.environment.count, 2);
    ck_assert_str_eq(settings.environment.items[0], "A=1");
    ck_assert_str_eq(settings.environment.items[1], "B=2");
    ck_assert_ptr_null(settings.environment.items[2]);
}
END_TEST

START_TEST(what_follows_the_program_is_its_own)
{
    char text[] = "-f ls -a --json --";
    ck_assert_int_eq(parse(0, text), 0);
    ck_assert(settings.follow && !settings.all && !settings.json);
    ck_assert_int_eq(settings.word_count, 4);
    ck_assert_str_eq(settings.words[0], "ls");
    ck_assert_str_eq(settings.words[3], "--");
}
END_TEST

START_TEST(two_dashes_end_the_options)
{
    char text[] = "-f -- -a -- x";
    ck_assert_int_eq(parse(0, text), 0);
    ck_assert(!settings.all);
    ck_assert_int_eq(settings.word_count, 3);
    ck_assert_str_eq(settings.words[0], "-a");
    ck_assert_str_eq(settings.words[1], "--");
}
END_TEST

START_TEST(a_single_dash_is_a_word)
{
    char text[] = "-";
    ck_assert_int_eq(parse(1, text), 0);
    ck_assert_str_eq(settings.words[0], "-");
}
END_TEST

static const char *const misuses[] = {
    "-f",
    "x y",
    "--nope x",
    "-z x",
    "-fz x",
    "x -n",
    "x --count",
    "--follow=1 x",
    "-n x",
    "-n -1 x",
    "-n 1x x",
    "--timeout=. x",
    "--timeout=1.x x",
    "--timeout=-1 x",
    "--ring=1T x",
    "--ring=K x",
    "--ring=1KK x",
    "--scope=all x",
    "-n 99999999999999999999 x",
    "--ring=18446744073709551615K x",
};

START_TEST(misuse_is_refused_with_what_was_wrong)
{
    char text[64];
    snprintf(text, sizeof text, "%s", misuses[_i]);
    ck_assert_msg(parse(1, text) == -1, "accepted: %s", misuses[_i]);
    ck_assert_int_eq(error.code, NSP_E_INVALID_PARAMS);
    ck_assert_uint_gt(strlen(error.msg), 10);
}
END_TEST

START_TEST(numbers_have_their_units)
{
    ck_assert_int_eq(parse_one("timeout", "2"), 0);
    ck_assert_uint_eq(settings.timeout.value, 2000);
    ck_assert_int_eq(parse_one("timeout", "0.25"), 0);
    ck_assert_uint_eq(settings.timeout.value, 250);
    ck_assert_int_eq(parse_one("timeout", "1.0019"), 0);
    ck_assert_uint_eq(settings.timeout.value, 1001);
    ck_assert_int_eq(parse_one("ring", "64K"), 0);
    ck_assert_uint_eq(settings.ring.value, 65536);
    ck_assert_int_eq(parse_one("ring", "2M"), 0);
    ck_assert_uint_eq(settings.ring.value, 2097152);
    ck_assert_int_eq(parse_one("ring", "70000"), 0);
    ck_assert_uint_eq(settings.ring.value, 70000);
    ck_assert_int_eq(parse_one("scope", "group"), 0);
    ck_assert_str_eq(settings.scope, "group");
}
END_TEST

START_TEST(help_asks_for_no_words)
{
    char text[] = "--help";
    ck_assert_int_eq(parse(1, text), 0);
    ck_assert(settings.help);
}
END_TEST

START_TEST(global_options_end_at_the_command)
{
    char *argv[] = {"nsctl", "-c", "unix:/x", "--json", "run", "-h", NULL};
    int next = 0;
    ck_assert_int_eq(nsctl_options_global(6, argv, &settings, &next, &error), 0);
    ck_assert_int_eq(next, 4);
    ck_assert_str_eq(settings.connect, "unix:/x");
    ck_assert(settings.json && !settings.help);
    char *bad[] = {"nsctl", "-x", NULL};
    ck_assert_int_eq(nsctl_options_global(2, bad, &settings, &next, &error), -1);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("nsctl/options");
    TCase *reading = tcase_create("read");
    tcase_add_checked_fixture(reading, setup, teardown);
    tcase_add_test(reading, all_spellings_of_an_option_mean_the_same);
    tcase_add_test(reading, flags_may_be_joined_and_lists_grow);
    tcase_add_test(reading, what_follows_the_program_is_its_own);
    tcase_add_test(reading, two_dashes_end_the_options);
    tcase_add_test(reading, a_single_dash_is_a_word);
    tcase_add_loop_test(reading, misuse_is_refused_with_what_was_wrong, 0,
                        sizeof misuses / sizeof *misuses);
    tcase_add_test(reading, numbers_have_their_units);
    tcase_add_test(reading, help_asks_for_no_words);
    tcase_add_test(reading, global_options_end_at_the_command);
    suite_add_tcase(suite, reading);
    return suite;
}

UNIT_MAIN(suite)
