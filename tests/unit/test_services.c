/* Services: order, policies, back-off, requests, the end of the guest. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "tests/support/services_bench.h"
#include "tests/support/unit.h"

/* Order */

START_TEST(they_are_started_in_their_order)
{
    services_bench_add("one", "echo one >>log; exec sleep 60");
    services_bench_add("two",
                       "until grep -q one log; do sleep 0.01; done; echo two >>log; exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(strcmp(services_bench_log(), "one\ntwo\n") == 0);
    ck_assert(services_bench_is("one", SERVICE_RUNNING));
    ck_assert(services_bench_is("two", SERVICE_RUNNING));
    ck_assert_int_gt(services_bench_status("one").pid, 0);
    ck_assert_str_eq(services_bench_status("one").process_id, "service.one");
    ck_assert_ptr_nonnull(processes_find(process_set.set, "service.two"));
    ck_assert(processes_find(process_set.set, "service.one")->record->started_ns <
              processes_find(process_set.set, "service.two")->record->started_ns);
}
END_TEST

START_TEST(none_is_started_before_it_begins)
{
    services_bench_add("one", "exec sleep 60");
    services_bench_make();
    services_bench_start("one");
    process_set_settle(20);
    ck_assert(services_bench_is("one", SERVICE_WAITING));
    ck_assert_uint_eq(services_bench_running(), 0);
    services_begin(services_bench.services);
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
}
END_TEST

START_TEST(the_next_waits_for_the_end_of_one_with_wait)
{
    services_bench_add("first", "sleep 0.1; echo first >>log")->wait = true;
    services_bench_add("second", "echo second >>log");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("first", SERVICE_RUNNING));
    ck_assert(services_bench_is("second", SERVICE_WAITING));
    PROCESS_SET_AWAIT(services_bench_is("second", SERVICE_ENDED));
    ck_assert_str_eq(services_bench_log(), "first\nsecond\n");
}
END_TEST

START_TEST(one_with_wait_that_fails_holds_up_nobody)
{
    static char program[] = "/nowhere/program";
    static char *argv[] = {program, NULL};
    struct config_service *first = services_bench_add("first", NULL);
    first->argv = (struct param_strings){argv, 1};
    first->wait = true;
    services_bench_add("second", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("second", SERVICE_RUNNING));
    ck_assert(services_bench_is("first", SERVICE_FAILED));
}
END_TEST

START_TEST(it_gets_its_environment_and_directory)
{
    static char variable[] = "COLOUR=blue", *variables[] = {variable, NULL};
    struct config_service *service =
        services_bench_add("one", "echo $COLOUR $PATH >log; pwd >>log");
    service->environment = (struct param_strings){variables, 1};
    services_bench_begin();
    char expected[128];
    snprintf(expected, sizeof expected, "blue /usr/bin:/bin\n%s\n", services_bench.directory);
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_ENDED));
    ck_assert_str_eq(services_bench_log(), expected);
}
END_TEST

/* Policies */

START_TEST(it_is_not_started_again_without_a_policy)
{
    services_bench_add("one", "exit 3");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_ENDED));
    struct service_status status = services_bench_status("one");
    ck_assert(status.has_exit && !status.was_signalled);
    ck_assert_int_eq(status.code, 3);
    ck_assert_uint_eq(status.starts, 1);
    ck_assert_uint_eq(status.restarts, 0);
    ck_assert_int_eq(status.pid, 0);
    ck_assert_ptr_null(status.failure);
}
END_TEST

START_TEST(on_failure_means_code_or_signal)
{
    struct config_service *service = services_bench_add(
        "one", "echo x >>log; case $(wc -l <log) in 1) exit 1;; 2) kill -9 $$;; esac");
    service->restart = CONFIG_RESTART_ON_FAILURE;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_ENDED));
    ck_assert_str_eq(services_bench_log(), "x\nx\nx\n");
    ck_assert_uint_eq(services_bench_status("one").restarts, 2);
    ck_assert_int_eq(services_bench_status("one").code, 0);
}
END_TEST

