/* What happened at boot, in a memory that two processes share. */
#include "agent/handover/bootreport.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/os/memfd.h"
#include "tests/support/unit.h"

static struct bootreport *ours, *theirs;
static int fd;
static struct nsp_error err;

static void make_report(void)
{
    err = NSP_ERROR_INIT;
    ck_assert_int_eq(bootreport_create(&ours, &fd, &err), 0);
    ck_assert_int_eq(bootreport_open(fd, &theirs, &err), 0);
}

static void free_report(void)
{
    bootreport_close(ours);
    bootreport_close(theirs);
    close(fd);
}

START_TEST(a_step_is_seen_by_the_other_side_while_it_runs_and_after_it)
{
    struct bootreport_step *step = bootreport_begin(ours, "proc", 0);
    ck_assert_uint_eq(bootreport_count(theirs), 1);
    const struct bootreport_step *seen = bootreport_find(theirs, "proc");
    ck_assert_ptr_eq(seen, bootreport_at(theirs, 0));
    ck_assert_int_eq(seen->state, BOOTREPORT_RUNNING);
    ck_assert_uint_gt(seen->started_ns, 0);
    ck_assert_uint_eq(seen->ended_ns, 0);
    bootreport_end(step, BOOTREPORT_DONE, "mounted", NULL);
    ck_assert_int_eq(seen->state, BOOTREPORT_DONE);
    ck_assert_uint_ge(seen->ended_ns, seen->started_ns);
    ck_assert_str_eq(seen->detail, "mounted");
    ck_assert_uint_eq(seen->by_agent, 0);
}
END_TEST

START_TEST(steps_stay_in_their_order_with_who_took_them)
{
    bootreport_begin(ours, "first", 0);
    bootreport_begin(theirs, "second", 7);
    bootreport_begin(ours, "third", 0);
    ck_assert_uint_eq(bootreport_count(ours), 3);
    ck_assert_str_eq(bootreport_at(ours, 1)->name, "second");
    ck_assert_uint_eq(bootreport_at(ours, 1)->by_agent, 1);
    ck_assert_str_eq(bootreport_at(ours, 2)->name, "third");
    ck_assert_ptr_null(bootreport_at(ours, 3));
    ck_assert_ptr_null(bootreport_find(ours, "fourth"));
    ck_assert_ptr_null(bootreport_find(ours, "sec"));
}
END_TEST

START_TEST(a_failure_keeps_its_code_and_errno_and_other_ends_do_not)
{
    struct bootreport_step *failed = bootreport_begin(ours, "failed", 0);
    struct bootreport_step *skipped = bootreport_begin(ours, "skipped", 0);
    nsp_fail_errno(&err, NSP_E_SYSTEM, ENODEV, "mount", "/dev");
    bootreport_end(failed, BOOTREPORT_FAILED, NULL, &err);
    bootreport_end(skipped, BOOTREPORT_SKIPPED, NULL, &err);
    ck_assert_int_eq(failed->code, NSP_E_SYSTEM);
    ck_assert_int_eq(failed->sys_errno, ENODEV);
    ck_assert_str_eq(failed->detail, err.msg);
    ck_assert_int_eq(skipped->code, 0);
    ck_assert_int_eq(skipped->sys_errno, 0);
    ck_assert_str_eq(skipped->detail, "");
}
END_TEST

START_TEST(a_detail_goes_before_the_message_of_the_error)
{
    struct bootreport_step *step = bootreport_begin(ours, "root", 0);
    nsp_fail(&err, NSP_E_STATE, "the message");
    bootreport_end(step, BOOTREPORT_FAILED, "the detail", &err);
    ck_assert_str_eq(step->detail, "the detail: the message");
    ck_assert_int_eq(step->code, NSP_E_STATE);
}
END_TEST

START_TEST(names_and_details_are_cut_and_found_all_the_same)
{
    char name[BOOTREPORT_NAME * 2], detail[BOOTREPORT_DETAIL * 2];
    memset(name, 'n', sizeof name - 1);
    memset(detail, 'd', sizeof detail - 1);
    name[sizeof name - 1] = detail[sizeof detail - 1] = '\0';
    struct bootreport_step *step = bootreport_begin(ours, name, 0);
    bootreport_end(step, BOOTREPORT_DONE, detail, NULL);
    ck_assert_uint_eq(strlen(step->name), BOOTREPORT_NAME - 1);
    ck_assert_uint_eq(strlen(step->detail), BOOTREPORT_DETAIL - 1);
    ck_assert_ptr_eq(bootreport_find(ours, name), step);
}
END_TEST

START_TEST(a_full_report_takes_no_more_and_nothing_breaks)
{
    for (unsigned i = 0; i < BOOTREPORT_STEPS; i++)
        ck_assert_ptr_nonnull(bootreport_begin(ours, "step", 1));
    struct bootreport_step *beyond = bootreport_begin(ours, "beyond", 1);
    ck_assert_ptr_null(beyond);
    bootreport_end(beyond, BOOTREPORT_DONE, "nothing", NULL);
    ck_assert_uint_eq(bootreport_count(ours), BOOTREPORT_STEPS);
    ck_assert_uint_eq(bootreport_lost(ours), 1);
    ck_assert_ptr_null(bootreport_find(ours, "beyond"));
}
END_TEST

