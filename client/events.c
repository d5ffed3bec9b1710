#include "client/events.h"

#include <string.h>

#include "protocol/limits.h"

/* Memory that an emptied queue may keep. */
enum { KEEP = NSP_LIMIT_INITIAL_CREDIT };

void nsp_events_init(struct nsp_events *events, size_t ceiling)
{
    *events = (struct nsp_events){.has_last = false};
    nsp_buf_init(&events->bytes, ceiling);
    nsp_buf_init(&events->marks, ceiling * sizeof(struct nsp_mark));
}

void nsp_events_set_ceiling(struct nsp_events *events, size_t ceiling)
{
    if (ceiling < events->bytes.ceiling)
        return;
    events->bytes.ceiling = ceiling;
    events->marks.ceiling = ceiling * sizeof(struct nsp_mark);
}

void nsp_events_done(struct nsp_events *events)
{
    nsp_buf_done(&events->bytes);
    nsp_buf_done(&events->marks);
    events->has_last = false;
}

static int append(struct nsp_events *events, const struct nsp_mark *mark, struct nsp_error *err)
{
    if (events->has_last &&
        nsp_buf_append(&events->marks, &events->last, sizeof events->last, err) < 0)
        return -1;
    events->last = *mark;
    events->has_last = true;
    return 0;
}

static bool continues(const struct nsp_events *events, uint8_t kind, uint8_t channel,
                      uint64_t offset)
{
    const struct nsp_mark *last = &events->last;
    return events->has_last && last->kind == kind && last->channel == channel &&
           last->offset + last->length == offset;
}

int nsp_events_data(struct nsp_events *events, uint8_t channel, uint64_t offset, const void *bytes,
                    size_t length, struct nsp_error *err)
{
    uint8_t *room = NULL;
    if (nsp_buf_reserve(&events->bytes, length, &room, err) < 0)
        return -1;
    if (continues(events, NSP_EVENT_DATA, channel, offset)) {
        events->last.length += length;
    } else {
        struct nsp_mark mark = {
            .kind = NSP_EVENT_DATA, .channel = channel, .offset = offset, .length = length};
        if (append(events, &mark, err) < 0)
            return -1;
    }
    memcpy(room, bytes, length);
    nsp_buf_commit(&events->bytes, length);
    return 0;
}

int nsp_events_gap(struct nsp_events *events, uint8_t channel, uint64_t offset, uint64_t to,
                   struct nsp_error *err)
{
    if (continues(events, NSP_EVENT_GAP, channel, offset)) {
        events->last.length += to - offset;
        return 0;
    }
    struct nsp_mark mark = {
        .kind = NSP_EVENT_GAP, .channel = channel, .offset = offset, .length = to - offset};
    return append(events, &mark, err);
}

int nsp_events_end(struct nsp_events *events, uint8_t channel, uint64_t offset, bool truncated,
                   struct nsp_error *err)
{
    struct nsp_mark mark = {
        .kind = NSP_EVENT_END, .channel = channel, .offset = offset, .truncated = truncated};
    return append(events, &mark, err);
}

static bool front_mark(const struct nsp_events *events, struct nsp_mark *ret_mark)
{
    if (nsp_buf_length(&events->marks) > 0) {
        memcpy(ret_mark, nsp_buf_bytes(&events->marks), sizeof *ret_mark);
        return true;
    }
    if (events->has_last)
        *ret_mark = events->last;
    return events->has_last;
}

bool nsp_events_front(const struct nsp_events *events, struct nsp_event *ret_event)
{
    struct nsp_mark mark;
    if (!front_mark(events, &mark))
        return false;
    struct nsp_event event = {.kind = (enum nsp_event_kind)mark.kind,
                              .channel = mark.channel,
                              .offset = mark.offset,
                              .truncated = mark.truncated};
    if (mark.kind == NSP_EVENT_GAP)
        event.gap_to = mark.offset + mark.length;
    if (mark.kind == NSP_EVENT_DATA) {
        event.data = nsp_buf_bytes(&events->bytes);
        event.length = mark.length;
    }
    *ret_event = event;
    return true;
}

/* What is left of the oldest mark goes back to where it came from. */
static void replace_front(struct nsp_events *events, const struct nsp_mark *mark)
{
    if (nsp_buf_length(&events->marks) > 0)
        memcpy(events->marks.data + events->marks.start, mark, sizeof *mark);
    else
        events->last = *mark;
}

void nsp_events_take(struct nsp_events *events, size_t length)
{
    struct nsp_mark mark;
    if (!front_mark(events, &mark))
        return;
    if (mark.kind == NSP_EVENT_DATA) {
        if (length > mark.length)
            length = mark.length;
        nsp_buf_consume(&events->bytes, length);
        nsp_buf_shrink(&events->bytes, KEEP);
        mark.offset += length;
        mark.length -= length;
        if (mark.length > 0) {
            replace_front(events, &mark);
            return;
        }
    }
    if (nsp_buf_length(&events->marks) > 0) {
        nsp_buf_consume(&events->marks, sizeof mark);
        nsp_buf_shrink(&events->marks, KEEP);
    } else {
        events->has_last = false;
    }
}