START_TEST(always_includes_success)
{
    services_bench_add("one", "echo x >>log")->restart = CONFIG_RESTART_ALWAYS;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_status("one").starts >= 3);
    PROCESS_SET_AWAIT(strlen(services_bench_log()) >= 4);
}
END_TEST

/* Hundredths of a second, cut off: two may seem one closer than they are. */
START_TEST(the_delay_doubles)
{
    struct config_service *service =
        services_bench_add("one", "cut -d ' ' -f 1 /proc/uptime | tr -d . >>log; exit 1");
    service->restart = CONFIG_RESTART_ALWAYS;
    service->restart_delay_ms = 50;
    service->restart_max = 3;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_FAILED));
    unsigned long long at[4];
    ck_assert_int_eq(
        sscanf(services_bench_log(), "%llu %llu %llu %llu", &at[0], &at[1], &at[2], &at[3]), 4);
    ck_assert_uint_ge(at[1] - at[0], 5 - 1);
    ck_assert_uint_ge(at[2] - at[1], 10 - 1);
    ck_assert_uint_ge(at[3] - at[2], 20 - 1);
}
END_TEST

START_TEST(a_waiting_time_is_told)
{
    struct config_service *service = services_bench_add("one", "exit 1");
    service->restart = CONFIG_RESTART_ALWAYS;
    service->restart_delay_ms = 60000;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_BACKOFF));
    ck_assert_uint_gt(services_bench_status("one").restart_in_ms, 20000);
    ck_assert_uint_le(services_bench_status("one").restart_in_ms, SERVICES_DELAY_MAX_MS);
}
END_TEST

START_TEST(it_is_given_up_after_so_many_restarts)
{
    struct config_service *service = services_bench_add("one", "echo x >>log; exit 1");
    service->restart = CONFIG_RESTART_ON_FAILURE;
    service->restart_max = 2;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_FAILED));
    process_set_settle(100);
    ck_assert_str_eq(services_bench_log(), "x\nx\nx\n");
    ck_assert_uint_eq(services_bench_status("one").restarts, 2);
}
END_TEST

START_TEST(one_that_cannot_be_started_is_reported_and_holds_up_nobody)
{
    static char program[] = "/nowhere/program", *argv[] = {program, NULL};
    services_bench_add("bad", NULL)->argv = (struct param_strings){argv, 1};
    services_bench_add("good", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("good", SERVICE_RUNNING) &&
                      services_bench_is("bad", SERVICE_FAILED));
    const struct bootreport_step *bad = bootreport_find(services_bench.report, "service.bad");
    const struct bootreport_step *good = bootreport_find(services_bench.report, "service.good");
    ck_assert_ptr_nonnull(bad);
    ck_assert_ptr_nonnull(good);
    ck_assert_int_eq(bad->state, BOOTREPORT_FAILED);
    ck_assert_int_eq(bad->code, NSP_E_SPAWN);
    ck_assert_int_eq(good->state, BOOTREPORT_DONE);
    ck_assert_ptr_nonnull(strstr(services_bench_status("bad").failure, "execve"));
    ck_assert(!services_bench_status("bad").has_exit);
}
END_TEST

START_TEST(names_that_are_cut_in_the_report_are_there_twice)
{
    unsigned found = 0;
    services_bench_add("a-name-that-is-too-long-1", "true");
    services_bench_add("a-name-that-is-too-long-2", "true")->restart = CONFIG_RESTART_ALWAYS;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_status("a-name-that-is-too-long-2").starts > 2);
    for (unsigned i = 0; i < bootreport_count(services_bench.report); i++)
        found += strncmp(bootreport_at(services_bench.report, i)->name, "service.a-name", 14) == 0;
    ck_assert_uint_eq(found, 2);
}
END_TEST

