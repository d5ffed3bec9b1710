#include "agent/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/unit.h"

static int output; /* what is written to standard error */

static void catch_output(void)
{
    int pair[2];
    ck_assert_int_eq(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
    close(pair[1]);
    output = pair[0];
    log_init("test", LOG_INFO);
}

static const char *written(void)
{
    static char text[8192];
    ssize_t length = read(output, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static const char *tail(unsigned lines)
{
    static char text[70000];
    text[log_tail(text, sizeof text - 1, lines)] = '\0';
    return text;
}

START_TEST(a_line_has_time_level_role_message_and_pairs)
{
    log_info("something happened", "number=%d name=%s", 7, "x");
    const char *line = written();
    ck_assert_int_eq(strncmp(line, "t=20", 4), 0);
    ck_assert_ptr_nonnull(
        strstr(line, "Z level=info role=test msg=\"something happened\" number=7 name=x\n"));
}
END_TEST

START_TEST(a_line_may_have_no_pairs)
{
    log_warn("alone", NULL);
    const char *line = written();
    ck_assert_ptr_nonnull(strstr(line, " level=warn role=test msg=\"alone\"\n"));
}
END_TEST

START_TEST(lines_below_the_level_are_not_made)
{
    log_debug("no", NULL);
    ck_assert_str_eq(written(), "");
    ck_assert_str_eq(tail(10), "");
    log_init("test", LOG_DEBUG);
    log_debug("yes", NULL);
    ck_assert_ptr_nonnull(strstr(written(), "level=debug"));
    ck_assert_int_eq(log_level_get(), LOG_DEBUG);
}
END_TEST

START_TEST(levels_have_names)
{
    enum log_level level = LOG_INFO;
    ck_assert_int_eq(log_level_by_name("debug", &level), 0);
    ck_assert_int_eq(level, LOG_DEBUG);
    ck_assert_int_eq(log_level_by_name("error", &level), 0);
    ck_assert_int_eq(level, LOG_ERROR);
    ck_assert_int_eq(log_level_by_name("loud", &level), -1);
    ck_assert_int_eq(level, LOG_ERROR);
}
END_TEST

START_TEST(the_time_is_the_one_libc_computes)
{
    for (int i = 0; i < 3; i++) {
        struct tm parts;
        char expected[32];
        time_t before = time(NULL);
        log_info("x", NULL);
        time_t after = time(NULL);
        const char *line = written();
        if (before != after)
            continue;
        gmtime_r(&before, &parts);
        strftime(expected, sizeof expected, "t=%Y-%m-%dT%H:%M:%S.", &parts);
        ck_assert_int_eq(strncmp(line, expected, strlen(expected)), 0);
        return;
    }
}
END_TEST

START_TEST(an_error_is_told_with_all_its_parts)
{
    struct nsp_error err;
    nsp_fail_errno(&err, NSP_E_SPAWN, ENOENT, "chdir", "/no\nwhere");
    log_error(LOG_ERROR, "not started", &err);
    const char *line = written();
    ck_assert_ptr_nonnull(strstr(line,
                                 "level=error role=test msg=\"not started\" error=SPAWN "
                                 "errno=ENOENT op=chdir object=\"/no\\nwhere\" detail=\"chdir: "));
    nsp_fail(&err, NSP_E_STATE, "so");
    log_error(LOG_WARN, "no", &err);
    ck_assert_ptr_nonnull(
        strstr(written(), "error=STATE errno=- op=- object=\"\" detail=\"so\"\n"));
}
END_TEST

START_TEST(a_long_line_is_cut_and_stays_one_line)
{
    static char big[5000];
    memset(big, 'y', sizeof big - 1);
    log_info("big", "text=%s", big);
    const char *line = written();
    ck_assert_uint_eq(strlen(line), 1024);
    ck_assert_int_eq(line[1023], '\n');
    log_info("lines", "text=a\nb\033[1m");
    line = written();
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
    ck_assert_ptr_nonnull(strstr(line, "text=a?b?[1m"));
}
END_TEST

START_TEST(a_reader_that_does_not_read_delays_nothing_and_is_told)
{
    for (int i = 0; i < 5000; i++) /* more than a pipe takes; the test would hang here */
        log_info("flood", "i=%d", i);
    ck_assert_ptr_nonnull(strstr(tail(1), "i=4999"));
    while (written()[0])
        ;
    log_info("after", NULL);
    const char *text = written();
    ck_assert_ptr_nonnull(strstr(text, "lines left out"));
    ck_assert_ptr_nonnull(strstr(text, "msg=\"after\""));
}
END_TEST

START_TEST(the_tail_has_the_last_lines_in_their_order)
{
    for (int i = 0; i < 5; i++)
        log_info("line", "i=%d", i);
    ck_assert_ptr_null(strstr(tail(2), "i=2"));
    ck_assert_ptr_nonnull(strstr(tail(2), "i=3\n"));
    ck_assert_ptr_nonnull(strstr(tail(2), "i=4\n"));
    ck_assert_int_eq(strncmp(tail(2), "t=", 2), 0);
    ck_assert_ptr_nonnull(strstr(tail(100), "i=0\n"));
    ck_assert_str_eq(tail(0), "");
}
END_TEST

START_TEST(the_tail_holds_whole_lines_only_however_small_the_room)
{
    char text[200];
    for (int i = 0; i < 3000; i++) /* goes round several times */
        log_info("line", "i=%d", i);
    const char *all = tail(100000);
    ck_assert_uint_gt(strlen(all), 60000);
    ck_assert_int_eq(strncmp(all, "t=", 2), 0);
    size_t length = log_tail(text, sizeof text, 100000);
    ck_assert_uint_gt(length, 0);
    ck_assert_int_eq(strncmp(text, "t=", 2), 0);
    ck_assert_int_eq(text[length - 1], '\n');
    ck_assert_uint_eq(log_tail(text, 10, 100000), 0);
}
END_TEST

START_TEST(quoting_escapes_what_is_not_plain)
{
    char text[64];
    ck_assert_str_eq(log_quote(text, sizeof text, "plain", 5), "\"plain\"");
    ck_assert_str_eq(log_quote(text, sizeof text, "", 0), "\"\"");
    ck_assert_str_eq(log_quote(text, sizeof text, "a\"b\\c\n\0\377", 8),
                     "\"a\\\"b\\\\c\\n\\x00\\xff\"");
}
END_TEST

START_TEST(quoting_cuts_to_the_room_there_is)
{
    for (size_t capacity = 8; capacity < 40; capacity++) {
        char *text = malloc(capacity); /* so that a byte too many is noticed */
        log_quote(text, capacity, "0123456789\"\"\"\"\001\001abcd", 20);
        size_t length = strlen(text);
        ck_assert_uint_lt(length, capacity);
        ck_assert_str_eq(text + length - (capacity < 33 ? 4 : 2), capacity < 33 ? "\"..." : "d\"");
        free(text);
    }
    char text[8];
    ck_assert_str_eq(log_quote(text, sizeof text, "abcdef", 6), "\"ab\"...");
    ck_assert_str_eq(log_quote(text, sizeof text, "abcde", 5), "\"abcde\"");
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("log");
    TCase *lines = tcase_create("lines");
    tcase_add_checked_fixture(lines, catch_output, NULL);
    tcase_add_test(lines, a_line_has_time_level_role_message_and_pairs);
    tcase_add_test(lines, a_line_may_have_no_pairs);
    tcase_add_test(lines, lines_below_the_level_are_not_made);
    tcase_add_test(lines, levels_have_names);
    tcase_add_test(lines, the_time_is_the_one_libc_computes);
    tcase_add_test(lines, an_error_is_told_with_all_its_parts);
    tcase_add_test(lines, a_long_line_is_cut_and_stays_one_line);
    tcase_add_test(lines, a_reader_that_does_not_read_delays_nothing_and_is_told);
    tcase_add_test(lines, the_tail_has_the_last_lines_in_their_order);
    tcase_add_test(lines, the_tail_holds_whole_lines_only_however_small_the_room);
    tcase_add_test(lines, quoting_escapes_what_is_not_plain);
    tcase_add_test(lines, quoting_cuts_to_the_room_there_is);
    suite_add_tcase(all, lines);
    return all;
}

UNIT_MAIN(suite)
