/* What every benchmark program needs: time, samples, the cost of other processes as /proc tells it,
 * and one line of JSON for the driver.
 *
 * A benchmark that cannot go on ends with a message (measure_die): there is nobody to handle
 * errors.
 */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MEASURE_PIDS = 16 };

/* The processes whose cost counts. */
struct measure_pids {
    pid_t pid[MEASURE_PIDS];
    unsigned count;
};

_Noreturn void measure_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Dies with errno's text when result is negative; returns it otherwise. */
long measure_check(long result, const char *what);
void *measure_alloc(size_t size);

uint64_t measure_now(void); /* ns, monotonic */
void measure_sleep(uint64_t ns);
/* Until that moment of measure_now. */
void measure_sleep_until(uint64_t ns);
/* This process and those it starts run on this core only; -1: on any. */
void measure_pin(int core);

/* Times that were taken, in ns. */
struct measure_samples {
    uint64_t *ns;
    size_t count, capacity;
};

void measure_samples_init(struct measure_samples *samples, size_t capacity);
void measure_samples_done(struct measure_samples *samples);
/* Beyond the capacity nothing is kept. */
void measure_samples_add(struct measure_samples *samples, uint64_t ns);
/* In microseconds; share from 0 to 1. Sorts. 0 when there is none. */
double measure_percentile(struct measure_samples *samples, double share);

/* CPU time that all threads of the processes have used, in ns (/proc/PID/task/TID/schedstat). */
uint64_t measure_cpu(const struct measure_pids *pids);
/* Proportional set size of the processes together, in KiB (/proc/PID/smaps_rollup). */
uint64_t measure_pss(const struct measure_pids *pids);

/* One object on standard output: begin, numbers, end. */
void measure_report_begin(void);
void measure_report(const char *name, double value);
/* p10, p50, p99, min and max in microseconds, under names that start with prefix ("" for none). */
void measure_report_samples(const char *prefix, struct measure_samples *samples);
void measure_report_end(void);

#endif
