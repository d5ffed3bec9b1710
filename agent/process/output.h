/* One output of a process: from the pipe into the ring, under the policy for a full ring.
 *
 * Reading stops when the next bytes would overwrite what must be kept: everything that a lossless
 * reader (attached, or departed and still held) has not consumed; with policy BLOCK everything that
 * no lossless reader has ever consumed; with DROP nothing. It goes on by output_resume. The pipe is
 * then the back-pressure.
 */
#ifndef AGENT_OUTPUT_H
#define AGENT_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/ring.h"
#include "agent/loop/loop.h"
#include "protocol/error.h"

struct process;

struct output {
    struct process *process;
    unsigned number; /* 0: stdout, 1: stderr */
    struct ring ring;
    struct io *io;     /* NULL once closed */
    int fd;            /* -1 once closed */
    bool enlarged;     /* the pipe has been made larger */
    uint64_t promised; /* bytes that the ring may touch besides those it has */
};

/* Starts reading fd, which the output then owns, into the process's region. */
int output_open(struct output *output, int fd, struct nsp_error *err);
/* Reads what is there now, as far as the ring takes it. */
void output_pump(struct output *output);
/* Something that had to be kept need not be kept any more: reads on if it had stopped. */
void output_resume(struct output *output);
/* The ring is full of what must be kept. */
bool output_is_blocked(const struct output *output);
/* Stops reading for good; truncated: although somebody may still write. */
void output_close(struct output *output, bool truncated);
/* Frees what the struct holds, without a word to anybody. */
void output_done(struct output *output);
/* Bytes of memory that the ring has touched. */
uint64_t output_touched(const struct output *output);

#endif
