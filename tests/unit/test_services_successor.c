/* Services and the death of the agent: what a successor makes of them. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/boot/services_record.h"
#include "tests/support/services_bench.h"
#include "tests/support/unit.h"

START_TEST(a_successor_finds_the_running_ones)
{
    services_bench_add("one", "exec sleep 60");
    services_bench_add("two", "exec sleep 60")->restart = CONFIG_RESTART_ALWAYS;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING) &&
                      services_bench_is("two", SERVICE_RUNNING));
    int pid = services_bench_status("one").pid;
    services_bench_restart_agent();
    process_set_settle(30);
    ck_assert_int_eq(services_bench_status("one").pid, pid);
    ck_assert_uint_eq(services_bench_running(), 2);
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
    kill(services_bench_status("two").pid, SIGKILL);
    PROCESS_SET_AWAIT(services_bench_is("two", SERVICE_RUNNING) &&
                      services_bench_status("two").starts == 2);
    ck_assert_uint_eq(services_bench_status("two").restarts, 1);
}
END_TEST

START_TEST(an_exit_without_an_agent_is_seen_by_the_successor)
{
    struct config_service *service = services_bench_add("one", "echo x >>log; exec sleep 60");
    service->restart = CONFIG_RESTART_ON_FAILURE;
    services_bench_begin();
    PROCESS_SET_AWAIT(strcmp(services_bench_log(), "x\n") == 0);
    int pid = services_bench_status("one").pid;
    services_free(services_bench.services);
    process_set_stop();
    kill(pid, SIGKILL);
    while (kill(pid, 0) == 0)
        usleep(1000);
    process_set_start();
    services_bench_begin();
    PROCESS_SET_AWAIT(strcmp(services_bench_log(), "x\nx\n") == 0);
    ck_assert_uint_eq(services_bench_status("one").restarts, 1);
    ck_assert_int_eq(services_bench_status("one").code, SIGKILL);
}
END_TEST

START_TEST(a_successor_starts_when_it_is_due_and_counts_on)
{
    struct config_service *service = services_bench_add("one", "exit 1");
    service->restart = CONFIG_RESTART_ALWAYS;
    service->restart_delay_ms = 150;
    service->restart_max = 2;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_BACKOFF));
    services_bench_restart_agent();
    ck_assert(services_bench_is("one", SERVICE_BACKOFF));
    ck_assert_uint_gt(services_bench_status("one").restart_in_ms, 0);
    PROCESS_SET_AWAIT(services_bench_status("one").starts == 2 &&
                      services_bench_is("one", SERVICE_BACKOFF));
    services_bench_restart_agent();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_FAILED));
    ck_assert_uint_eq(services_bench_status("one").starts, 3);
    services_bench_restart_agent();
    process_set_settle(50);
    ck_assert(services_bench_is("one", SERVICE_FAILED));
    ck_assert_uint_eq(services_bench_status("one").starts, 3);
}
END_TEST

START_TEST(many_deaths_of_the_agent_start_nothing_twice)
{
    services_bench_add("first", "echo first >>log; sleep 0.15")->wait = true;
    services_bench_add("second", "echo second >>log; exec sleep 60");
    services_bench_make();
    services_begin(services_bench.services);
    for (unsigned i = 0; i < 40; i++) {
        process_set_settle(i % 8);
        services_bench_restart_agent();
    }
    PROCESS_SET_AWAIT(services_bench_is("second", SERVICE_RUNNING));
    PROCESS_SET_AWAIT(strcmp(services_bench_log(), "first\nsecond\n") == 0);
    ck_assert_uint_eq(services_bench_running(), 1);
}
END_TEST

/* As it is when the agent dies between counting a life and beginning it. */
static void count_a_life(enum service_state state)
{
    struct services_record *records, *record;
    int fd = process_set_fetch(STOREWIRE_SERVICES);
    ck_assert_int_eq(services_record_open(fd, &records, NULL), 0);
    ck_assert_int_eq(services_record_get(records, "one", &record, NULL), 0);
    record->life++;
    record->state = state;
    services_record_close(records);
    close(fd);
}

