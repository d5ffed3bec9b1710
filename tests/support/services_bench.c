#include "tests/support/services_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct services_bench services_bench;

static void on_end(void *arg, enum config_on_exit how, const char *name)
{
    (void)arg;
    services_bench.ends++;
    services_bench.how = how;
    snprintf(services_bench.by, sizeof services_bench.by, "%s", name);
}

void services_bench_setup(void)
{
    services_bench = (struct services_bench){.report_fd = -1};
    snprintf(services_bench.directory, sizeof services_bench.directory, "/tmp/services.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(services_bench.directory));
    ck_assert_int_eq(chdir(services_bench.directory), 0);
    ck_assert_int_eq(bootreport_create(&services_bench.report, &services_bench.report_fd, NULL), 0);
}

void services_bench_teardown(void)
{
    char command[128];
    services_free(services_bench.services);
    bootreport_close(services_bench.report);
    close(services_bench.report_fd);
    snprintf(command, sizeof command, "%s/log", services_bench.directory);
    unlink(command);
    snprintf(command, sizeof command, "%s/ready", services_bench.directory);
    unlink(command);
    ck_assert_int_eq(rmdir(services_bench.directory), 0);
}

struct config_service *services_bench_add(const char *name, const char *command)
{
    struct config_service *service = &services_bench.list[services_bench.count++];
    ck_assert_uint_le(services_bench.count, SERVICES_BENCH_MAX);
    *service = (struct config_service){
        .name = name, .command = command, .restart_delay_ms = 20, .restart_max = 0};
    return service;
}

void services_bench_make(void)
{
    static char path[] = "PATH=/usr/bin:/bin";
    static char *const environment[] = {path, NULL};
    struct nsp_error err = NSP_ERROR_INIT;
    const struct services_config config = {
        .set = process_set.set,
        .record_fd = process_set_fetch(STOREWIRE_SERVICES),
        .report = services_bench.report,
        .list = services_bench.list,
        .count = services_bench.count,
        .shutdown_when_idle = services_bench.shutdown_when_idle,
        .environment = environment,
        .directory = services_bench.directory,
        .end = on_end,
    };
    ck_assert_msg(services_new(&config, &services_bench.services, &err) == 0, "%s", err.msg);
}

void services_bench_begin(void)
{
    services_bench_make();
    services_begin(services_bench.services);
}

/* The agent dies, and the next one is there. */
void services_bench_restart_agent(void)
{
    process_set_await_spawned();
    services_free(services_bench.services);
    process_set_restart();
    services_bench_begin();
}

struct service_status services_bench_status(const char *name)
{
    struct service_status status;
    struct service_control control = services_control(services_bench.services);
    ck_assert_int_eq(control.find(control.arg, name, &status, NULL), 0);
    return status;
}

bool services_bench_is(const char *name, enum service_state state)
{
    return services_bench_status(name).state == state;
}

static void request(int (*method)(void *arg, const char *name, uint64_t grace_ms,
                                  struct nsp_error *err),
                    const char *name)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(method(services_control(services_bench.services).arg, name,
                         SERVICES_BENCH_GRACE_MS, &err) == 0,
                  "%s", err.msg);
}

void services_bench_stop(const char *name)
{
    request(services_control(services_bench.services).stop, name);
}

void services_bench_restart(const char *name)
{
    request(services_control(services_bench.services).restart, name);
}

void services_bench_start(const char *name)
{
    struct service_control control = services_control(services_bench.services);
    ck_assert_int_eq(control.start(control.arg, name, NULL), 0);
}

/* What the services have written so far. */
const char *services_bench_log(void)
{
    static char text[4096];
    text[0] = '\0';
    FILE *file = fopen("log", "r");
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    return text;
}

unsigned services_bench_running(void)
{
    struct processes_stats stats;
    processes_stats(process_set.set, &stats);
    return stats.running;
}
