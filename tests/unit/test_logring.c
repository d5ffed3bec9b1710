#include "agent/base/logring.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/unit.h"

enum { KILLS = 60, LINES_MAX = LOGRING_BYTES / 24 };

static void *memory;
static struct logring_writer writer;
static struct logring_reader reader;
static struct logring_line line;

static void setup(void)
{
    memory = mmap(NULL, LOGRING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    logring_writer_init(&writer, memory);
}

static void teardown(void)
{
    munmap(memory, LOGRING_BYTES);
}

static void write_text(enum log_level level, const char *text)
{
    logring_write(&writer, level, 1000, text, strlen(text));
}

static void read_from(uint64_t from)
{
    logring_reader_init(&reader, memory, from, LOG_DEBUG);
}

/* A line of which every byte follows from its number. */
static void write_numbered(unsigned number)
{
    char text[LOGRING_TEXT_MAX];
    size_t length = number % 500 + 1;
    memset(text, 'a' + (int)(number % 26), length);
    logring_write(&writer, LOG_INFO, number, text, length);
}

static void check_numbered(void)
{
    unsigned number = (unsigned)line.unix_ms;
    ck_assert_uint_eq(line.length, number % 500 + 1);
    ck_assert_uint_eq(strlen(line.text), line.length);
    bool whole = true; /* an assertion for each byte takes too long */
    for (size_t i = 0; i < line.length; i++)
        whole = whole && line.text[i] == 'a' + (int)(number % 26);
    ck_assert_msg(whole, "%s", line.text);
}

START_TEST(lines_come_back_in_their_order)
{
    write_text(LOG_WARN, "first");
    write_text(LOG_INFO, "");
    write_text(LOG_ERROR, "third");
    read_from(0);
    ck_assert(logring_read(&reader, &line));
    ck_assert_uint_eq(line.sequence, 1);
    ck_assert_int_eq(line.unix_ms, 1000);
    ck_assert_int_eq(line.level, LOG_WARN);
    ck_assert_str_eq(line.text, "first");
    ck_assert(logring_read(&reader, &line));
    ck_assert_str_eq(line.text, "");
    ck_assert(logring_read(&reader, &line));
    ck_assert_uint_eq(line.sequence, 3);
    ck_assert_str_eq(line.text, "third");
    ck_assert(!logring_read(&reader, &line));
    write_text(LOG_INFO, "fourth");
    ck_assert(logring_read(&reader, &line));
    ck_assert_str_eq(line.text, "fourth");
}
END_TEST

START_TEST(no_memory_is_an_empty_ring)
{
    logring_reader_init(&reader, NULL, 3, LOG_DEBUG);
    ck_assert(!logring_read(&reader, &line));
}
END_TEST

START_TEST(a_reader_begins_where_it_wants_and_at_the_level_it_wants)
{
    for (int i = 0; i < 8; i++)
        write_text(i % 2 ? LOG_WARN : LOG_INFO, i % 2 ? "warn" : "info");
    logring_reader_init(&reader, memory, 4, LOG_WARN);
    for (uint64_t sequence = 4; sequence <= 8; sequence += 2) {
        ck_assert(logring_read(&reader, &line));
        ck_assert_uint_eq(line.sequence, sequence);
    }
    ck_assert(!logring_read(&reader, &line));
    ck_assert_uint_eq(reader.next, 9);
    ck_assert_uint_eq(reader.lost, 0);
}
END_TEST

START_TEST(whoever_waits_for_the_first_line_is_told_what_it_missed)
{
    read_from(0);
    ck_assert(!logring_read(&reader, &line));
    for (unsigned i = 1; i <= 3000; i++)
        write_numbered(i);
    ck_assert(logring_read(&reader, &line));
    ck_assert_uint_gt(line.sequence, 2000);
    ck_assert_uint_eq(reader.lost, line.sequence - 1);
}
END_TEST

START_TEST(the_next_line_to_come_can_be_waited_for)
{
    write_text(LOG_INFO, "old");
    read_from(2);
    ck_assert(!logring_read(&reader, &line));
    write_text(LOG_INFO, "new");
    ck_assert(logring_read(&reader, &line));
    ck_assert_str_eq(line.text, "new");
}
END_TEST

START_TEST(a_place_of_another_ring_is_the_oldest)
{
    write_text(LOG_INFO, "only");
    read_from(3);
    ck_assert(logring_read(&reader, &line));
    ck_assert_str_eq(line.text, "only");
    ck_assert_uint_eq(reader.lost, 0);
}
END_TEST

START_TEST(the_oldest_lines_are_overwritten_and_counted)
{
    for (unsigned i = 1; i <= 3000; i++)
        write_numbered(i);
    read_from(0);
    ck_assert(logring_read(&reader, &line));
    uint64_t oldest = line.sequence;
    ck_assert_uint_gt(oldest, 2000);
    ck_assert_uint_eq(reader.lost, 0);

    read_from(7);
    unsigned lines = 0;
    while (logring_read(&reader, &line)) {
        ck_assert_uint_eq(line.sequence, (uint64_t)line.unix_ms);
        ck_assert_uint_eq(line.sequence, oldest + lines);
        check_numbered();
        lines++;
    }
    ck_assert_uint_eq(oldest + lines, 3001);
    ck_assert_uint_eq(reader.lost, oldest - 7);
}
END_TEST

START_TEST(a_reader_that_is_overtaken_goes_on_with_the_oldest)
{
    write_numbered(1);
    read_from(0);
    ck_assert(logring_read(&reader, &line));
    for (unsigned i = 2; i <= 3000; i++)
        write_numbered(i);
    ck_assert(logring_read(&reader, &line));
    ck_assert_uint_gt(line.sequence, 2000);
    ck_assert_uint_eq(reader.lost, line.sequence - 2);
    check_numbered();
}
END_TEST

START_TEST(a_line_that_is_too_long_is_cut)
{
    char text[LOGRING_TEXT_MAX + 10];
    memset(text, 'x', sizeof text);
    logring_write(&writer, LOG_INFO, 1, text, sizeof text);
    read_from(0);
    ck_assert(logring_read(&reader, &line));
    ck_assert_uint_eq(line.length, LOGRING_TEXT_MAX);
}
END_TEST

START_TEST(a_successor_goes_on_where_the_writer_was)
{
    for (unsigned i = 1; i <= 1000; i++)
        write_numbered(i);
    logring_writer_init(&writer, memory);
    for (unsigned i = 1001; i <= 1010; i++)
        write_numbered(i);
    read_from(995);
    for (unsigned i = 995; i <= 1010; i++) {
        ck_assert(logring_read(&reader, &line));
        ck_assert_uint_eq(line.sequence, i);
        check_numbered();
    }
    ck_assert(!logring_read(&reader, &line));
}
END_TEST

/* What is there is sound: every line is whole, and the sequences have no holes but for what a
 * writer has overwritten meanwhile. Returns the last. */
static uint64_t check_lines(unsigned most)
{
    uint64_t last = 0, lost = 0;
    read_from(0);
    while (most-- > 0 && logring_read(&reader, &line)) {
        if (last > 0)
            ck_assert_uint_eq(line.sequence, last + 1 + reader.lost - lost);
        lost = reader.lost;
        check_numbered();
        last = line.sequence;
    }
    return last;
}

START_TEST(a_writer_that_is_killed_leaves_a_sound_ring)
{
    uint64_t last = 0;
    unsigned random = 12345;
    for (unsigned i = 0; i < KILLS; i++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            logring_writer_init(&writer, memory);
            for (unsigned number = 1;; number++)
                write_numbered(number);
        }
        random = random * 1103515245 + 12345;
        usleep(200 + (random >> 16) % 2000);
        if (i % 2)
            check_lines(500); /* beside a writer that writes */
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        uint64_t now = check_lines(LINES_MAX);
        ck_assert_uint_eq(reader.lost, 0);
        ck_assert_uint_ge(now, last);
        last = now;
    }
    ck_assert_uint_gt(last, KILLS);
}
END_TEST