START_TEST(without_a_report_every_function_does_nothing)
{
    bootreport_close(NULL);
    ck_assert_ptr_null(bootreport_begin(NULL, "proc", 0));
    ck_assert_ptr_null(bootreport_find(NULL, "proc"));
    ck_assert_ptr_null(bootreport_at(NULL, 0));
    ck_assert_uint_eq(bootreport_count(NULL), 0);
    bootreport_interrupt(NULL);
}
END_TEST

START_TEST(only_running_steps_of_an_agent_are_interrupted)
{
    struct bootreport_step *supervisors = bootreport_begin(ours, "supervisors", 0);
    struct bootreport_step *finished = bootreport_begin(ours, "finished", 1);
    struct bootreport_step *running = bootreport_begin(ours, "running", 1);
    bootreport_end(finished, BOOTREPORT_DONE, NULL, NULL);
    bootreport_interrupt(theirs);
    ck_assert_int_eq(supervisors->state, BOOTREPORT_RUNNING);
    ck_assert_int_eq(finished->state, BOOTREPORT_DONE);
    ck_assert_int_eq(running->state, BOOTREPORT_INTERRUPTED);
    ck_assert_str_ne(running->detail, "");
    ck_assert_uint_ge(running->ended_ns, running->started_ns);
}
END_TEST

START_TEST(an_interrupted_step_can_be_gone_on_with)
{
    struct bootreport_step *first = bootreport_begin(ours, "service.one", 1);
    struct bootreport_step *second = bootreport_begin(ours, "service.two", 1);
    ck_assert_ptr_null(bootreport_resume(ours, "service.one"));
    bootreport_end(first, BOOTREPORT_DONE, NULL, NULL);
    bootreport_interrupt(ours);
    ck_assert_ptr_null(bootreport_resume(ours, "service.one"));
    ck_assert_ptr_eq(bootreport_resume(ours, "service.two"), second);
    ck_assert_int_eq(second->state, BOOTREPORT_RUNNING);
    ck_assert_str_eq(second->detail, "");
    ck_assert_uint_eq(second->ended_ns, 0);
    ck_assert_ptr_null(bootreport_resume(ours, "service.two"));
    ck_assert_ptr_null(bootreport_resume(NULL, "service.two"));
}
END_TEST

START_TEST(a_memory_of_another_size_is_refused)
{
    static const size_t sizes[] = {1, 4096, 1 << 20};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bootreport *untouched = ours;
        int other;
        ck_assert_int_eq(memfd_new("other", sizes[i], &other, &err), 0);
        ck_assert_int_eq(bootreport_open(other, &untouched, &err), -1);
        ck_assert_int_eq(err.code, NSP_E_UNSUPPORTED);
        ck_assert_ptr_eq(untouched, ours);
        close(other);
    }
    ck_assert_int_eq(bootreport_open(-1, &theirs, &err), -1);
}
END_TEST

START_TEST(a_count_that_cannot_be_is_capped)
{
    uint32_t *count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(count, MAP_FAILED);
    *count = UINT32_MAX;
    ck_assert_uint_eq(bootreport_count(ours), BOOTREPORT_STEPS);
    ck_assert_ptr_null(bootreport_begin(ours, "more", 0));
    ck_assert_ptr_null(bootreport_at(ours, BOOTREPORT_STEPS));
    munmap(count, sizeof *count);
}
END_TEST

START_TEST(every_state_has_a_name_of_its_own)
{
    for (int a = 0; a < BOOTREPORT_STATE_COUNT; a++)
        for (int b = 0; b < a; b++)
            ck_assert_str_ne(bootreport_state_name((enum bootreport_state)a),
                             bootreport_state_name((enum bootreport_state)b));
    ck_assert_str_eq(bootreport_state_name(BOOTREPORT_STATE_COUNT), "?");
    ck_assert_str_eq(bootreport_state_name((enum bootreport_state) - 1), "?");
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("bootreport");
    TCase *steps = tcase_create("steps");
    tcase_add_checked_fixture(steps, make_report, free_report);
    tcase_add_test(steps, a_step_is_seen_by_the_other_side_while_it_runs_and_after_it);
    tcase_add_test(steps, steps_stay_in_their_order_with_who_took_them);
    tcase_add_test(steps, a_failure_keeps_its_code_and_errno_and_other_ends_do_not);
    tcase_add_test(steps, a_detail_goes_before_the_message_of_the_error);
    tcase_add_test(steps, names_and_details_are_cut_and_found_all_the_same);
    tcase_add_test(steps, a_full_report_takes_no_more_and_nothing_breaks);
    tcase_add_test(steps, without_a_report_every_function_does_nothing);
    tcase_add_test(steps, only_running_steps_of_an_agent_are_interrupted);
    tcase_add_test(steps, an_interrupted_step_can_be_gone_on_with);
    tcase_add_test(steps, a_memory_of_another_size_is_refused);
    tcase_add_test(steps, a_count_that_cannot_be_is_capped);
    tcase_add_test(steps, every_state_has_a_name_of_its_own);
    suite_add_tcase(all, steps);
    return all;
}

UNIT_MAIN(suite)
