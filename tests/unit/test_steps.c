/* The runner of the boot steps. Where a step would change this machine, the report says that it has
 * been done already. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/boot/steps.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

static struct steps *steps;
static struct services *services;
static struct bootreport *report;
static int report_fd;
static struct config config;
static unsigned networks;
static const struct network *network_given;
static int network_result;
static const char *config_path;
static char program[64]; /* that stands for our own */

static int network(const struct network *given, struct nsp_error *err)
{
    networks++;
    network_given = given;
    return network_result < 0
               ? nsp_fail_errno(err, NSP_E_SYSTEM, 19, "RTM_NEWADDR", "eth0 10.0.0.2/24")
               : 0;
}

/* What the process does that should grow the root file system. */
static void write_any_program(const char *script)
{
    FILE *file = fopen(program, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "#!/bin/sh\n%s\n", script);
    fclose(file);
    ck_assert_int_eq(chmod(program, 0755), 0);
}

static void write_program(const char *script)
{
    char all[256];
    snprintf(all, sizeof all, "[ \"$*\" = 'grow-root /' ] || exit 99\n%s", script);
    write_any_program(all);
}

static void setup(void)
{
    snprintf(program, sizeof program, "/tmp/steps.XXXXXX");
    close(mkstemp(program));
    write_program("echo from 1 to 2 MiB");
    ck_assert_int_eq(bootreport_create(&report, &report_fd, NULL), 0);
    config = (struct config){.grow_root = true};
    networks = 0;
    network_result = 0;
    steps = NULL;
    services = NULL;
}

static void teardown(void)
{
    steps_free(steps);
    services_free(services);
    bootreport_close(report);
    close(report_fd);
    ck_assert_int_eq(unlink(program), 0);
}

