#include "agent/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/clock.h"
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

static struct logring_line kept;

static bool read_kept(struct logring_reader *reader, const char *text)
{
    return logring_read(reader, &kept) && strcmp(kept.text, text) == 0;
}

static unsigned count_kept(enum log_area area)
{
    struct logring_reader reader;
    unsigned lines = 0;
    log_reader_init(&reader, area, 0, LOG_DEBUG);
    while (logring_read(&reader, &kept))
        lines++;
    return lines;
}

static int make_memory(size_t size)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    return fd;
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
    ck_assert_uint_eq(count_kept(LOG_AREA_AGENT), 0);
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
    ck_assert_uint_gt(count_kept(LOG_AREA_AGENT), 1000);
    ck_assert_str_eq(kept.text, "msg=\"flood\" i=4999");
    while (written()[0])
        ;
    log_info("after", NULL);
    const char *text = written();
    ck_assert_ptr_nonnull(strstr(text, "lines left out"));
    ck_assert_ptr_nonnull(strstr(text, "msg=\"after\""));
}
END_TEST

START_TEST(lines_are_kept_without_what_is_told_apart)
{
    struct logring_reader reader;
    log_write(LOG_ERROR, "broken", "number=%d text=%s", 7, "a\nb");
    log_info("alone", NULL);
    log_reader_init(&reader, LOG_AREA_AGENT, 0, LOG_DEBUG);
    ck_assert(read_kept(&reader, "msg=\"broken\" number=7 text=a?b"));
    ck_assert_int_eq(kept.level, LOG_ERROR);
    ck_assert_int_ge(kept.unix_ms, clock_unix_ms() - 10000);
    ck_assert_int_le(kept.unix_ms, clock_unix_ms());
    ck_assert_str_eq(log_level_name(kept.level), "error");
    ck_assert(read_kept(&reader, "msg=\"alone\""));
    ck_assert_uint_eq(count_kept(LOG_AREA_SUPERVISOR), 0);
}
END_TEST

static unsigned told;

static void count_line(void *arg)
{
    ck_assert_ptr_eq(arg, &told);
    told++;
}

START_TEST(who_wants_to_know_is_told_of_each_line)
{
    log_on_line(count_line, &told);
    log_info("one", NULL);
    log_debug("not made", NULL);
    ck_assert_uint_eq(told, 1);
    log_on_line(NULL, NULL);
    log_info("two", NULL);
    ck_assert_uint_eq(told, 1);
}
END_TEST

START_TEST(shared_lines_outlive_their_writer)
{
    int fd = make_memory(LOG_SHARED_BYTES);
    log_info("before sharing", NULL);
    ck_assert_int_eq(log_share(fd, LOG_AREA_SUPERVISOR, NULL), 0);
    log_info("supervisor", NULL);
    for (int i = 1; i <= 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            log_share(fd, LOG_AREA_AGENT, NULL);
            close(fd);
            log_info("agent", "life=%d", i);
            raise(SIGKILL);
        }
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
    }
    log_info("supervisor again", NULL);

    struct logring_reader reader;
    log_reader_init(&reader, LOG_AREA_SUPERVISOR, 0, LOG_DEBUG);
    ck_assert(read_kept(&reader, "msg=\"before sharing\""));
    ck_assert(read_kept(&reader, "msg=\"supervisor\""));
    ck_assert(read_kept(&reader, "msg=\"supervisor again\""));
    ck_assert(!logring_read(&reader, &kept));
    log_reader_init(&reader, LOG_AREA_AGENT, 0, LOG_DEBUG);
    ck_assert(read_kept(&reader, "msg=\"agent\" life=1"));
    ck_assert(read_kept(&reader, "msg=\"agent\" life=2"));
    ck_assert_uint_eq(kept.sequence, 2);
    ck_assert(!logring_read(&reader, &kept));
    close(fd);
}
END_TEST

START_TEST(memory_that_cannot_be_shared_changes_nothing)
{
    struct nsp_error err;
    int fd = make_memory(LOG_SHARED_BYTES - 4096);
    log_info("one", NULL);
    ck_assert_int_eq(log_share(fd, LOG_AREA_AGENT, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_UNSUPPORTED);
    close(fd);
    ck_assert_int_eq(log_share(fd, LOG_AREA_AGENT, &err), -1);
    ck_assert_int_eq(err.sys_errno, EBADF);
    log_info("two", NULL);
    ck_assert_uint_eq(count_kept(LOG_AREA_AGENT), 2);
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
    tcase_add_test(lines, lines_are_kept_without_what_is_told_apart);
    tcase_add_test(lines, who_wants_to_know_is_told_of_each_line);
    tcase_add_test(lines, shared_lines_outlive_their_writer);
    tcase_add_test(lines, memory_that_cannot_be_shared_changes_nothing);
    tcase_add_test(lines, quoting_escapes_what_is_not_plain);
    tcase_add_test(lines, quoting_cuts_to_the_room_there_is);
    suite_add_tcase(all, lines);
    return all;
}

UNIT_MAIN(suite)
