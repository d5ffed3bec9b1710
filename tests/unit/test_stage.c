/* The staging pipes against real deaths: a child moves bytes and is killed with SIGKILL at random
 * moments; the parent recovers as a successor agent would, and goes on. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/process/stage.h"
#include "tests/support/unit.h"

enum { RING_BYTES = 1 << 17, KILLS = 200 };

struct memory {
    struct table_stage journal;
    struct ring_state state;
    uint64_t input_offset;
    uint8_t bytes[RING_BYTES];
};

static struct memory *memory;
static struct ring ring;
static struct stage stage;
static int pipe_fds[2];

static void setup(void)
{
    memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ring_init_state(&memory->state, RING_BYTES);
    memory->state.size = RING_BYTES;
    ring = (struct ring){&memory->state, memory->bytes};
    int ends[2];
    ck_assert_int_eq(stage_make_pipe(ends, NULL), 0);
    stage = (struct stage){&memory->journal, ends[0], ends[1]};
    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
}

static void teardown(void)
{
    munmap(memory, sizeof *memory);
    close(stage.read_fd);
    close(stage.write_fd);
    close(pipe_fds[0]);
    if (pipe_fds[1] >= 0)
        close(pipe_fds[1]);
}

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)((offset * 2654435761U) >> 13);
}

static void fill(uint8_t *bytes, uint64_t offset, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(offset + i);
}

static enum stage_result move_output(uint64_t *moved)
{
    enum stage_result result = STAGE_END;
    ck_assert_int_eq(
        stage_move_output(&stage, pipe_fds[0], &ring, 0, 0, RING_BYTES, &result, moved, NULL), 0);
    return result;
}

START_TEST(output_arrives_at_the_head)
{
    uint64_t moved = 0;
    ck_assert_int_eq(write(pipe_fds[1], "hello", 5), 5);
    ck_assert_int_eq(move_output(&moved), STAGE_MOVED);
    ck_assert_uint_eq(moved, 5);
    ck_assert_uint_eq(memory->state.head, 5);
    ck_assert_mem_eq(memory->bytes, "hello", 5);
}
END_TEST

START_TEST(an_empty_pipe_and_a_closed_one_are_told_apart)
{
    uint64_t moved = 1;
    ck_assert_int_eq(move_output(&moved), STAGE_NOTHING);
    ck_assert_uint_eq(moved, 0);
    close(pipe_fds[1]);
    pipe_fds[1] = -1;
    ck_assert_int_eq(move_output(&moved), STAGE_END);
    ck_assert_int_eq(memory->journal.phase, TABLE_STAGE_EMPTY);
}
END_TEST

START_TEST(input_counts_only_what_the_pipe_took)
{
    static uint8_t bytes[STAGE_BYTES];
    fill(bytes, 0, sizeof bytes);
    enum stage_result result;
    uint64_t moved = 0;
    ck_assert_int_eq(stage_move_input(&stage, pipe_fds[1], 0, bytes, sizeof bytes,
                                      &memory->input_offset, &result, &moved, NULL),
                     0);
    ck_assert_int_eq(result, STAGE_MOVED);
    ck_assert_uint_eq(moved, 65536);
    ck_assert_uint_eq(memory->input_offset, moved);
    uint64_t again = 1;
    ck_assert_int_eq(stage_move_input(&stage, pipe_fds[1], 0, bytes + moved, 100,
                                      &memory->input_offset, &result, &again, NULL),
                     0);
    ck_assert_int_eq(result, STAGE_NOTHING);
    ck_assert_uint_eq(again, 0);
    static uint8_t got[STAGE_BYTES];
    ck_assert_int_eq(read(pipe_fds[0], got, sizeof got), (ssize_t)moved);
    ck_assert_mem_eq(got, bytes, moved);
}
END_TEST

START_TEST(input_without_a_reader_is_told)
{
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    enum stage_result result;
    uint64_t moved = 1;
    ck_assert_int_eq(
        stage_move_input(&stage, ends[1], 0, "x", 1, &memory->input_offset, &result, &moved, NULL),
        0);
    ck_assert_int_eq(result, STAGE_END);
    ck_assert_uint_eq(moved, 0);
    close(ends[1]);
}
END_TEST

static void kill_soon(pid_t child)
{
    struct timespec delay = {0, rand() % 2000000};
    nanosleep(&delay, NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void assert_ring_follows_pattern(void)
{
    struct iovec pieces[2];
    uint64_t offset = memory->state.tail, wrong = 0;
    int count = ring_read_slices(&ring, offset, UINT64_MAX, pieces);
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < pieces[i].iov_len; at++)
            wrong += ((uint8_t *)pieces[i].iov_base)[at] != pattern(offset++);
    ck_assert_uint_eq(wrong, 0);
}

/* A writer that never dies, so that each byte of the pipe has one known offset. */
static pid_t start_writer(void)
{
    pid_t writer = fork();
    if (writer != 0)
        return writer;
    static uint8_t bytes[3001];
    fcntl(pipe_fds[1], F_SETFL, 0);
    for (uint64_t offset = 0;; offset += sizeof bytes) {
        fill(bytes, offset, sizeof bytes);
        for (size_t done = 0; done < sizeof bytes;) {
            ssize_t written = write(pipe_fds[1], bytes + done, sizeof bytes - done);
            if (written <= 0)
                _exit(0);
            done += (size_t)written;
        }
    }
}

