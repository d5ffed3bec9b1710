/* A reader that takes a little, then nothing for --stall-ms, then the rest, while a program has
 * --bytes to say. Meanwhile another connection runs programs and sends pings. It has given credit
 * for everything, so that nothing but its socket holds the agent back.
 */
#include "tests/bench/options.h"

#include <stdio.h>
#include <string.h>

#include "tests/bench/target.h"
#include "tests/bench/wire.h"

enum { FIRST_BYTES = 65536, EXECS_AT_ONCE = 10, PINGS_AT_ONCE = 20, PSS_EVERY = 128 << 20 };

struct others {
    struct target *target;
    const char *program;
    struct measure_samples execs, pings;
};

static void others_work(struct others *others)
{
    const struct target_kind *kind = others->target->kind;
    for (unsigned i = 0; i < EXECS_AT_ONCE; i++) {
        uint64_t before = measure_now();
        kind->start(others->target, others->program, 0);
        kind->wait(others->target);
        measure_samples_add(&others->execs, measure_now() - before);
    }
    for (unsigned i = 0; i < PINGS_AT_ONCE; i++) {
        uint64_t before = measure_now();
        kind->ping(others->target);
        measure_samples_add(&others->pings, measure_now() - before);
    }
}

static void others_work_for(struct others *others, unsigned ms)
{
    uint64_t end = measure_now() + ms * UINT64_C(1000000);
    others->execs.count = others->pings.count = 0;
    do {
        others_work(others);
    } while (measure_now() < end);
}

static void report_others(const char *when, struct others *others)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "exec_%s_", when);
    measure_report_samples(prefix, &others->execs);
    snprintf(prefix, sizeof prefix, "ping_%s_", when);
    measure_report_samples(prefix, &others->pings);
}

/* Frames until the output has so many bytes or has ended; the peak of the memory on the way. */
static uint64_t take(struct wire *wire, struct wire_output *output, uint64_t until,
                     const struct measure_pids *pids)
{
    uint64_t peak = 0, look_at = output->next + PSS_EVERY;
    while (output->next < until && !output->has_ended) {
        struct nsp_frame frame;
        const uint8_t *payload;
        wire_next(wire, true, &frame, &payload);
        wire_take_output(wire, output, &frame, payload);
        if (output->next < look_at)
            continue;
        look_at += PSS_EVERY;
        uint64_t now = measure_pss(pids);
        peak = now > peak ? now : peak;
    }
    return peak;
}

static void report(const struct options *options, const struct wire_output *output, uint64_t before,
                   uint64_t stalled, uint64_t peak)
{
    measure_report("lost", (double)output->lost + (double)options->bytes - (double)output->next);
    measure_report("pss_before_kib", (double)before);
    measure_report("pss_stalled_kib", (double)stalled);
    measure_report("pss_peak_kib", (double)(peak > stalled ? peak : stalled));
}

int main(int argc, char **argv)
{
    struct options options;
    options_read(argc, argv, &options);
    struct others others = {.target = target_open(&options), .program = options.program};
    measure_samples_init(&others.execs, 1 << 16);
    measure_samples_init(&others.pings, 1 << 16);
    const char *colon = strchr(options.target, ':');
    struct wire *wire = wire_open(colon ? colon + 1 : "");

    measure_report_begin();
    others_work_for(&others, options.stall_ms / 2);
    report_others("before", &others);
    uint64_t before = measure_pss(&options.pids);

    struct wire_output output = {.gives_credit = false};
    output.stream =
        wire_request(wire,
                     "{\"method\":\"process.start\",\"params\":{\"argv\":[\"head\",\"-c\",\"%llu\","
                     "\"/dev/zero\"],\"attach\":true}}",
                     (unsigned long long)options.bytes);
    take(wire, &output, FIRST_BYTES, &options.pids);
    wire_credit(wire, output.stream, NSP_CHANNEL_STDOUT, output.next, options.bytes);
    others_work_for(&others, options.stall_ms);
    report_others("stalled", &others);
    uint64_t stalled = measure_pss(&options.pids);

    output.gives_credit = true;
    uint64_t peak = take(wire, &output, UINT64_MAX, &options.pids);
    report(&options, &output, before, stalled, peak);
    measure_report_end();
    measure_samples_done(&others.execs);
    measure_samples_done(&others.pings);
    target_close(others.target);
    wire_close(wire);
    return 0;
}