static unsigned read_all(void)
{
    unsigned lines = 0;
    while (logring_read(&reader, &line)) {
        ck_assert_uint_le(line.length, LOGRING_TEXT_MAX);
        ck_assert_uint_le(line.level, LOG_ERROR);
        ck_assert_uint_eq(line.text[line.length], '\0');
        lines++;
    }
    ck_assert_uint_le(lines, LINES_MAX);
    return lines;
}

START_TEST(any_bytes_can_be_read_and_taken_over)
{
    unsigned char *bytes = memory;
    unsigned random = 1;
    for (unsigned round = 0; round < 100; round++) {
        memset(memory, 0, LOGRING_BYTES);
        logring_writer_init(&writer, memory);
        for (unsigned i = 1; i <= 600; i++)
            write_numbered(i + round);
        /* The positions at the beginning are the most likely to be spoiled. */
        for (unsigned i = 0; i < 40; i++) {
            random = random * 1103515245 + 12345;
            unsigned at = (random >> 8) % (round % 2 ? 24 : LOGRING_BYTES);
            bytes[at] = (unsigned char)(random >> 24);
        }
        read_from(round % 3 ? 0 : 77);
        read_all();
        if (round % 2)
            logring_writer_init(&writer, memory);
        for (unsigned i = 1; i <= 1000; i++)
            write_numbered(i);
        logring_writer_init(&writer, memory);
        write_numbered(1);
        read_from(0);
        ck_assert_uint_gt(read_all(), 0);
    }
}
END_TEST

