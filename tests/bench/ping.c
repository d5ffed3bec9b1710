/* How long a message takes there and back. */
#include "tests/bench/target.h"

static void measure(struct target *target, uint64_t count, struct measure_samples *samples)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t before = measure_now();
        target->kind->ping(target);
        measure_samples_add(samples, measure_now() - before);
    }
}

int main(int argc, char **argv)
{
    struct options options;
    struct measure_samples samples = {0};
    options_read(argc, argv, &options);
    measure_pin(options.core);
    struct target *target = target_open(&options);
    if (!target->kind->ping)
        measure_die("%s has no ping", target->kind->name);
    measure(target, options.warm_up, &samples);
    measure_samples_init(&samples, options.count);
    uint64_t cpu = target_cpu(target);
    measure(target, options.count, &samples);

    measure_report_begin();
    measure_report_samples("", &samples);
    measure_report("cpu_us", (double)(target_cpu(target) - cpu) / 1e3 / (double)options.count);
    measure_report_end();
    measure_samples_done(&samples);
    target_close(target);
    return 0;
}
