/* The command line of nullspace-agent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/boot/options.h"
#include "tests/support/unit.h"

static struct options options;
static struct nsp_error err;

static int parse_as(bool is_pid1, const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    err = NSP_ERROR_INIT;
    return options_parse(count, (char **)words, is_pid1, &options, &err);
}

#define PARSE(...) parse_as(false, (const char *const[]){"nullspace-agent", __VA_ARGS__, NULL})
#define PARSE_PID1(...) parse_as(true, (const char *const[]){"nullspace-agent", __VA_ARGS__, NULL})

static void assert_refused(int result, const char *object)
{
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, object);
    ck_assert_str_ne(err.msg, "");
}

START_TEST(only_an_address_is_needed)
{
    ck_assert_int_eq(PARSE("--listen", "unix:/run/agent"), 0);
    ck_assert_uint_eq(options.listen_count, 1);
    ck_assert_str_eq(options.listen[0], "unix:/run/agent");
    ck_assert_ptr_null(options.listen[1]);
    ck_assert_ptr_null(options.config);
    ck_assert_ptr_null(options.token_file);
    ck_assert(!options.insecure_bind && !options.any_cid && !options.help && !options.version);
    ck_assert_ptr_null(options.workspace);
    ck_assert_int_eq(options.log_level, -1);
    ck_assert_uint_eq(options.ring_budget, 0);
    ck_assert_uint_eq(options.shutdown_grace_ms, UINT32_MAX);
}
END_TEST

START_TEST(every_option_is_read)
{
    ck_assert_int_eq(PARSE("--listen=vsock:1024", "--listen", "tcp:127.0.0.1:1", "--config", "/c",
                           "--token-file", "/t", "--insecure-bind", "--any-cid", "--workspace",
                           "/w", "--ring-budget", "65536", "--shutdown-grace", "0", "--log-level",
                           "debug"),
                     0);
    ck_assert_uint_eq(options.listen_count, 2);
    ck_assert_str_eq(options.listen[1], "tcp:127.0.0.1:1");
    ck_assert_str_eq(options.config, "/c");
    ck_assert_str_eq(options.token_file, "/t");
    ck_assert(options.insecure_bind && options.any_cid);
    ck_assert_str_eq(options.workspace, "/w");
    ck_assert_uint_eq(options.ring_budget, 65536);
    ck_assert_uint_eq(options.shutdown_grace_ms, 0);
    ck_assert_int_eq(options.log_level, LOG_DEBUG);
}
END_TEST

START_TEST(parsing_again_starts_anew)
{
    ck_assert_int_eq(PARSE("--listen", "vsock:1", "--any-cid"), 0);
    ck_assert_int_eq(PARSE("--listen", "vsock:2"), 0);
    ck_assert_uint_eq(options.listen_count, 1);
    ck_assert_str_eq(options.listen[0], "vsock:2");
    ck_assert(!options.any_cid);
}
END_TEST

START_TEST(without_an_address_only_help_and_version_work)
{
    assert_refused(PARSE("--any-cid"), "listen");
    ck_assert_int_eq(PARSE("--help"), 0);
    ck_assert(options.help);
    ck_assert_int_eq(PARSE("--version"), 0);
    ck_assert(options.version);
}
END_TEST

START_TEST(a_configuration_file_may_name_the_addresses)
{
    ck_assert_int_eq(PARSE("--config", "/c"), 0);
    ck_assert_uint_eq(options.listen_count, 0);
}
END_TEST

START_TEST(pid_1_needs_no_address_and_takes_the_kernels_words)
{
    ck_assert_int_eq(PARSE_PID1("--any-cid"), 0);
    ck_assert_uint_eq(options.listen_count, 0);
    ck_assert_int_eq(PARSE_PID1("splash", "--listen", "unix:/a", "quiet"), 0);
    ck_assert_uint_eq(options.listen_count, 1);
    ck_assert_str_eq(options.listen[0], "unix:/a");
    assert_refused(PARSE_PID1("--nonsense"), "--nonsense");
}
END_TEST

START_TEST(the_way_to_switch_off_is_one_of_three)
{
    static const char *const names[] = {"auto", "poweroff", "reboot"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_int_eq(PARSE_PID1("--power-off", names[i]), 0);
        ck_assert_int_eq(options.variant, (int)i);
    }
    assert_refused(PARSE_PID1("--power-off", "halt"), "power-off");
    assert_refused(PARSE_PID1("--power-off", ""), "power-off");
}
END_TEST

START_TEST(giving_up_needs_a_number_of_tries_and_an_action)
{
    static const char *const wrong[] = {"",          "3",         "3:",           ":reboot",
                                        "0:halt",    "-1:reboot", "3:explode",    "3 :reboot",
                                        "3:reboot ", " 3:reboot", "1000001:halt", "x:reboot"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_refused(PARSE_PID1("--give-up", wrong[i]), "give-up");
    ck_assert_int_eq(PARSE_PID1("--any-cid"), 0);
    ck_assert_uint_eq(options.give_up_after, 0);
    ck_assert_int_eq(PARSE_PID1("--give-up", "3:reboot"), 0);
    ck_assert_uint_eq(options.give_up_after, 3);
    ck_assert_int_eq(options.give_up_action, POWER_REBOOT);
    ck_assert_int_eq(PARSE_PID1("--give-up", "1000000:halt"), 0);
    ck_assert_uint_eq(options.give_up_after, 1000000);
    ck_assert_int_eq(options.give_up_action, POWER_HALT);
}
END_TEST

START_TEST(a_role_is_given_by_its_name)
{
    ck_assert_int_eq(PARSE_PID1("--any-cid"), 0);
    ck_assert_int_eq(options.role, ROLE_AUTO);
    ck_assert_int_eq(PARSE_PID1("--role", "guest"), 0);
    ck_assert_int_eq(options.role, ROLE_GUEST);
    assert_refused(PARSE_PID1("--role", "king"), "role");
}
END_TEST

START_TEST(the_last_of_two_counts)
{
    ck_assert_int_eq(PARSE_PID1("--role", "guest", "--role=process"), 0);
    ck_assert_int_eq(options.role, ROLE_PROCESS);
}
END_TEST

START_TEST(words_and_options_that_there_are_not_are_refused_by_name)
{
    assert_refused(PARSE("--listen", "vsock:1", "extra"), "extra");
    assert_refused(PARSE("--listen", "vsock:1", "--nonsense"), "--nonsense");
    assert_refused(PARSE("--listen", "vsock:1", "-x"), "-x");
    assert_refused(PARSE("--listen"), "--listen");
    assert_refused(PARSE("--listen", "vsock:1", "--any-cid=yes"), "--any-cid=yes");
}
END_TEST

START_TEST(an_address_counts_once_and_there_are_not_too_many)
{
    assert_refused(PARSE("--listen", "vsock:1", "--listen", "vsock:1"), "listen");
    static const char *const digits = "abcdefghijklmnopq";
    const char *words[OPTIONS_LISTEN_MAX + 3] = {"nullspace-agent"};
    char texts[OPTIONS_LISTEN_MAX + 1][16];
    for (unsigned i = 0; i <= OPTIONS_LISTEN_MAX; i++) {
        memcpy(texts[i], "--listen=unix:/", 15);
        texts[i][14] = digits[i];
        texts[i][15] = '\0';
        words[i + 1] = texts[i];
    }
    assert_refused(parse_as(false, words), "listen");
    words[OPTIONS_LISTEN_MAX + 1] = NULL;
    ck_assert_int_eq(parse_as(false, words), 0);
    ck_assert_uint_eq(options.listen_count, OPTIONS_LISTEN_MAX);
    ck_assert_ptr_null(options.listen[OPTIONS_LISTEN_MAX]);
}
END_TEST

START_TEST(numbers_are_whole_and_in_range)
{
    static const char *const wrong[] = {
        "", "x", "-1", "+1", " 1", "1k", "1.5", "1099511627777", "99999999999999999999"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_refused(PARSE("--listen", "vsock:1", "--ring-budget", wrong[i]), "ring-budget");
    ck_assert_int_eq(PARSE("--listen", "vsock:1", "--ring-budget", "1099511627776"), 0);
    ck_assert_uint_eq(options.ring_budget, UINT64_C(1099511627776));
    assert_refused(PARSE("--listen", "vsock:1", "--shutdown-grace", "3600001"), "shutdown-grace");
    ck_assert_int_eq(PARSE("--listen", "vsock:1", "--shutdown-grace", "3600000"), 0);
}
END_TEST

START_TEST(levels_and_directories_are_checked)
{
    assert_refused(PARSE("--listen", "vsock:1", "--log-level", "loud"), "log-level");
    assert_refused(PARSE("--listen", "vsock:1", "--workspace", "relative"), "workspace");
    assert_refused(PARSE("--listen", "vsock:1", "--workspace", ""), "workspace");
}
END_TEST

START_TEST(a_refusal_changes_no_options)
{
    ck_assert_int_eq(PARSE("--listen", "vsock:1"), 0);
    ck_assert_int_eq(PARSE("--listen", "vsock:2", "--nonsense"), -1);
    ck_assert_str_eq(options.listen[0], "vsock:1");
}
END_TEST

/* The usage and the manual page */

