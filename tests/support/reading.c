#include "tests/support/reading.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { FEW = 32, PIECES_MAX = 64 };

struct reading reading;

const struct reader_options reading_plain = {.follow = true};
const struct reader_options reading_lossless = {.follow = true, .lossless = true};
const struct reader_options reading_in_order = {.follow = true, .interleaved = true};

struct reader_options reading_named(uint64_t name, uint64_t hold_ms)
{
    return (struct reader_options){
        .follow = true, .lossless = true, .is_named = true, .name = name, .hold_ms = hold_ms};
}

void reading_on_superseded(void *arg)
{
    (void)arg;
    reading.superseded++;
}

void reading_attach_to(struct reader *reader, const struct puppet *puppet,
                       const struct reader_options *options)
{
    struct nsp_error err = NSP_ERROR_INIT;
    int result = reader_attach(reader, puppet->process, options, reading_on_superseded, NULL, &err);
    ck_assert_msg(result == 0, "%s", err.msg);
}

void reading_attach(const struct puppet *puppet, const struct reader_options *options)
{
    reading_attach_to(&reading.reader, puppet, options);
}

/* False when they are many or unprintable. */
static bool few_bytes(const struct reader_piece *piece, char target[FEW])
{
    size_t length = 0;
    for (int i = 0; i < piece->iov_count && length + piece->iov[i].iov_len < FEW; i++) {
        memcpy(target + length, piece->iov[i].iov_base, piece->iov[i].iov_len);
        length += piece->iov[i].iov_len;
    }
    target[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (!isprint((unsigned char)target[i]))
            return false;
    return length == piece->length;
}

static int describe_bytes(const struct reader_piece *piece, char *text, size_t capacity)
{
    unsigned long long offset = piece->offset, length = piece->length;
    char bytes[FEW];
    uint64_t total = 0;
    for (int i = 0; i < piece->iov_count; i++)
        total += piece->iov[i].iov_len;
    ck_assert_uint_eq(total, piece->length);
    if (few_bytes(piece, bytes))
        return snprintf(text, capacity, "%u@%llu:%s", piece->output, offset, bytes);
    return snprintf(text, capacity, "%u@%llu#%llu", piece->output, offset, length);
}

static int describe(const struct reader_piece *piece, char *text, size_t capacity)
{
    unsigned long long offset = piece->offset, end = piece->gap_to;
    switch (piece->kind) {
    case READER_DATA:
        return describe_bytes(piece, text, capacity);
    case READER_GAP:
        return snprintf(text, capacity, "gap%u@%llu-%llu", piece->output, offset, end);
    case READER_END:
        return snprintf(text, capacity, "end%u@%llu%s", piece->output, offset,
                        piece->truncated ? "!" : "");
    case READER_BLOCKED:
        return snprintf(text, capacity, "blocked%u@%llu", piece->output, offset);
    default:
        return 0;
    }
}

const char *reading_pull_from(struct reader *reader, uint64_t credit0, uint64_t credit1,
                              uint64_t max)
{
    static char text[PIECES_MAX * 64];
    const uint64_t allowance[] = {credit0, credit1};
    int used = 0;
    text[0] = '\0';
    for (int i = 0; i < PIECES_MAX; i++) {
        struct reader_piece piece;
        reader_pull(reader, allowance, max, &piece);
        if (piece.kind == READER_NOTHING)
            return text;
        if (used > 0)
            text[used++] = ' ';
        used += describe(&piece, text + used, sizeof text - (size_t)used);
    }
    ck_abort_msg("no end of pieces: %s", text);
}

const char *reading_pull(void)
{
    return reading_pull_from(&reading.reader, UINT64_MAX, UINT64_MAX, UINT64_MAX);
}

uint64_t reading_head(const struct puppet *puppet, unsigned output)
{
    return puppet->process->record->outputs[output].ring.head;
}

bool reading_is_blocked(const struct puppet *puppet, unsigned output)
{
    return output_is_blocked(&puppet->process->outputs[output]);
}
