/* The staging pipes when system calls fail or do only a part: every byte arrives once, in order,
 * after a recovery where one is needed. Calls fail one at a time, at each possible place. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/process/stage.h"
#include "tests/support/fault.h"
#include "tests/support/unit.h"

enum { RING_BYTES = 1 << 17, TOTAL = 200000, PIECE = 30000, CALLS_MAX = 1000 };

static uint8_t sent[TOTAL], received[TOTAL], ring_bytes[RING_BYTES];
static struct table_stage journal;
static struct ring_state state;
static struct ring ring = {&state, ring_bytes};
static struct stage stage;
static int ends[2];

static void open_all(void)
{
    int fds[2];
    for (size_t i = 0; i < TOTAL; i++)
        sent[i] = (uint8_t)(i * 2654435761U >> 13);
    memset(received, 0, sizeof received);
    journal = (struct table_stage){0};
    ring_init_state(&state, RING_BYTES);
    state.size = RING_BYTES;
    ck_assert_int_eq(stage_make_pipe(fds, NULL), 0);
    stage = (struct stage){&journal, fds[0], fds[1]};
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
}

static void close_all(void)
{
    close(stage.read_fd);
    close(stage.write_fd);
    close(ends[0]);
    close(ends[1]);
}

/* Takes what is in the ring. Returns where it ends. */
static uint64_t drain_ring(uint64_t from)
{
    for (uint64_t at = from; at < state.head; at++)
        received[at] = ring_bytes[at % RING_BYTES];
    return state.head;
}

/* Makes one move, and does what a successor does when it fails. */
static void move_output(void)
{
    enum stage_result result;
    uint64_t moved;
    if (stage_move_output(&stage, ends[0], &ring, 0, 0, RING_BYTES, &result, &moved, NULL) == 0)
        return;
    while (stage_recover_output(&stage, &ring, NULL) < 0)
        continue;
}

static void send_output(void)
{
    uint64_t written = 0, taken = 0;
    while (taken < TOTAL) {
        size_t length = TOTAL - written < PIECE ? TOTAL - written : PIECE;
        ssize_t got = length > 0 ? write(ends[1], sent + written, length) : 0;
        written += got > 0 ? (uint64_t)got : 0;
        move_output();
        taken = drain_ring(taken);
    }
}

static void move_input(uint64_t *offset)
{
    enum stage_result result;
    uint64_t moved;
    size_t length = TOTAL - *offset < PIECE ? TOTAL - *offset : PIECE;
    if (stage_move_input(&stage, ends[1], 0, sent + *offset, length, offset, &result, &moved,
                         NULL) == 0)
        return;
    while (stage_recover_input(&stage, offset, NULL) < 0)
        continue;
}

static void send_input(void)
{
    uint64_t offset = 0, taken = 0;
    for (unsigned turn = 0; taken < TOTAL; turn++) {
        if (offset < TOTAL)
            move_input(&offset);
        /* Only now and then, so that the pipe is full in between. */
        if (offset < TOTAL && turn % 4 != 0)
            continue;
        ssize_t got = read(ends[0], received + taken, TOTAL - taken);
        taken += got > 0 ? (uint64_t)got : 0;
    }
}

static const struct {
    uint32_t kind;
    int error;
} faults[] = {
    {FAULT_READ, EIO},     {FAULT_READ, EINTR}, {FAULT_READ, 0},        {FAULT_WRITE, EIO},
    {FAULT_WRITE, EINTR},  {FAULT_WRITE, 0},    {FAULT_SPLICE, EINTR},  {FAULT_SPLICE, EAGAIN},
    {FAULT_SPLICE, EPERM}, {FAULT_SPLICE, 0},   {FAULT_SPLICE, ENOMEM}, {FAULT_OTHER, EINVAL},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static void each_call_fails(int fault, void (*send)(void))
{
    uint64_t first = 1;
    for (bool failed = true; failed; first++) {
        open_all();
        fault_arm(faults[fault].kind, faults[fault].error, first);
        send();
        failed = fault_disarm() > 0;
        ck_assert_msg(memcmp(received, sent, TOTAL) == 0, "call %lu", (unsigned long)first);
        ck_assert_int_eq(journal.phase, TABLE_STAGE_EMPTY);
        close_all();
        ck_assert_uint_lt(first, CALLS_MAX);
    }
}

START_TEST(output_arrives_whole)
{
    each_call_fails(_i, send_output);
}
END_TEST

START_TEST(input_arrives_whole)
{
    each_call_fails(_i, send_input);
}
END_TEST

START_TEST(nothing_moves_before_a_failed_move_is_recovered)
{
    enum stage_result result;
    uint64_t moved;
    struct nsp_error err;
    open_all();
    ck_assert_int_eq(write(ends[1], sent, 1000), 1000);
    fault_arm(FAULT_READ, EIO, 1);
    int failed = stage_move_output(&stage, ends[0], &ring, 0, 0, 1000, &result, &moved, NULL);
    ck_assert_uint_eq(fault_disarm(), 1);
    ck_assert_int_eq(failed, -1);
    failed = stage_move_output(&stage, ends[0], &ring, 1, 1, 1000, &result, &moved, &err);
    ck_assert_int_eq(failed, -1);
    ck_assert_int_eq(err.code, NSP_E_STATE);
    ck_assert_int_eq(stage_recover_output(&stage, &ring, NULL), 0);
    ck_assert_uint_eq(state.head, 1000);
    ck_assert_mem_eq(ring_bytes, sent, 1000);
    close_all();
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault stage");
    TCase *tcase = tcase_create("every call");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, output_arrives_whole, 0, FAULTS);
    tcase_add_loop_test(tcase, input_arrives_whole, 0, FAULTS);
    tcase_add_test(tcase, nothing_moves_before_a_failed_move_is_recovered);
    suite_add_tcase(all, tcase);
    return all;
}

UNIT_MAIN(suite)
