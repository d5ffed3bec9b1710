#include "tests/bench/measure.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

void measure_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

long measure_check(long result, const char *what)
{
    if (result < 0)
        measure_die("%s: %s", what, strerror(errno));
    return result;
}

void *measure_alloc(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        measure_die("no memory");
    return memory;
}

uint64_t measure_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void measure_sleep_until(uint64_t ns)
{
    struct timespec moment = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) == EINTR)
        ;
}

void measure_sleep(uint64_t ns)
{
    measure_sleep_until(measure_now() + ns);
}

void measure_pin(int core)
{
    if (core < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)core, &set);
    measure_check(sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}

void measure_samples_init(struct measure_samples *samples, size_t capacity)
{
    *samples = (struct measure_samples){.capacity = capacity};
    samples->ns = measure_alloc((capacity + 1) * sizeof *samples->ns);
}

void measure_samples_done(struct measure_samples *samples)
{
    free(samples->ns);
    *samples = (struct measure_samples){0};
}

void measure_samples_add(struct measure_samples *samples, uint64_t ns)
{
    if (samples->count < samples->capacity)
        samples->ns[samples->count++] = ns;
}

static int by_size(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

double measure_percentile(struct measure_samples *samples, double share)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->ns, samples->count, sizeof *samples->ns, by_size);
    return (double)samples->ns[(size_t)(share * (double)(samples->count - 1) + 0.5)] / 1e3;
}

/* The first line's number of a file below /proc that starts with this word; any line for "". */
static uint64_t number_in(const char *path, const char *word)
{
    uint64_t number = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0; /* the process or thread has just ended */
    char line[256];
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, word, strlen(word)) == 0) {
            number = strtoull(line + strlen(word), NULL, 10);
            break;
        }
    }
    fclose(file);
    return number;
}

static uint64_t cpu_of(pid_t pid)
{
    char path[64 + NAME_MAX];
    uint64_t total = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    if (!threads)
        measure_die("process %d has ended", (int)pid);
    for (const struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, entry->d_name);
        total += number_in(path, "");
    }
    closedir(threads);
    return total;
}

uint64_t measure_cpu(const struct measure_pids *pids)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < pids->count; i++)
        total += cpu_of(pids->pid[i]);
    return total;
}

uint64_t measure_pss(const struct measure_pids *pids)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < pids->count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pids->pid[i]);
        total += number_in(path, "Pss:");
    }
    return total;
}

static bool is_first;

void measure_report_begin(void)
{
    is_first = true;
    putchar('{');
}

void measure_report(const char *name, double value)
{
    printf("%s\"%s\": %.4f", is_first ? "" : ", ", name, value);
    is_first = false;
}

void measure_report_samples(const char *prefix, struct measure_samples *samples)
{
    static const struct {
        const char *name;
        double share;
    } rows[] = {{"p10_us", 0.1}, {"p50_us", 0.5}, {"p99_us", 0.99}, {"min_us", 0}, {"max_us", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, rows[i].name);
        measure_report(name, measure_percentile(samples, rows[i].share));
    }
}

void measure_report_end(void)
{
    puts("}");
    fflush(stdout);
}
