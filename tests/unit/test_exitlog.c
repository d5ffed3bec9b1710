#include "agent/handover/exitlog.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/os/memfd.h"
#include "tests/support/unit.h"

static struct exitlog *supervisor, *agent;
static int claims_fd, exits_fd;

static void make_both_sides(void)
{
    struct nsp_error err;
    ck_assert_int_eq(exitlog_create(&supervisor, &claims_fd, &exits_fd, &err), 0);
    ck_assert_int_eq(exitlog_open(claims_fd, exits_fd, &agent, &err), 0);
}

static void free_both_sides(void)
{
    exitlog_free(supervisor);
    exitlog_free(agent);
    close(claims_fd);
    close(exits_fd);
}

static enum exitlog_verdict record(pid_t pid, int status)
{
    siginfo_t info = {.si_code = CLD_EXITED};
    info.si_pid = pid;
    info.si_status = status;
    const struct rusage usage = {.ru_utime = {1, 2}, .ru_stime = {3, 4}, .ru_maxrss = 5000};
    return exitlog_record(supervisor, &info, &usage);
}

static void claim(unsigned slot, uint32_t generation, pid_t pid)
{
    *exitlog_claim(agent, slot, generation) = pid; /* as the kernel does */
}

START_TEST(an_exit_of_a_claimed_process_is_recorded_in_full)
{
    unsigned slot;
    struct exitlog_record got;
    claim(17, 99, 1234);
    ck_assert_int_eq(exitlog_claimed(supervisor, 17), 1234);
    ck_assert(!exitlog_peek(agent, &slot, &got));
    ck_assert_int_eq(record(1234, 7), EXITLOG_RECORDED);
    ck_assert(exitlog_peek(agent, &slot, &got));
    ck_assert_uint_eq(slot, 17);
    ck_assert_uint_eq(got.generation, 99);
    ck_assert_int_eq(got.pid, 1234);
    ck_assert_int_eq(got.code, CLD_EXITED);
    ck_assert_int_eq(got.status, 7);
    ck_assert_uint_eq(got.user_us, 1000002);
    ck_assert_uint_eq(got.system_us, 3000004);
    ck_assert_uint_eq(got.max_rss_kib, 5000);
    ck_assert_uint_gt(got.exited_ns, 0);
    ck_assert_int_gt(got.exited_unix_ms, 0);
}
END_TEST

START_TEST(recording_takes_the_claim_away)
{
    claim(3, 1, 50);
    ck_assert_int_eq(record(50, 0), EXITLOG_RECORDED);
    ck_assert_int_eq(exitlog_claimed(agent, 3), 0);
    ck_assert_int_eq(record(50, 0), EXITLOG_UNTRACKED);
}
END_TEST

START_TEST(an_exit_that_nobody_claims_is_untracked)
{
    unsigned slot;
    struct exitlog_record got;
    ck_assert_int_eq(record(77, 0), EXITLOG_UNTRACKED);
    ck_assert(!exitlog_peek(agent, &slot, &got));
}
END_TEST

START_TEST(a_claim_given_back_is_none)
{
    claim(5, 1, 60);
    exitlog_unclaim(agent, 5);
    ck_assert_int_eq(exitlog_claimed(agent, 5), 0);
    ck_assert_int_eq(record(60, 0), EXITLOG_UNTRACKED);
}
END_TEST

START_TEST(exits_are_read_in_their_order_until_acknowledged)
{
    unsigned slot;
    struct exitlog_record got;
    const unsigned slots[] = {9, 2, 5};
    for (int i = 0; i < 3; i++) {
        claim(slots[i], 1, 100 + i);
        ck_assert_int_eq(record(100 + i, i), EXITLOG_RECORDED);
    }
    for (int i = 0; i < 3; i++) {
        for (int twice = 0; twice < 2; twice++) {
            ck_assert(exitlog_peek(agent, &slot, &got));
            ck_assert_uint_eq(slot, slots[i]);
            ck_assert_int_eq(got.status, i);
        }
        exitlog_ack(agent);
    }
    ck_assert(!exitlog_peek(agent, &slot, &got));
}
END_TEST

START_TEST(a_slot_used_again_too_early_is_full_until_acknowledged)
{
    claim(4, 1, 200);
    ck_assert_int_eq(record(200, 1), EXITLOG_RECORDED);
    claim(4, 2, 201);
    ck_assert_int_eq(record(201, 2), EXITLOG_FULL);
    ck_assert_int_eq(exitlog_claimed(supervisor, 4), 201);
    exitlog_ack(agent);
    ck_assert_int_eq(record(201, 2), EXITLOG_RECORDED);

    unsigned slot;
    struct exitlog_record got;
    ck_assert(exitlog_peek(agent, &slot, &got));
    ck_assert_int_eq(got.status, 2);
    ck_assert_uint_eq(got.generation, 2);
}
END_TEST