START_TEST(what_cannot_be_started_follows_the_policy_too)
{
    static char program[] = "./ready", *argv[] = {program, NULL};
    struct config_service *service = services_bench_add("late", NULL);
    service->argv = (struct param_strings){argv, 1};
    service->restart = CONFIG_RESTART_ON_FAILURE;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_status("late").restarts >= 1);
    FILE *file = fopen("ready.new", "w");
    ck_assert_ptr_nonnull(file);
    fputs("#!/bin/sh\necho ready >>log\n", file);
    fclose(file);
    ck_assert_int_eq(rename("ready.new", "ready"), 0);
    ck_assert_int_eq(chmod("ready", 0755), 0);
    PROCESS_SET_AWAIT(services_bench_is("late", SERVICE_ENDED));
    ck_assert_str_eq(services_bench_log(), "ready\n");
    ck_assert_ptr_null(services_bench_status("late").failure);
}
END_TEST

START_TEST(an_id_that_is_taken_is_left_alone)
{
    static char name[] = "sleep", time[] = "60", *argv[] = {name, time, NULL};
    struct launch_options options = process_set_options(argv);
    options.id = "service.one";
    const struct process *foreign = process_set_launch(&options);
    services_bench_add("one", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_FAILED));
    ck_assert_ptr_eq(processes_find(process_set.set, "service.one"), foreign);
    ck_assert(!process_is_exited(foreign));
}
END_TEST

/* Names */

START_TEST(a_name_that_does_not_fit_or_is_used_twice_is_left_out)
{
    static const char longest[] = "1234567890123456789012345678901234567890123";
    static const char longer[] = "12345678901234567890123456789012345678901234";
    services_bench_add("one", "exec sleep 60");
    services_bench_add("one", "echo never >>log");
    services_bench_add(longer, "echo never >>log");
    services_bench_add(longest, "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING) &&
                      services_bench_is(longest, SERVICE_RUNNING));
    struct service_status status;
    struct service_control control = services_control(services_bench.services);
    ck_assert(control.at(control.arg, 1, &status));
    ck_assert_str_eq(status.name, longest);
    ck_assert(!control.at(control.arg, 2, &status));
    ck_assert_str_eq(services_bench_log(), "");
}
END_TEST

START_TEST(an_unknown_name_is_not_found)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct service_status status;
    services_bench_begin();
    struct service_control control = services_control(services_bench.services);
    ck_assert_int_eq(control.start(control.arg, "none", &err), -1);
    ck_assert_int_eq(err.code, NSP_E_NOT_FOUND);
    ck_assert_int_eq(control.stop(control.arg, "none", 0, &err), -1);
    ck_assert_int_eq(control.restart(control.arg, "none", 0, &err), -1);
    ck_assert_int_eq(control.find(control.arg, "none", &status, &err), -1);
    ck_assert_str_eq(err.object, "none");
    ck_assert(!control.at(control.arg, 0, &status));
}
END_TEST

/* Requests */

START_TEST(a_stopped_one_stays_so)
{
    services_bench_add("one", "exec sleep 60")->restart = CONFIG_RESTART_ALWAYS;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    services_bench_stop("one");
    ck_assert(services_bench_is("one", SERVICE_STOPPING));
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_STOPPED));
    process_set_settle(60);
    ck_assert(services_bench_is("one", SERVICE_STOPPED));
    ck_assert_int_eq(services_bench_status("one").code, SIGTERM);
    ck_assert(services_bench_status("one").was_signalled);
    services_bench_stop("one");
    ck_assert(services_bench_is("one", SERVICE_STOPPED));
}
END_TEST

START_TEST(who_ignores_term_is_killed_with_all_its_processes)
{
    services_bench_add("one", "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 1; done' & "
                              "echo $! >log; while :; do sleep 1; done");
    services_bench_begin();
    PROCESS_SET_AWAIT(strchr(services_bench_log(), '\n'));
    pid_t child = atoi(services_bench_log());
    services_bench_stop("one");
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_STOPPED));
    ck_assert_int_eq(services_bench_status("one").code, SIGKILL);
    PROCESS_SET_AWAIT(kill(child, 0) < 0 || proctree_is_zombie(child));
}
END_TEST

