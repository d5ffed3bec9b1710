/* Positions count bytes from 0 on and only grow; the byte of position p lies at p % RING_BYTES.
 * Records lie one after another in [tail, head), each on a multiple of RECORD_ALIGN, and may go
 * round the end.
 *
 * Order of the writer's stores: the tail moves past the records that are to be overwritten, then
 * the bytes, then the head. So a reader that finds its position at or beyond the tail after it has
 * copied a record has copied that record (a seqlock with the tail as its count). */
#include "agent/base/logring.h"

#include <stdatomic.h>
#include <string.h>

enum {
    HEADER_BYTES = 64, /* the positions have a cache line to themselves */
    RING_BYTES = LOGRING_BYTES - HEADER_BYTES,
    RECORD_ALIGN = 8,
    SLACK_BYTES = 8192, /* made free at once, so that who reads the oldest lines has a start */
    OVERTAKEN_MAX = 64, /* times in one go */
};

struct ring {
    _Atomic uint64_t tail;
    _Atomic uint64_t head;
    _Atomic uint64_t newest; /* sequence of the last line; may run one ahead of the head */
    uint64_t unused[HEADER_BYTES / sizeof(uint64_t) - 3];
    unsigned char bytes[RING_BYTES];
};

struct record {
    uint64_t sequence;
    int64_t unix_ms;
    uint32_t level;
    uint32_t length; /* of the text behind */
};

_Static_assert(sizeof(struct ring) == LOGRING_BYTES, "the ring fills its memory");
_Static_assert(sizeof(struct record) % RECORD_ALIGN == 0, "texts follow their records");

/* A walk from the tail ends after so many, whatever is read. */
enum { RECORDS_MAX = RING_BYTES / sizeof(struct record) };

static size_t record_bytes(size_t length)
{
    return sizeof(struct record) + ((length + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1));
}

static void copy_in(struct ring *ring, uint64_t position, const void *bytes, size_t length)
{
    size_t at = position % RING_BYTES;
    size_t first = length < RING_BYTES - at ? length : RING_BYTES - at;
    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, (const char *)bytes + first, length - first);
}

static void copy_out(const struct ring *ring, uint64_t position, void *bytes, size_t length)
{
    size_t at = position % RING_BYTES;
    size_t first = length < RING_BYTES - at ? length : RING_BYTES - at;
    memcpy(bytes, ring->bytes + at, first);
    memcpy((char *)bytes + first, ring->bytes, length - first);
}

static bool are_sound(uint64_t tail, uint64_t head)
{
    return head >= tail && head - tail <= RING_BYTES && head % RECORD_ALIGN == 0 &&
           tail % RECORD_ALIGN == 0;
}

/* The record at the position and its size; false when none can lie there. */
static bool get_record(const struct ring *ring, uint64_t position, uint64_t head,
                       struct record *ret_record, size_t *ret_size)
{
    if (head - position < sizeof *ret_record)
        return false;
    copy_out(ring, position, ret_record, sizeof *ret_record);
    if (ret_record->length > LOGRING_TEXT_MAX || ret_record->level > LOG_ERROR)
        return false;
    *ret_size = record_bytes(ret_record->length);
    return *ret_size <= head - position;
}

/* Writing */

static void publish_tail(struct logring_writer *writer)
{
    struct ring *ring = writer->memory;
    atomic_store_explicit(&ring->tail, writer->tail, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* before what overwrites the records */
}

void logring_writer_init(struct logring_writer *writer, void *memory)
{
    struct ring *ring = memory;
    *writer = (struct logring_writer){.memory = memory, .sequence = 1};
    writer->head = atomic_load_explicit(&ring->head, memory_order_acquire);
    writer->tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

    bool sound = are_sound(writer->tail, writer->head);
    struct record record;
    size_t size;
    for (uint64_t at = writer->tail; sound && at != writer->head; at += size) {
        sound = get_record(ring, at, writer->head, &record, &size);
        writer->sequence = record.sequence + 1;
    }
    if (!sound) {
        memset(ring, 0, sizeof *ring);
        *writer = (struct logring_writer){.memory = memory, .sequence = 1};
    }
}

static void make_room(struct logring_writer *writer, size_t size)
{
    struct record record;
    if (writer->head + size - writer->tail <= RING_BYTES)
        return;
    while (writer->head - writer->tail > RING_BYTES - SLACK_BYTES) {
        size_t oldest;
        if (get_record(writer->memory, writer->tail, writer->head, &record, &oldest))
            writer->tail += oldest;
        else
            writer->tail = writer->head;
    }
    publish_tail(writer);
}

void logring_write(struct logring_writer *writer, enum log_level level, int64_t unix_ms,
                   const char *text, size_t length)
{
    struct ring *ring = writer->memory;
    const struct record record = {
        .sequence = writer->sequence,
        .unix_ms = unix_ms,
        .level = (uint32_t)level,
        .length = (uint32_t)(length < LOGRING_TEXT_MAX ? length : LOGRING_TEXT_MAX),
    };
    size_t size = record_bytes(record.length);
    make_room(writer, size);
    copy_in(ring, writer->head, &record, sizeof record);
    copy_in(ring, writer->head + sizeof record, text, record.length);
    atomic_store_explicit(&ring->newest, writer->sequence++, memory_order_relaxed);
    writer->head += size;
    atomic_store_explicit(&ring->head, writer->head, memory_order_release);
}

/* Reading */

void logring_reader_init(struct logring_reader *reader, const void *memory, uint64_t from,
                         enum log_level level)
{
    const struct ring *ring = memory;
    *reader = (struct logring_reader){.memory = memory, .level = level};
    if (!ring)
        return;
    uint64_t newest = atomic_load_explicit(&ring->newest, memory_order_relaxed);
    reader->next = from == 0 || from - 1 > newest ? 0 : from;
}

/* The record at the reader's position, which moves past it; false when there is none. A reader that
 * was overtaken, or whose ring was emptied, starts again from the tail. */
static bool take_record(struct logring_reader *reader, struct logring_line *ret_line)
{
    const struct ring *ring = reader->memory;
    for (unsigned tries = 0; tries < OVERTAKEN_MAX; tries++) {
        uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
        struct record record;
        size_t size;
        if (head == 0 && reader->next == 0)
            reader->next = 1; /* everything is still to come */
        if (reader->position > head)
            reader->next = 0;
        if (reader->position < tail || reader->position > head)
            reader->position = tail;
        bool found = are_sound(reader->position, head) && reader->position < head &&
                     get_record(ring, reader->position, head, &record, &size);
        if (found)
            copy_out(ring, reader->position + sizeof record, ret_line->text, record.length);
        atomic_thread_fence(memory_order_acquire);
        if (reader->position < atomic_load_explicit(&ring->tail, memory_order_relaxed))
            continue;
        if (!found)
            return false;
        reader->position += size;
        ret_line->sequence = record.sequence;
        ret_line->unix_ms = record.unix_ms;
        ret_line->level = (enum log_level)record.level;
        ret_line->length = record.length;
        ret_line->text[record.length] = '\0';
        return true;
    }
    return false;
}

bool logring_read(struct logring_reader *reader, struct logring_line *ret_line)
{
    for (unsigned tries = 0; reader->memory && tries < RECORDS_MAX; tries++) {
        if (!take_record(reader, ret_line))
            return false;
        if (ret_line->sequence < reader->next)
            continue;
        if (reader->next > 0)
            reader->lost += ret_line->sequence - reader->next;
        reader->next = ret_line->sequence + 1;
        if (ret_line->level >= reader->level)
            return true;
    }
    return false;
}
