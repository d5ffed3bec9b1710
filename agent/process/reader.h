/* A reader of a process's outputs: a cursor an output, and for a lossless one a place (hold) in the
 * record that keeps the ring from dropping what it has not consumed.
 *
 * A reader that is lost with its connection leaves its place for hold_ms: under the same name it,
 * or its successor, takes the place over and goes on where it was. Readers without a name leave
 * none.
 */
#ifndef AGENT_READER_H
#define AGENT_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "agent/process/process.h"

enum reader_piece_kind { READER_NOTHING, READER_DATA, READER_GAP, READER_END, READER_BLOCKED };

struct reader_piece {
    enum reader_piece_kind kind;
    unsigned output;
    uint64_t offset; /* first byte; END: length of the output */
    uint64_t gap_to;
    bool truncated;
    uint64_t length;
    struct iovec iov[2];
    int iov_count;
};

struct reader_options {
    uint64_t from[TABLE_OUTPUTS];
    bool tail; /* from the present end instead */
    bool lossless;
    bool is_named;
    uint64_t name;
    uint64_t hold_ms;
    bool interleaved; /* in the order of arrival */
    bool follow;      /* false: ends at what is there now */
};

struct reader {
    struct process *process;
    struct reader *next_reader;      /* of the same process */
    uint64_t next[TABLE_OUTPUTS];    /* the next byte to hand out */
    uint64_t stop[TABLE_OUTPUTS];    /* where to end; UINT64_MAX: never */
    bool ended[TABLE_OUTPUTS];       /* END was handed out */
    uint64_t blocked[TABLE_OUTPUTS]; /* offset of the last BLOCKED */
    bool interleaved;
    uint64_t arrival; /* number of the one that it is at */
    unsigned turn;    /* output that is asked first */
    int hold;         /* index into the record's holds; -1: none */
    /* Another reader of the same name has taken the place. */
    void (*superseded)(void *arg);
    void *arg;
};

/* OFFSET when from is beyond the end, EXHAUSTED when all places are taken. */
int reader_attach(struct reader *reader, struct process *process,
                  const struct reader_options *options, void (*superseded)(void *), void *arg,
                  struct nsp_error *err);

/* The next piece, which then counts as handed out; at most max bytes, and for an output at most
 * allowance[output]. The bytes are valid until the loop goes on. */
void reader_pull(struct reader *reader, const uint64_t *allowance, uint64_t max,
                 struct reader_piece *ret_piece);

/* Everything before offset has arrived at the reader and will not be asked for again. */
void reader_consumed(struct reader *reader, unsigned output, uint64_t offset);

/* Everything up to the drained offsets (or the ends, or where it had to stop) was handed out. */
bool reader_has_all(const struct reader *reader, bool until_closed);

/* lost: the place is kept for the hold time; otherwise it is free at once. */
void reader_detach(struct reader *reader, bool lost);

/* Frees the places whose time is over. For deadlines.c. */
void reader_expire_holds(struct process *process, uint64_t now);
/* After a restart: whoever was attached is departed now. For recover.c. */
void reader_depart_all(struct process *process);
/* Attached and held lossless readers. */
unsigned reader_count(const struct process *process);

#endif