START_TEST(a_restart_ends_it_first)
{
    services_bench_add("one", "echo $$ >>log; exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    int first = services_bench_status("one").pid;
    services_bench_restart("one");
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING) &&
                      services_bench_status("one").starts == 2);
    ck_assert_int_ne(services_bench_status("one").pid, first);
    ck_assert_uint_eq(services_bench_status("one").restarts, 0);
    ck_assert_uint_eq(services_bench_running(), 1);
}
END_TEST

START_TEST(a_start_while_it_stops_comes_afterwards)
{
    services_bench_add("one", "trap 'sleep 0.1; exit 0' TERM; while :; do sleep 0.01; done");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    process_set_settle(50);
    services_bench_stop("one");
    services_bench_start("one");
    ck_assert(services_bench_is("one", SERVICE_STOPPING));
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    ck_assert_uint_eq(services_bench_status("one").starts, 2);
}
END_TEST

START_TEST(a_stop_cancels_what_waits)
{
    struct config_service *service = services_bench_add("broken", "exit 1");
    service->restart = CONFIG_RESTART_ALWAYS;
    service->restart_delay_ms = 40;
    service->wait = true;
    services_bench_add("waiting", "echo never >>log")->wait = true;
    services_bench_add("last", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("broken", SERVICE_BACKOFF));
    services_bench_stop("waiting");
    ck_assert(services_bench_is("waiting", SERVICE_STOPPED));
    services_bench_stop("broken");
    PROCESS_SET_AWAIT(services_bench_is("last", SERVICE_RUNNING));
    uint64_t starts = services_bench_status("broken").starts;
    process_set_settle(80);
    ck_assert_uint_eq(services_bench_status("broken").starts, starts);
    ck_assert_str_eq(services_bench_log(), "");
}
END_TEST

START_TEST(one_that_was_given_up_can_be_started_and_counts_anew)
{
    struct config_service *service = services_bench_add("one", "exit 1");
    service->restart = CONFIG_RESTART_ALWAYS;
    service->restart_max = 1;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_FAILED));
    ck_assert_uint_eq(services_bench_status("one").starts, 2);
    services_bench_start("one");
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_FAILED));
    ck_assert_uint_eq(services_bench_status("one").starts, 4);
}
END_TEST

START_TEST(starting_a_running_one_does_nothing)
{
    services_bench_add("one", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    services_bench_start("one");
    process_set_settle(20);
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
    ck_assert_uint_eq(services_bench_running(), 1);
}
END_TEST

START_TEST(what_is_left_of_a_life_ends_before_the_next)
{
    struct config_service *service = services_bench_add(
        "one", "if [ -e log ]; then exec sleep 60; fi; sleep 60 & echo $! >log; exit 1");
    service->restart = CONFIG_RESTART_ON_FAILURE;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING) &&
                      services_bench_status("one").starts == 2);
    pid_t child = atoi(services_bench_log());
    ck_assert_int_gt(child, 0);
    PROCESS_SET_AWAIT(kill(child, 0) < 0 || proctree_is_zombie(child));
}
END_TEST

/* The end of the guest */

START_TEST(the_end_for_good_of_one_with_on_exit_is_told)
{
    struct config_service *service = services_bench_add("main", "echo x >>log; exit 1");
    service->restart = CONFIG_RESTART_ON_FAILURE;
    service->restart_max = 1;
    service->on_exit = CONFIG_EXIT_REBOOT;
    services_bench_add("other", "exec sleep 60");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench.ends > 0);
    ck_assert_str_eq(services_bench_log(), "x\nx\n");
    ck_assert_int_eq(services_bench.how, CONFIG_EXIT_REBOOT);
    ck_assert_str_eq(services_bench.by, "main");
}
END_TEST

