/* Services under test: their configuration, a directory of their own in which they write "log", and
 * the end of the guest as it is told. On top of process_set.h, whose fixture comes first.
 */
#ifndef TESTS_SUPPORT_SERVICES_BENCH_H
#define TESTS_SUPPORT_SERVICES_BENCH_H

#include "agent/boot/services.h"
#include "tests/support/process_set.h"

enum { SERVICES_BENCH_MAX = 8, SERVICES_BENCH_GRACE_MS = 500 };

struct services_bench {
    struct services *services;
    struct config_service list[SERVICES_BENCH_MAX];
    size_t count;
    bool shutdown_when_idle;
    struct bootreport *report;
    int report_fd;
    unsigned ends; /* how often the guest was to end, how the last time, and by whom */
    enum config_on_exit how;
    char by[64];
    char directory[64];
};

/* The one of the running test. */
extern struct services_bench services_bench;

/* Fixture. */
void services_bench_setup(void);
void services_bench_teardown(void);

/* One more, without a policy, with a short delay. */
struct config_service *services_bench_add(const char *name, const char *command);
void services_bench_make(void);
/* Makes them and has them started. */
void services_bench_begin(void);
/* The agent dies, and the next one has begun. */
void services_bench_restart_agent(void);

struct service_status services_bench_status(const char *name);
bool services_bench_is(const char *name, enum service_state state);
void services_bench_start(const char *name);
void services_bench_stop(const char *name);
void services_bench_restart(const char *name);

/* What the services have written so far. */
const char *services_bench_log(void);
/* Processes that run. */
unsigned services_bench_running(void);

#endif