/* Without assertions: Check's messages of several processes would mix. */
static void move_output_for_ever(void)
{
    for (;;) {
        enum stage_result result;
        uint64_t moved;
        if (stage_move_output(&stage, pipe_fds[0], &ring, 0, 0, RING_BYTES, &result, &moved, NULL) <
            0)
            _exit(1);
    }
}

START_TEST(a_kill_at_any_moment_loses_no_output)
{
    pid_t writer = start_writer();
    uint64_t last = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t mover = fork();
        if (mover == 0)
            move_output_for_ever();
        kill_soon(mover);
        ck_assert_int_eq(stage_recover_output(&stage, &ring, NULL), 0);
        ck_assert_uint_ge(memory->state.head, last);
        last = memory->state.head;
        assert_ring_follows_pattern();
    }
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    ck_assert_uint_gt(last, 0);
}
END_TEST

static void move_input_for_ever(void)
{
    static uint8_t bytes[20011];
    for (;;) {
        enum stage_result result;
        uint64_t moved;
        fill(bytes, memory->input_offset, sizeof bytes);
        if (stage_move_input(&stage, pipe_fds[1], 0, bytes, sizeof bytes, &memory->input_offset,
                             &result, &moved, NULL) < 0)
            _exit(1);
    }
}

/* Reads what is there and checks it; returns the offset after it. */
static uint64_t read_input(uint64_t offset)
{
    static uint8_t got[65536];
    ssize_t length;
    uint64_t wrong = 0;
    while ((length = read(pipe_fds[0], got, sizeof got)) > 0)
        for (ssize_t i = 0; i < length; i++)
            wrong += got[i] != pattern(offset++);
    ck_assert_uint_eq(wrong, 0);
    return offset;
}

START_TEST(a_kill_at_any_moment_delivers_input_once)
{
    uint64_t read_offset = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t mover = fork();
        if (mover == 0)
            move_input_for_ever();
        for (int j = 0; j < 20; j++)
            read_offset = read_input(read_offset);
        kill_soon(mover);
        ck_assert_int_eq(stage_recover_input(&stage, &memory->input_offset, NULL), 0);
        read_offset = read_input(read_offset);
        ck_assert_uint_eq(memory->input_offset, read_offset);
    }
    ck_assert_uint_gt(read_offset, 0);
}
END_TEST

START_TEST(bytes_of_a_process_that_is_gone_are_thrown_away)
{
    memory->journal.phase = TABLE_STAGE_FILLING;
    ck_assert_int_eq(write(stage.write_fd, "old", 3), 3);
    ck_assert_int_eq(stage_recover_output(&stage, NULL, NULL), 0);
    uint64_t moved = 0;
    ck_assert_int_eq(write(pipe_fds[1], "new", 3), 3);
    ck_assert_int_eq(move_output(&moved), STAGE_MOVED);
    ck_assert_mem_eq(memory->bytes, "new", 3);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("stage");
    TCase *tests = tcase_create("stage");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, output_arrives_at_the_head);
    tcase_add_test(tests, an_empty_pipe_and_a_closed_one_are_told_apart);
    tcase_add_test(tests, input_counts_only_what_the_pipe_took);
    tcase_add_test(tests, input_without_a_reader_is_told);
    tcase_add_test(tests, a_kill_at_any_moment_loses_no_output);
    tcase_add_test(tests, a_kill_at_any_moment_delivers_input_once);
    tcase_add_test(tests, bytes_of_a_process_that_is_gone_are_thrown_away);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