START_TEST(nothing_but_noise_is_an_empty_ring)
{
    static const int fills[] = {0xff, 0x7f, 0x08, 0x01};
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++) {
        memset(memory, fills[i], LOGRING_BYTES);
        read_from(0);
        ck_assert_uint_eq(read_all(), 0);
        logring_writer_init(&writer, memory);
        write_text(LOG_INFO, "after");
        read_from(0);
        ck_assert(logring_read(&reader, &line));
        ck_assert_uint_eq(line.sequence, 1);
        ck_assert_str_eq(line.text, "after");
    }
}
END_TEST

START_TEST(a_reader_notices_that_its_ring_was_emptied)
{
    for (unsigned i = 1; i <= 10; i++)
        write_numbered(i);
    read_from(0);
    ck_assert_uint_eq(read_all(), 10);
    memset(memory, 0xff, LOGRING_BYTES);
    logring_writer_init(&writer, memory);
    write_text(LOG_INFO, "new");
    ck_assert(logring_read(&reader, &line));
    ck_assert_str_eq(line.text, "new");
    ck_assert_uint_eq(reader.lost, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("logring");
    TCase *lines = tcase_create("lines");
    tcase_add_checked_fixture(lines, setup, teardown);
    tcase_set_timeout(lines, 30);
    tcase_add_test(lines, lines_come_back_in_their_order);
    tcase_add_test(lines, no_memory_is_an_empty_ring);
    tcase_add_test(lines, a_reader_begins_where_it_wants_and_at_the_level_it_wants);
    tcase_add_test(lines, whoever_waits_for_the_first_line_is_told_what_it_missed);
    tcase_add_test(lines, the_next_line_to_come_can_be_waited_for);
    tcase_add_test(lines, a_place_of_another_ring_is_the_oldest);
    tcase_add_test(lines, the_oldest_lines_are_overwritten_and_counted);
    tcase_add_test(lines, a_reader_that_is_overtaken_goes_on_with_the_oldest);
    tcase_add_test(lines, a_line_that_is_too_long_is_cut);
    tcase_add_test(lines, a_successor_goes_on_where_the_writer_was);
    tcase_add_test(lines, a_writer_that_is_killed_leaves_a_sound_ring);
    tcase_add_test(lines, any_bytes_can_be_read_and_taken_over);
    tcase_add_test(lines, nothing_but_noise_is_an_empty_ring);
    tcase_add_test(lines, a_reader_notices_that_its_ring_was_emptied);
    suite_add_tcase(all, lines);
    return all;
}

UNIT_MAIN(suite)
