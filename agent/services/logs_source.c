/* Each log is read one line ahead, and the oldest of these lines is the next. A place counts lines
 * that were handed out only. */
#include "agent/services/logs_source.h"

#include <string.h>
#include <time.h>

#include "agent/base/clock.h"

enum { RECORDS_MAX = 65536 }; /* of the kernel, in one go */

static const char *const names[] = {
    [LOGS_SOURCE_SUPERVISOR] = "supervisor",
    [LOGS_SOURCE_AGENT] = "agent",
    [LOGS_SOURCE_KERNEL] = "kernel",
};
_Static_assert(sizeof names / sizeof names[0] == LOGS_SOURCE_COUNT, "every source");
_Static_assert((int)LOGS_SOURCE_SUPERVISOR == LOG_AREA_SUPERVISOR &&
                   (int)LOGS_SOURCE_AGENT == LOG_AREA_AGENT,
               "sources are numbered like areas");

static bool wants(const struct logs_source *source, enum logs_source_kind kind)
{
    return source->wish.kinds & 1u << kind;
}

/* Unix time of the kernel's zero. */
static int64_t kernel_epoch_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return clock_unix_ms() - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

int logs_source_open(struct logs_source *source, const struct logs_source_wish *wish,
                     struct nsp_error *err)
{
    struct kmsg *kmsg = NULL;
    uint64_t kernel_from = wish->from[LOGS_SOURCE_KERNEL];
    if (wish->kinds & 1u << LOGS_SOURCE_KERNEL && kmsg_open(&kmsg, err) < 0)
        return -1;
    if (kmsg && kmsg_fd(kmsg) < 0 && kernel_from > 0) {
        kmsg_free(kmsg);
        return nsp_fail_on(err, NSP_E_UNSUPPORTED, "kernel_from",
                           "without /dev/kmsg the kernel's log has no sequences");
    }
    *source = (struct logs_source){
        .wish = *wish, .kmsg = kmsg, .kmsg_epoch_ms = kernel_epoch_ms(), .kmsg_next = kernel_from};
    for (int area = 0; area < LOG_AREA_COUNT; area++)
        if (wants(source, (enum logs_source_kind)area))
            log_reader_init(&source->rings[area], (enum log_area)area, wish->from[area],
                            wish->level);
    return 0;
}

void logs_source_close(struct logs_source *source)
{
    kmsg_free(source->kmsg);
    source->kmsg = NULL;
}

static enum log_level kernel_level(unsigned priority)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_ERROR, LOG_ERROR, LOG_ERROR,
                                            LOG_WARN,  LOG_INFO,  LOG_INFO,  LOG_DEBUG};
    return levels[priority & 7];
}

/* Sequences are told from 1, so that 0 can stand for the oldest there is. */
static void take_record(struct logs_source *source, const struct kmsg_record *record,
                        struct logring_line *line)
{
    line->sequence = kmsg_fd(source->kmsg) >= 0 ? record->sequence + 1 : 0;
    line->unix_ms = source->kmsg_epoch_ms + (int64_t)(record->time_us / 1000);
    line->level = kernel_level(record->priority);
    line->length = record->length;
    memcpy(line->text, record->text, record->length + 1);
    source->kmsg_newest = line->sequence;
}

static bool read_kernel(struct logs_source *source, struct logring_line *line)
{
    struct kmsg_record record;
    for (unsigned n = 0; n < RECORDS_MAX && kmsg_read(source->kmsg, &record); n++) {
        take_record(source, &record, line);
        if (line->sequence < source->kmsg_next)
            continue;
        if (source->kmsg_next > 0)
            source->kmsg_lost += line->sequence - source->kmsg_next;
        if (line->sequence > 0)
            source->kmsg_next = line->sequence + 1;
        if (line->level >= source->wish.level)
            return true;
    }
    /* A place that this kernel has not come to yet is another's. */
    if (source->kmsg_next > source->kmsg_newest + 1) {
        source->kmsg_next = 0;
        kmsg_rewind(source->kmsg);
        return read_kernel(source, line);
    }
    return false;
}

static bool look_ahead(struct logs_source *source, enum logs_source_kind kind)
{
    struct logs_source_line *ahead = &source->ahead[kind];
    if (!wants(source, kind))
        return false;
    if (!source->is_ahead[kind]) {
        ahead->kind = kind;
        source->is_ahead[kind] = kind == LOGS_SOURCE_KERNEL
                                     ? read_kernel(source, &ahead->line)
                                     : logring_read(&source->rings[kind], &ahead->line);
    }
    return source->is_ahead[kind];
}

bool logs_source_next(struct logs_source *source, struct logs_source_line *ret_line)
{
    int oldest = -1;
    for (int kind = 0; kind < LOGS_SOURCE_COUNT; kind++)
        if (look_ahead(source, (enum logs_source_kind)kind) &&
            (oldest < 0 || source->ahead[kind].line.unix_ms < source->ahead[oldest].line.unix_ms))
            oldest = kind;
    if (oldest < 0)
        return false;
    *ret_line = source->ahead[oldest];
    source->is_ahead[oldest] = false;
    return true;
}

void logs_source_write_line(struct reply *reply, const struct logs_source_line *line)
{
    reply_open_object(reply, NULL);
    if (line->line.sequence > 0)
        reply_u64(reply, "seq", line->line.sequence);
    reply_int(reply, "time_ms", line->line.unix_ms);
    reply_text(reply, "level", log_level_name(line->line.level));
    reply_text(reply, "source", names[line->kind]);
    reply_text(reply, "text", line->line.text);
    reply_close(reply);
}

void logs_source_write_place(struct reply *reply, const struct logs_source *source)
{
    uint64_t lost = source->kmsg_lost;
    reply_open_object(reply, "next");
    for (int kind = 0; kind < LOGS_SOURCE_COUNT; kind++) {
        bool kernel = kind == LOGS_SOURCE_KERNEL;
        if (!wants(source, (enum logs_source_kind)kind) || (kernel && kmsg_fd(source->kmsg) < 0))
            continue;
        uint64_t next = kernel ? source->kmsg_next : source->rings[kind].next;
        reply_u64(reply, names[kind],
                  source->is_ahead[kind] ? source->ahead[kind].line.sequence : next);
        lost += kernel ? 0 : source->rings[kind].lost;
    }
    reply_close(reply);
    reply_u64(reply, "lost", lost);
}

size_t logs_source_weight(const struct logs_source_line *line)
{
    return LOGS_SOURCE_LINE_WEIGHT + LOGS_SOURCE_BYTE_WEIGHT * line->line.length;
}