/* These would change this machine. */
static void leave_machine_alone(void)
{
    static const char *const names[] = {"mounts", "modules", "nodes", "sysctl", "identity"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        bootreport_end(bootreport_begin(report, names[i], true), BOOTREPORT_DONE, "before", NULL);
}

static void start(bool is_guest)
{
    static char path[] = "PATH=/usr/bin:/bin";
    static char *const environment[] = {path, NULL};
    const struct steps_config steps_config = {
        .loop = process_set.loop,
        .report = report,
        .config = &config,
        .config_path = config_path,
        .set = process_set.set,
        .services = services,
        .is_guest = is_guest,
        .program = program,
        .environment = environment,
        .boot_id = "boot",
        .network = network,
    };
    ck_assert_int_eq(steps_start(&steps_config, &steps, NULL), 0);
}

static void make_services(const struct config_service *list, size_t count)
{
    static char path[] = "PATH=/usr/bin:/bin";
    static char *const environment[] = {path, NULL};
    const struct services_config services_config = {
        .set = process_set.set,
        .record_fd = process_set_fetch(STOREWIRE_SERVICES),
        .report = report,
        .list = list,
        .count = count,
        .environment = environment,
        .directory = "/",
    };
    ck_assert_int_eq(services_new(&services_config, &services, NULL), 0);
}

static enum bootreport_state state_of(const char *name)
{
    const struct bootreport_step *step = bootreport_find(report, name);
    ck_assert_msg(step != NULL, "no step %s", name);
    return step->state;
}

START_TEST(elsewhere_only_services_are_begun)
{
    const struct config_service list[] = {{.name = "one", .command = "exec sleep 60"}};
    make_services(list, 1);
    start(false);
    ck_assert_uint_eq(bootreport_count(report), 0);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    PROCESS_SET_AWAIT(processes_find(process_set.set, "service.one"));
    ck_assert_int_eq(state_of("announce"), BOOTREPORT_SKIPPED);
    ck_assert_int_eq(state_of("services"), BOOTREPORT_DONE);
    PROCESS_SET_AWAIT(state_of("service.one") == BOOTREPORT_DONE);
    ck_assert_uint_eq(bootreport_count(report), 3);
    ck_assert_uint_eq(networks, 0);
    ck_assert_ptr_null(processes_find(process_set.set, "boot.grow-root"));
}
END_TEST

START_TEST(a_guest_gets_its_network_and_is_grown)
{
    const struct network wanted = {.links = {NULL, 0}};
    leave_machine_alone();
    config.network = &wanted;
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    ck_assert_uint_eq(networks, 1);
    ck_assert_ptr_eq(network_given, &wanted);
    ck_assert_int_eq(state_of("network"), BOOTREPORT_DONE);
    ck_assert_int_eq(state_of("grow"), BOOTREPORT_DONE);
    ck_assert_str_eq(bootreport_find(report, "grow")->detail, "from 1 to 2 MiB");
    ck_assert_int_eq(state_of("services"), BOOTREPORT_SKIPPED);
    ck_assert_int_eq(state_of("mounts"), BOOTREPORT_DONE);
    ck_assert_str_eq(bootreport_find(report, "mounts")->detail, "before");
}
END_TEST

START_TEST(nothing_to_grow_is_no_failure)
{
    leave_machine_alone();
    write_program("echo large enough; exit 10");
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    ck_assert_int_eq(state_of("grow"), BOOTREPORT_SKIPPED);
    ck_assert_str_eq(bootreport_find(report, "grow")->detail, "large enough");
}
END_TEST

START_TEST(what_cannot_be_grown_is_told)
{
    static const char *const scripts[] = {"echo broken; exit 1", "echo broken; kill -9 $$"};
    static const char *const ends[] = {"broken: exit status 1",
                                       "broken: the process was ended by signal 9"};
    leave_machine_alone();
    write_program(scripts[_i]);
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    const struct bootreport_step *step = bootreport_find(report, "grow");
    ck_assert_int_eq(step->state, BOOTREPORT_FAILED);
    ck_assert_int_eq(step->code, NSP_E_SYSTEM);
    ck_assert_str_eq(step->detail, ends[_i]);
}
END_TEST

START_TEST(services_wait_for_the_volumes)
{
    struct config_mount volume = {.type = "tmpfs", .target = "/nowhere"};
    char file[80], script[256];
    leave_machine_alone();
    snprintf(file, sizeof file, "%s.go", program);
    snprintf(script, sizeof script,
             "[ \"$1\" = grow-root ] && exit 10\n"
             "[ \"$*\" = 'mount-volumes /the/file' ] || exit 99\n"
             "while [ ! -e %s ]; do sleep 0.01; done; echo 1 mounted",
             file);
    write_any_program(script);
    config.mounts = (struct param_objects){&volume, 1};
    config_path = "/the/file";
    start(true);
    PROCESS_SET_AWAIT(processes_find(process_set.set, "boot.volumes"));
    process_set_settle(100);
    ck_assert_int_eq(state_of("volumes"), BOOTREPORT_RUNNING);
    ck_assert_ptr_null(bootreport_find(report, "services"));
    close(creat(file, 0600));
    PROCESS_SET_AWAIT(steps_are_done(steps));
    ck_assert_int_eq(state_of("volumes"), BOOTREPORT_DONE);
    ck_assert_str_eq(bootreport_find(report, "volumes")->detail, "1 mounted");
    ck_assert_ptr_nonnull(bootreport_find(report, "services"));
    PROCESS_SET_AWAIT(!processes_find(process_set.set, "boot.volumes"));
    unlink(file);
}
END_TEST

START_TEST(a_program_that_cannot_be_started_is_told)
{
    leave_machine_alone();
    ck_assert_int_eq(chmod(program, 0644), 0);
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    ck_assert_int_eq(state_of("grow"), BOOTREPORT_FAILED);
    ck_assert_int_eq(bootreport_find(report, "grow")->code, NSP_E_SPAWN);
    ck_assert_int_eq(state_of("services"), BOOTREPORT_SKIPPED);
}
END_TEST

START_TEST(a_failure_holds_up_nobody)
{
    leave_machine_alone();
    config.grow_root = false;
    network_result = -1;
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    const struct bootreport_step *step = bootreport_find(report, "network");
    ck_assert_int_eq(step->state, BOOTREPORT_FAILED);
    ck_assert_int_eq(step->code, NSP_E_SYSTEM);
    ck_assert_int_eq(step->sys_errno, 19);
    ck_assert_int_eq(state_of("grow"), BOOTREPORT_SKIPPED);
    ck_assert_int_eq(state_of("services"), BOOTREPORT_SKIPPED);
}
END_TEST

START_TEST(a_successor_does_nothing_twice_but_begins_its_services)
{
    const struct config_service list[] = {{.name = "one",
                                           .command = "exec sleep 60",
                                           .restart = CONFIG_RESTART_ALWAYS,
                                           .restart_delay_ms = 100}};
    leave_machine_alone();
    config.grow_root = false;
    make_services(list, 1);
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    PROCESS_SET_AWAIT(state_of("service.one") == BOOTREPORT_DONE);
    unsigned count = bootreport_count(report);
    steps_free(steps);
    services_free(services);
    process_set_restart();
    bootreport_interrupt(report);
    make_services(list, 1);
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    ck_assert_uint_eq(networks, 1);
    ck_assert_uint_eq(bootreport_count(report), count);
    process_set_kill(processes_find(process_set.set, "service.one"));
    struct service_status status;
    struct service_control control = services_control(services);
    PROCESS_SET_AWAIT(control.at(control.arg, 0, &status) && status.starts == 2);
}
END_TEST

START_TEST(a_step_in_which_the_agent_died_is_left_out)
{
    leave_machine_alone();
    config.grow_root = false;
    (void)bootreport_begin(report, "network", true);
    bootreport_interrupt(report);
    start(true);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    ck_assert_uint_eq(networks, 0);
    ck_assert_int_eq(state_of("network"), BOOTREPORT_INTERRUPTED);
}
END_TEST

START_TEST(they_can_be_stopped_between_two)
{
    leave_machine_alone();
    start(true);
    steps_free(steps);
    steps = NULL;
    process_set_settle(5);
    ck_assert_ptr_null(bootreport_find(report, "announce"));
    start(true);
    while (!bootreport_find(report, "grow"))
        process_set_turn();
    steps_free(steps);
    steps = NULL;
    process_set_settle(50);
}
END_TEST

START_TEST(without_a_report_all_is_done)
{
    struct bootreport *kept = report;
    report = NULL;
    config.grow_root = false;
    start(false);
    PROCESS_SET_AWAIT(steps_are_done(steps));
    report = kept;
    ck_assert_uint_eq(bootreport_count(report), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("steps");
    TCase *tests = PROCESS_SET_CASE(
        result, "steps", elsewhere_only_services_are_begun, a_guest_gets_its_network_and_is_grown,
        nothing_to_grow_is_no_failure, services_wait_for_the_volumes,
        a_program_that_cannot_be_started_is_told, a_failure_holds_up_nobody,
        a_successor_does_nothing_twice_but_begins_its_services,
        a_step_in_which_the_agent_died_is_left_out, they_can_be_stopped_between_two,
        without_a_report_all_is_done);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, what_cannot_be_grown_is_told, 0, 2);
    return result;
}

UNIT_MAIN(suite)
