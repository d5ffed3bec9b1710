/* Holds --count sleeping processes with attached streams on one connection until its standard input
 * ends, then kills them. Reports once when all are there, and once more when all have ended.
 */
#include "tests/bench/options.h"

#include <string.h>
#include <unistd.h>

#include "tests/bench/wire.h"

/* Until a frame of this type on this stream. */
static void expect(struct wire *wire, uint32_t stream, uint8_t type)
{
    struct nsp_frame frame;
    const uint8_t *payload;
    do {
        wire_next(wire, true, &frame, &payload);
        if (frame.type == NSP_FRAME_RESPONSE && wire_holds(&frame, payload, "{\"error\""))
            measure_die("%.*s", (int)frame.length, (const char *)payload);
    } while (frame.stream != stream || frame.type != type);
}

static void open_all(struct wire *wire, uint64_t count, struct measure_samples *samples)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t before = measure_now();
        uint32_t stream = wire_request(wire,
                                       "{\"method\":\"process.start\",\"params\":{\"argv\":[\"/bin/"
                                       "sleep\",\"3600\"],\"id\":\"rest-%llu\",\"attach\":true}}",
                                       (unsigned long long)i);
        expect(wire, stream, NSP_FRAME_NOTIFY);
        measure_samples_add(samples, measure_now() - before);
    }
}

/* The attached streams end as well; what counts is that the last process is forgotten. */
static void close_all(struct wire *wire, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t stream =
            wire_request(wire,
                         "{\"method\":\"process.kill\",\"params\":{\"id\":\"rest-%llu\","
                         "\"signal\":\"KILL\"}}",
                         (unsigned long long)i);
        expect(wire, stream, NSP_FRAME_RESPONSE);
        stream =
            wire_request(wire, "{\"method\":\"process.forget\",\"params\":{\"id\":\"rest-%llu\"}}",
                         (unsigned long long)i);
        expect(wire, stream, NSP_FRAME_RESPONSE);
    }
}

int main(int argc, char **argv)
{
    struct options options;
    struct measure_samples samples;
    options_read(argc, argv, &options);
    const char *colon = strchr(options.target, ':');
    if (!colon)
        measure_die("usage: rest --target agent:PATH");
    struct wire *wire = wire_open(colon + 1);
    measure_samples_init(&samples, options.count);
    open_all(wire, options.count, &samples);
    measure_report_begin();
    measure_report_samples("open_", &samples);
    measure_report_end();

    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    uint64_t before = measure_now();
    close_all(wire, options.count);
    measure_report_begin();
    measure_report("close_ms", (double)(measure_now() - before) / 1e6);
    measure_report_end();
    measure_samples_done(&samples);
    wire_close(wire);
    return 0;
}