/* The manual page, with "-" for its "\-". */
static char *read_page(void)
{
    static char page[65536];
    char path[512];
    const char *source = getenv("SOURCE_DIR");
    snprintf(path, sizeof path, "%s/packaging/man/nullspace-agent.8", source ? source : ".");
    FILE *stream = fopen(path, "re");
    ck_assert_msg(stream, "%s", path);
    size_t length = fread(page, 1, sizeof page, stream);
    ck_assert_uint_lt(length, sizeof page);
    page[length] = '\0';
    fclose(stream);
    char *to = page;
    for (const char *from = page; *from; from++)
        if (from[0] != '\\' || from[1] != '-')
            *to++ = *from;
    *to = '\0';
    return page;
}

/* As a whole word, so that a longer name does not count. */
static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if (strchr(" ,\n", at[length]))
            return true;
    return false;
}

START_TEST(the_usage_names_every_option_and_role)
{
    bool has_value;
    const char *name;
    for (unsigned i = 0; (name = options_name(i, &has_value)); i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "--%s", name);
        ck_assert_msg(has_word(options_usage, wanted), "%s", wanted);
    }
    for (int role = 0; role < ROLE_COUNT; role++)
        ck_assert_ptr_nonnull(strstr(strstr(options_usage, "--role"), role_name((enum role)role)));
}
END_TEST

