/* Standard input of a process: from writers' queues into the pipe, counted by absolute offset.
 *
 * A writer is one attached stream or one call. Its bytes wait in its own queue until the pipe takes
 * them; only then do they count as delivered. A writer that goes away takes its undelivered bytes
 * with it: it, or its successor, sends them again from the offset that the record tells. Writers
 * with bytes are served in the order in which they came.
 *
 * Offsets are exact for one writer at a time. A stream claims the input with its first bytes; that
 * takes it from another stream that has nothing waiting, and is refused when somebody else has
 * written since the stream was told where to go on. A call takes it likewise. Who has lost it is
 * told.
 */
#ifndef AGENT_INPUT_H
#define AGENT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/loop/loop.h"
#include "protocol/buf.h"
#include "protocol/error.h"

struct process;

struct input_writer {
    struct input_writer *next;
    bool is_linked, wants_end;
    bool is_out;   /* a stream that has lost the input, or never got it */
    uint64_t from; /* where a stream was told to go on */
    struct nsp_buf queue;
    /* length bytes were delivered, or dropped because nobody reads them any more. Must not end the
     * writer. */
    void (*delivered)(void *arg, uint64_t length);
    /* The queue is empty and an asked-for end has been carried out. May be NULL; may end the
     * writer. */
    void (*emptied)(void *arg);
    /* The input was lost to another writer. NULL for a call. Must not end the writer. */
    void (*taken)(void *arg);
    void *arg;
};

struct input {
    struct process *process;
    struct io *io; /* NULL once closed */
    int fd;        /* -1 once closed */
    bool is_pumping, enlarged;
    size_t capacity;              /* of the pipe */
    struct input_writer *writers; /* in the order of service */
    struct input_writer *owner;   /* the stream that writes now; NULL: none */
};

/* Takes over the write end of the process's standard input. */
int input_open(struct input *input, int fd, struct nsp_error *err);
void input_done(struct input *input);

void input_writer_init(struct input_writer *writer, void (*delivered)(void *, uint64_t),
                       void (*emptied)(void *), void *arg);
/* Closes when nobody has the read end any more; nothing is written for that. */
void input_check(struct input *input);
/* For a stream, before its bytes or its end: false when it may not write (any more). Its end is
 * input_writer_done. */
bool input_claim(struct input *input, struct input_writer *writer);
/* For a call: takes the input from a stream with nothing waiting. STATE otherwise. */
int input_take(struct input *input, struct nsp_error *err);
/* Delivers what the pipe takes now and queues the rest. EXHAUSTED, and nothing was taken, when more
 * than STDIN_QUEUE would wait in all queues of the process together. */
int input_write(struct input *input, struct input_writer *writer, const void *bytes, size_t length,
                struct nsp_error *err);
/* Closes standard input once the writer's bytes are delivered. */
void input_end(struct input *input, struct input_writer *writer);
/* Forgets the writer and its undelivered bytes. */
void input_writer_done(struct input *input, struct input_writer *writer);

bool input_is_open(const struct input *input);

#endif