START_TEST(a_life_that_was_counted_is_begun_by_the_successor)
{
    services_bench_add("one", "echo x >>log; exec sleep 60");
    services_bench_make();
    count_a_life(SERVICE_STARTING);
    services_bench_restart_agent();
    PROCESS_SET_AWAIT(strcmp(services_bench_log(), "x\n") == 0);
    ck_assert(services_bench_is("one", SERVICE_RUNNING));
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
    services_bench_restart_agent();
    process_set_settle(20);
    ck_assert_uint_eq(services_bench_running(), 1);
}
END_TEST

START_TEST(a_life_whose_process_is_unknown_counts_as_failed)
{
    services_bench_add("one", "exec sleep 60")->restart = CONFIG_RESTART_ON_FAILURE;
    services_bench_make();
    count_a_life(SERVICE_RUNNING);
    services_bench_restart_agent();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    ck_assert_uint_eq(services_bench_status("one").starts, 2);
    ck_assert_uint_eq(services_bench_status("one").restarts, 1);
}
END_TEST

START_TEST(a_stop_under_way_is_finished_by_the_successor)
{
    services_bench_add("one", "trap '' TERM; echo x >log; while :; do sleep 0.1; done")->restart =
        CONFIG_RESTART_ALWAYS;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_log()[0]);
    services_bench_stop("one");
    services_bench_restart_agent();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_STOPPED));
    process_set_settle(50);
    ck_assert_uint_eq(services_bench_running(), 0);
    services_bench_restart_agent();
    process_set_settle(50);
    ck_assert(services_bench_is("one", SERVICE_STOPPED));
}
END_TEST

START_TEST(the_count_survives_without_a_process)
{
    services_bench_add("one", "exit 1");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_ENDED));
    ck_assert_int_eq(process_forget(processes_find(process_set.set, "service.one"), NULL), 0);
    services_bench_restart_agent();
    process_set_settle(30);
    ck_assert(services_bench_is("one", SERVICE_ENDED));
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
    ck_assert_int_eq(services_bench_status("one").code, 1);
}
END_TEST

START_TEST(a_new_service_of_a_changed_configuration_is_started)
{
    services_bench_add("one", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    services_bench_add("two", "exec sleep 60");
    services_bench_restart_agent();
    PROCESS_SET_AWAIT(services_bench_is("two", SERVICE_RUNNING));
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
    ck_assert_uint_eq(services_bench_running(), 2);
}
END_TEST

START_TEST(another_layout_of_the_record_still_finds_the_processes)
{
    services_bench_add("one", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    services_free(services_bench.services);
    process_set_store(STOREWIRE_SERVICES, 0, dup(services_bench.report_fd));
    process_set_restart();
    services_bench_begin();
    process_set_settle(30);
    ck_assert(services_bench_is("one", SERVICE_RUNNING));
    ck_assert_uint_eq(services_bench_running(), 1);
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("services_successor");
    TCase *successor = PROCESS_SET_CASE(result, "successor", a_successor_finds_the_running_ones,
                                        an_exit_without_an_agent_is_seen_by_the_successor,
                                        a_successor_starts_when_it_is_due_and_counts_on,
                                        many_deaths_of_the_agent_start_nothing_twice,
                                        a_life_that_was_counted_is_begun_by_the_successor,
                                        a_life_whose_process_is_unknown_counts_as_failed,
                                        a_stop_under_way_is_finished_by_the_successor,
                                        the_count_survives_without_a_process,
                                        a_new_service_of_a_changed_configuration_is_started,
                                        another_layout_of_the_record_still_finds_the_processes);
    tcase_add_checked_fixture(successor, services_bench_setup, services_bench_teardown);
    return result;
}

UNIT_MAIN(suite)
