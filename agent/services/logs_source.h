/* Lines of one or several logs, oldest first: what log.tail answers from. */
#ifndef AGENT_SERVICES_LOGS_SOURCE_H
#define AGENT_SERVICES_LOGS_SOURCE_H

#include "agent/base/log.h"
#include "agent/machine/kmsg.h"
#include "agent/rpc/reply.h"

enum logs_source_kind {
    LOGS_SOURCE_SUPERVISOR, /* as enum log_area */
    LOGS_SOURCE_AGENT,
    LOGS_SOURCE_KERNEL,
    LOGS_SOURCE_COUNT
};

struct logs_source_wish {
    unsigned kinds;                   /* bit 1 << kind */
    uint64_t from[LOGS_SOURCE_COUNT]; /* sequence of the first line wanted; 0: the oldest */
    enum log_level level;             /* the least */
};

struct logs_source_line {
    enum logs_source_kind kind;
    struct logring_line line;
};

struct logs_source {
    struct logs_source_wish wish;
    struct logring_reader rings[LOG_AREA_COUNT];
    struct kmsg *kmsg; /* NULL: not wanted */
    int64_t kmsg_epoch_ms;
    uint64_t kmsg_newest; /* sequence of the last record that was read */
    uint64_t kmsg_next, kmsg_lost;
    struct logs_source_line ahead[LOGS_SOURCE_COUNT]; /* read, but not handed out */
    bool is_ahead[LOGS_SOURCE_COUNT];
};

/* Errors of kmsg_open; UNSUPPORTED for a place in a kernel log that has no sequences. */
int logs_source_open(struct logs_source *source, const struct logs_source_wish *wish,
                     struct nsp_error *err);
void logs_source_close(struct logs_source *source);

/* Which of the logs' lines is the oldest; false when there is none now. */
bool logs_source_next(struct logs_source *source, struct logs_source_line *ret_line);

/* Lines are {seq, time_ms, level, source, text}; seq is left out where there is none. */
void logs_source_write_line(struct reply *reply, const struct logs_source_line *line);
/* `next`: an object with the sequence to go on from, by source; `lost`: how many lines were
 * overwritten before they could be read. */
void logs_source_write_place(struct reply *reply, const struct logs_source *source);

enum {
    LOGS_SOURCE_LINE_WEIGHT = 160, /* names, numbers and brackets */
    LOGS_SOURCE_BYTE_WEIGHT = 3,   /* U+FFFD in the place of one byte that is no text */
    LOGS_SOURCE_WEIGHT_MAX = LOGS_SOURCE_LINE_WEIGHT + LOGS_SOURCE_BYTE_WEIGHT * LOGRING_TEXT_MAX,
};

/* The most bytes that the line takes in a message. */
size_t logs_source_weight(const struct logs_source_line *line);

#endif