/* In its section, options are written `.BI --name " VALUE"`, or `.B --name` without a value. */
START_TEST(the_manual_page_describes_every_option_and_no_other)
{
    char *page = read_page();
    char *section = strstr(page, "\n.SH OPTIONS\n");
    ck_assert_ptr_nonnull(section);
    char *end = strstr(section + 1, "\n.SH ");
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    unsigned count = 0, described = 0;
    bool has_value;
    const char *name;
    for (; (name = options_name(count, &has_value)); count++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "\n.TP\n%s --%s%s", has_value ? ".BI" : ".B", name,
                 has_value ? " \" " : "\n");
        ck_assert_msg(strstr(section, wanted), "--%s is not in the manual page", name);
    }
    for (const char *at = section; (at = strstr(at, "\n.TP\n.B")); at++)
        described += strncmp(at + strcspn(at + 1, " ") + 2, "--", 2) == 0;
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_eq(described, count);
}
END_TEST

START_TEST(the_manual_page_describes_every_role)
{
    char *page = read_page();
    const char *section = strstr(page, "\n.SH ROLES\n");
    ck_assert_ptr_nonnull(section);
    for (int role = ROLE_AUTO + 1; role < ROLE_COUNT; role++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "\n.TP\n.B %s\n", role_name((enum role)role));
        const char *at = strstr(section, wanted);
        ck_assert_msg(at && at < strstr(section + 1, "\n.SH "), "%s", wanted);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("options");
    TCase *tests = tcase_create("options");
    tcase_add_test(tests, only_an_address_is_needed);
    tcase_add_test(tests, every_option_is_read);
    tcase_add_test(tests, parsing_again_starts_anew);
    tcase_add_test(tests, without_an_address_only_help_and_version_work);
    tcase_add_test(tests, a_configuration_file_may_name_the_addresses);
    tcase_add_test(tests, pid_1_needs_no_address_and_takes_the_kernels_words);
    tcase_add_test(tests, the_way_to_switch_off_is_one_of_three);
    tcase_add_test(tests, giving_up_needs_a_number_of_tries_and_an_action);
    tcase_add_test(tests, a_role_is_given_by_its_name);
    tcase_add_test(tests, the_last_of_two_counts);
    tcase_add_test(tests, words_and_options_that_there_are_not_are_refused_by_name);
    tcase_add_test(tests, an_address_counts_once_and_there_are_not_too_many);
    tcase_add_test(tests, numbers_are_whole_and_in_range);
    tcase_add_test(tests, levels_and_directories_are_checked);
    tcase_add_test(tests, a_refusal_changes_no_options);
    tcase_add_test(tests, the_usage_names_every_option_and_role);
    tcase_add_test(tests, the_manual_page_describes_every_option_and_no_other);
    tcase_add_test(tests, the_manual_page_describes_every_role);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
