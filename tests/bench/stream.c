/* How fast bytes go from a program's standard output to us or, with --input, from us to a program's
 * standard input, and what that costs on the way.
 */
#include "tests/bench/target.h"

#include <signal.h>

#define MIB 1048576.0
#define GIB (1024 * MIB)

int main(int argc, char **argv)
{
    struct options options;
    options_read(argc, argv, &options);
    signal(SIGPIPE, SIG_IGN);
    measure_pin(options.core);
    struct target *target = target_open(&options);
    if (options.input ? !target->kind->input : !target->kind->output)
        measure_die("%s does not do this", target->kind->name);

    uint64_t cpu = target_cpu(target), before = measure_now();
    if (options.input) {
        target->kind->input(target, options.bytes);
    } else {
        uint64_t got = target->kind->output(target, options.bytes);
        if (got != options.bytes)
            measure_die("%llu bytes came instead of %llu", (unsigned long long)got,
                        (unsigned long long)options.bytes);
    }
    double seconds = (double)(measure_now() - before) / 1e9, bytes = (double)options.bytes;

    measure_report_begin();
    measure_report("mib_per_s", bytes / MIB / seconds);
    measure_report("cpu_s_per_gib", (double)(target_cpu(target) - cpu) / 1e9 / (bytes / GIB));
    measure_report_end();
    target_close(target);
    return 0;
}