START_TEST(a_stop_by_request_is_no_end_of_the_guest)
{
    services_bench_add("main", "exec sleep 60")->on_exit = CONFIG_EXIT_POWEROFF;
    services_bench.shutdown_when_idle = true;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("main", SERVICE_RUNNING));
    services_bench_stop("main");
    PROCESS_SET_AWAIT(services_bench_is("main", SERVICE_STOPPED));
    process_set_settle(20);
    ck_assert_uint_eq(services_bench.ends, 0);
}
END_TEST

START_TEST(an_idle_guest_ends_with_its_last_service)
{
    services_bench.shutdown_when_idle = true;
    services_bench_add("short", "true");
    services_bench_add("long", "sleep 0.2; exit 1");
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("short", SERVICE_ENDED));
    ck_assert_uint_eq(services_bench.ends, 0);
    PROCESS_SET_AWAIT(services_bench.ends > 0);
    ck_assert_int_eq(services_bench.how, CONFIG_EXIT_POWEROFF);
    ck_assert(services_bench_is("long", SERVICE_ENDED));
}
END_TEST

START_TEST(without_services_a_guest_is_not_idle)
{
    services_bench.shutdown_when_idle = true;
    services_bench_begin();
    process_set_settle(20);
    ck_assert_uint_eq(services_bench.ends, 0);
}
END_TEST

START_TEST(nothing_is_started_during_a_shutdown)
{
    services_bench_add("one", "exec sleep 60")->restart = CONFIG_RESTART_ALWAYS;
    services_bench_begin();
    PROCESS_SET_AWAIT(services_bench_is("one", SERVICE_RUNNING));
    services_halt(services_bench.services);
    process_set_kill(processes_find(process_set.set, "service.one"));
    process_set_settle(80);
    ck_assert_uint_eq(services_bench_status("one").starts, 1);
    ck_assert_uint_eq(services_bench_running(), 0);
    services_bench_start("one");
    ck_assert_uint_eq(services_bench_running(), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("services");
    TCase *cases[] = {
        PROCESS_SET_CASE(
            result, "order", they_are_started_in_their_order, none_is_started_before_it_begins,
            the_next_waits_for_the_end_of_one_with_wait, one_with_wait_that_fails_holds_up_nobody,
            it_gets_its_environment_and_directory),
        PROCESS_SET_CASE(
            result, "policy", it_is_not_started_again_without_a_policy,
            on_failure_means_code_or_signal, always_includes_success, the_delay_doubles,
            a_waiting_time_is_told, it_is_given_up_after_so_many_restarts,
            one_that_cannot_be_started_is_reported_and_holds_up_nobody,
            what_cannot_be_started_follows_the_policy_too,
            names_that_are_cut_in_the_report_are_there_twice, an_id_that_is_taken_is_left_alone),
        PROCESS_SET_CASE(result, "names", a_name_that_does_not_fit_or_is_used_twice_is_left_out,
                         an_unknown_name_is_not_found),
        PROCESS_SET_CASE(result, "requests", a_stopped_one_stays_so,
                         who_ignores_term_is_killed_with_all_its_processes, a_restart_ends_it_first,
                         a_start_while_it_stops_comes_afterwards, a_stop_cancels_what_waits,
                         one_that_was_given_up_can_be_started_and_counts_anew,
                         starting_a_running_one_does_nothing,
                         what_is_left_of_a_life_ends_before_the_next),
        PROCESS_SET_CASE(
            result, "end", the_end_for_good_of_one_with_on_exit_is_told,
            a_stop_by_request_is_no_end_of_the_guest, an_idle_guest_ends_with_its_last_service,
            without_services_a_guest_is_not_idle, nothing_is_started_during_a_shutdown),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tcase_add_checked_fixture(cases[i], services_bench_setup, services_bench_teardown);
    return result;
}

UNIT_MAIN(suite)
