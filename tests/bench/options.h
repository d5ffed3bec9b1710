/* The command line that all benchmark programs share; each uses what it needs. */
#ifndef TESTS_BENCH_OPTIONS_H
#define TESTS_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/measure.h"

struct options {
    const char *target;  /* "bare", "agent:PATH", "qga:PATH", "ssh:PATH" */
    const char *program; /* what to start */
    uint64_t count;      /* how often */
    uint64_t warm_up;    /* how often before that, unmeasured */
    uint64_t bytes;      /* how much */
    unsigned gap_ms;     /* from one start to the next; 0: back to back */
    unsigned parallel;   /* at once */
    unsigned stall_ms;   /* how long a slow reader rests */
    int core;            /* -1: any */
    bool input;          /* bytes go in, not out */
    bool forget;         /* have each process forgotten after its end */
    struct measure_pids pids;
    char **rest; /* what follows "--" */
};

/* Dies on what it does not know. */
void options_read(int argc, char **argv, struct options *ret_options);

#endif
