#include "tests/bench/options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>

enum option_number {
    TARGET = 256,
    PROGRAM,
    COUNT,
    WARM_UP,
    BYTES,
    GAP,
    PARALLEL,
    STALL,
    CORE,
    INPUT,
    FORGET,
    PID,
};

static const struct option known[] = {
    {"target", required_argument, NULL, TARGET},
    {"program", required_argument, NULL, PROGRAM},
    {"count", required_argument, NULL, COUNT},
    {"warm-up", required_argument, NULL, WARM_UP},
    {"bytes", required_argument, NULL, BYTES},
    {"gap-ms", required_argument, NULL, GAP},
    {"parallel", required_argument, NULL, PARALLEL},
    {"stall-ms", required_argument, NULL, STALL},
    {"core", required_argument, NULL, CORE},
    {"input", no_argument, NULL, INPUT},
    {"forget", no_argument, NULL, FORGET},
    {"pid", required_argument, NULL, PID},
    {0},
};

static void add_pid(struct measure_pids *pids, const char *text)
{
    if (pids->count == MEASURE_PIDS)
        measure_die("at most %d --pid", MEASURE_PIDS);
    pids->pid[pids->count++] = (pid_t)atoi(text);
}

static void set(struct options *options, int option, const char *value)
{
    uint64_t number = value ? strtoull(value, NULL, 10) : 0;
    switch (option) {
    case TARGET:
        options->target = value;
        break;
    case PROGRAM:
        options->program = value;
        break;
    case COUNT:
        options->count = number;
        break;
    case WARM_UP:
        options->warm_up = number;
        break;
    case BYTES:
        options->bytes = number;
        break;
    case GAP:
        options->gap_ms = (unsigned)number;
        break;
    case PARALLEL:
        options->parallel = (unsigned)number;
        break;
    case STALL:
        options->stall_ms = (unsigned)number;
        break;
    case CORE:
        options->core = (int)number;
        break;
    case PID:
        add_pid(&options->pids, value);
        break;
    default:
        measure_die("usage: see tests/bench/options.h");
    }
}

void options_read(int argc, char **argv, struct options *ret_options)
{
    *ret_options = (struct options){
        .target = "bare", .program = "/bin/true", .count = 1, .parallel = 1, .core = -1};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == INPUT)
            ret_options->input = true;
        else if (option == FORGET)
            ret_options->forget = true;
        else
            set(ret_options, option, optarg);
    }
    ret_options->rest = argv + optind;
}
