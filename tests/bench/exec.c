/* How long from asking for a program to knowing that it has ended with status 0. With --parallel N,
 * N are kept running on the one connection.
 */
#include "tests/bench/target.h"

#include <signal.h>

struct run {
    struct target *target;
    const struct options *options;
    struct measure_samples samples;
    uint64_t started[TARGET_SLOTS];
};

static void start(struct run *run, unsigned slot)
{
    run->started[slot] = measure_now();
    run->target->kind->start(run->target, run->options->program, slot);
}

/* count programs, each started when one has ended, at the earliest gap_ms after the one before. */
static void execute(struct run *run, uint64_t count)
{
    uint64_t gap = run->options->gap_ms * UINT64_C(1000000), due = measure_now() + gap;
    uint64_t begun = 0, ended = 0;
    for (; begun < count && begun < run->options->parallel; begun++)
        start(run, (unsigned)begun);
    while (ended < count) {
        unsigned slot = run->target->kind->wait(run->target);
        measure_samples_add(&run->samples, measure_now() - run->started[slot]);
        ended++;
        if (begun == count)
            continue;
        if (gap > 0)
            measure_sleep_until(due);
        due += gap;
        start(run, slot);
        begun++;
    }
    if (run->target->kind->settle)
        run->target->kind->settle(run->target);
}

int main(int argc, char **argv)
{
    struct options options;
    options_read(argc, argv, &options);
    if (options.parallel < 1 || options.parallel > TARGET_SLOTS)
        measure_die("--parallel 1 to %d", TARGET_SLOTS);
    signal(SIGPIPE, SIG_IGN);
    measure_pin(options.core);
    struct run run = {.target = target_open(&options), .options = &options};
    if (options.warm_up > 0)
        execute(&run, options.warm_up);
    measure_samples_init(&run.samples, options.count);

    uint64_t cpu = target_cpu(run.target), events = run.target->events, before = measure_now();
    execute(&run, options.count);
    double seconds = (double)(measure_now() - before) / 1e9, count = (double)options.count;

    measure_report_begin();
    measure_report_samples("", &run.samples);
    measure_report("per_s", count / seconds);
    measure_report("cpu_us", (double)(target_cpu(run.target) - cpu) / 1e3 / count);
    measure_report("events", (double)(run.target->events - events) / count);
    measure_report_end();
    measure_samples_done(&run.samples);
    target_close(run.target);
    return 0;
}