START_TEST(every_slot_may_have_one_unread_exit_several_times_over)
{
    unsigned slot;
    struct exitlog_record got;
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < EXITLOG_SLOTS; i++)
            claim(i, (uint32_t)round, 1000 + (pid_t)i);
        for (unsigned i = 0; i < EXITLOG_SLOTS; i++)
            ck_assert_int_eq(record(1000 + (pid_t)i, round), EXITLOG_RECORDED);
        for (unsigned i = 0; i < EXITLOG_SLOTS; i++) {
            ck_assert(exitlog_peek(agent, &slot, &got));
            ck_assert_uint_eq(slot, i);
            ck_assert_int_eq(got.status, round);
            exitlog_ack(agent);
        }
    }
    ck_assert(!exitlog_peek(agent, &slot, &got));
}
END_TEST

START_TEST(the_next_agent_finds_claims_and_unread_exits)
{
    struct nsp_error err;
    unsigned slot;
    struct exitlog_record got;
    claim(1, 11, 300);
    claim(2, 12, 301);
    claim(3, 13, 302);
    record(300, 0);
    exitlog_ack(agent);
    record(301, 5);
    exitlog_free(agent);
    ck_assert_int_eq(exitlog_open(claims_fd, exits_fd, &agent, &err), 0);
    ck_assert(exitlog_peek(agent, &slot, &got));
    ck_assert_uint_eq(slot, 2);
    ck_assert_int_eq(got.status, 5);
    ck_assert_int_eq(exitlog_claimed(agent, 3), 302);
    ck_assert_uint_eq(exitlog_generation(agent, 3), 13);
    ck_assert_int_eq(exitlog_claimed(agent, 1), 0);
}
END_TEST

START_TEST(the_exits_cannot_be_mapped_writable_by_the_agent)
{
    struct stat status;
    ck_assert_int_eq(fstat(exits_fd, &status), 0);
    void *memory =
        mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, exits_fd, 0);
    ck_assert_ptr_eq(memory, MAP_FAILED);
    ck_assert_int_eq(ftruncate(exits_fd, 0), -1);
    ck_assert_int_eq(ftruncate(claims_fd, 0), -1);
}
END_TEST

START_TEST(memories_of_another_size_are_refused)
{
    struct nsp_error err;
    struct exitlog *log = NULL;
    int other;
    ck_assert_int_eq(memfd_new("other", 4096, &other, &err), 0);
    ck_assert_int_eq(exitlog_open(other, exits_fd, &log, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_UNSUPPORTED);
    ck_assert_int_eq(exitlog_open(claims_fd, other, &log, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_UNSUPPORTED);
    ck_assert_int_eq(exitlog_open(-1, exits_fd, &log, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_ptr_null(log);
    close(other);
}
END_TEST

/* What the order of stores in exitlog_record promises: no claim, then a record; and the other way
 * round a new claim of the same slot is never taken away. */
START_TEST(two_processes_hand_slots_over_without_loss)
{
    enum { ROUNDS = 200000, SLOT = 6 };
    pid_t other = fork();
    if (other == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            pid_t pid;
            while ((pid = exitlog_claimed(supervisor, SLOT)) == 0)
                usleep(0);
            if (record(pid, i & 127) != EXITLOG_RECORDED)
                _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        unsigned slot;
        struct exitlog_record got;
        claim(SLOT, (uint32_t)i, 1000 + i);
        while (exitlog_claimed(agent, SLOT) != 0 && !exitlog_peek(agent, &slot, &got))
            usleep(0);
        ck_assert(exitlog_peek(agent, &slot, &got));
        ck_assert_int_eq(got.pid, 1000 + i);
        ck_assert_uint_eq(got.generation, (unsigned)i);
        exitlog_ack(agent);
    }
    int status;
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert_int_eq(status, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("exitlog");
    TCase *log = tcase_create("both sides");
    tcase_add_checked_fixture(log, make_both_sides, free_both_sides);
    tcase_set_timeout(log, 60);
    tcase_add_test(log, an_exit_of_a_claimed_process_is_recorded_in_full);
    tcase_add_test(log, recording_takes_the_claim_away);
    tcase_add_test(log, an_exit_that_nobody_claims_is_untracked);
    tcase_add_test(log, a_claim_given_back_is_none);
    tcase_add_test(log, exits_are_read_in_their_order_until_acknowledged);
    tcase_add_test(log, a_slot_used_again_too_early_is_full_until_acknowledged);
    tcase_add_test(log, every_slot_may_have_one_unread_exit_several_times_over);
    tcase_add_test(log, the_next_agent_finds_claims_and_unread_exits);
    tcase_add_test(log, the_exits_cannot_be_mapped_writable_by_the_agent);
    tcase_add_test(log, memories_of_another_size_are_refused);
    tcase_add_test(log, two_processes_hand_slots_over_without_loss);
    suite_add_tcase(all, log);
    return all;
}

UNIT_MAIN(suite)
