/* The last lines of one writer in memory that others may read: its own successor and other
 * processes too, when the memory is shared.
 *
 * Every line is a record {sequence, Unix time, level, length, text}; sequences count from 1 without
 * holes. There is one writer at a time and nothing is locked: a writer that is killed between any
 * two stores publishes its line whole or not at all, and costs at most the oldest few.
 *
 * Nothing in the memory is believed: whatever bytes it holds, reading stays inside it and ends.
 */
#ifndef AGENT_LOGRING_H
#define AGENT_LOGRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum {
    LOGRING_BYTES = 128 * 1024, /* of a ring's memory, which is aligned for uint64_t */
    LOGRING_TEXT_MAX = 1024,    /* of one line; more is cut */
};

struct logring_line {
    uint64_t sequence;
    int64_t unix_ms;
    enum log_level level;
    size_t length;
    char text[LOGRING_TEXT_MAX + 1]; /* NUL-terminated */
};

struct logring_writer {
    void *memory;
    uint64_t head, tail; /* as they stand in the memory, or are to stand there next */
    uint64_t sequence;   /* of the next line */
};

/* Goes on after the lines that are there; empties memory that is not sound. memory: borrowed; all
 * zero is an empty ring. */
void logring_writer_init(struct logring_writer *writer, void *memory);
void logring_write(struct logring_writer *writer, enum log_level level, int64_t unix_ms,
                   const char *text, size_t length);

struct logring_reader {
    const void *memory;
    uint64_t position;
    uint64_t next;        /* sequence of the first line not read yet; 0: whatever is the oldest */
    uint64_t lost;        /* lines from `next` on that were overwritten before they were read */
    enum log_level level; /* lines below are passed over */
};

/* from: sequence of the first line wanted; 0: the oldest there is. One that lies beyond the next
 * line to come is not of this ring, and counts as 0. memory NULL: an empty ring. */
void logring_reader_init(struct logring_reader *reader, const void *memory, uint64_t from,
                         enum log_level level);
/* The next line; false when there is none now. */
bool logring_read(struct logring_reader *reader, struct logring_line *ret_line);

#endif
