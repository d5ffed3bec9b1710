#include "protocol/frame.h"

#include <stdbool.h>
#include <string.h>

#include "protocol/limits.h"

static const uint8_t preface_magic[4] = {NSP_PREFACE_FIRST_BYTE, 'N', 'S', 'P'};

struct type_row {
    const char *name;
    uint32_t min, max;
    uint8_t flags;      /* those that may be set */
    bool has_channel;   /* channel must be 1..3, otherwise 0 */
    bool has_offset;    /* offset may differ from 0 */
    bool on_connection; /* stream must be 0, otherwise it must not */
};

#define TYPE_COUNT 13

static const struct type_row types[TYPE_COUNT] = {
#define X(name_, number_, min_, max_, meaning_)                                                    \
    [number_] = {.name = #name_, .min = min_, .max = max_},
    NSP_FRAME_TYPES(X)
#undef X
};

/* What the X-macro's columns do not hold follows from the kind of frame. */
static struct type_row row_of(uint8_t type)
{
    struct type_row row = types[type];
    row.flags = type <= NSP_FRAME_NOTIFY ? NSP_FLAG_MORE
                : type == NSP_FRAME_END  ? NSP_FLAG_TRUNCATED
                                         : 0;
    row.has_channel =
        (type >= NSP_FRAME_DATA && type <= NSP_FRAME_CREDIT) || type == NSP_FRAME_BLOCKED;
    row.has_offset = row.has_channel;
    row.on_connection = type >= NSP_FRAME_PING && type <= NSP_FRAME_GOAWAY;
    return row;
}

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

void nsp_frame_put_u64(uint8_t *ret_bytes, uint64_t value)
{
    put_u32(ret_bytes, (uint32_t)(value >> 32));
    put_u32(ret_bytes + 4, (uint32_t)value);
}

uint64_t nsp_frame_get_u64(const uint8_t *bytes)
{
    return (uint64_t)get_u32(bytes) << 32 | get_u32(bytes + 4);
}

const char *nsp_frame_type_name(uint8_t type)
{
    return type < TYPE_COUNT ? types[type].name : NULL;
}

const char *nsp_frame_channel_name(uint8_t channel)
{
    static const char *const names[NSP_CHANNEL_COUNT] = {"", "stdin", "stdout", "stderr"};
    return channel < NSP_CHANNEL_COUNT ? names[channel] : "";
}

void nsp_frame_encode(const struct nsp_frame *frame, uint8_t *ret_header)
{
    put_u32(ret_header, frame->length);
    put_u32(ret_header + 4, frame->stream);
    ret_header[8] = frame->type;
    ret_header[9] = frame->flags;
    ret_header[10] = frame->channel;
    ret_header[11] = 0;
    nsp_frame_put_u64(ret_header + 12, frame->offset);
}

int nsp_frame_decode(const uint8_t *header, struct nsp_frame *ret_frame, struct nsp_error *err)
{
    struct nsp_frame frame = {
        .length = get_u32(header),
        .stream = get_u32(header + 4),
        .type = header[8],
        .flags = header[9],
        .channel = header[10],
        .offset = nsp_frame_get_u64(header + 12),
    };
    const char *name = nsp_frame_type_name(frame.type);
    if (!name)
        return nsp_fail(err, NSP_E_PROTOCOL, "unknown frame type %u", frame.type);
    struct type_row row = row_of(frame.type);
    if (frame.length < row.min || frame.length > row.max)
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "%s payload of %u bytes is not in %u..%u",
                           name, frame.length, row.min, row.max);
    if (frame.flags & ~row.flags)
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "unknown flags 0x%02x on %s",
                           frame.flags & ~row.flags, name);
    if (header[11] != 0)
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "reserved byte is 0x%02x", header[11]);
    bool channel_ok = row.has_channel
                          ? frame.channel > NSP_CHANNEL_NONE && frame.channel < NSP_CHANNEL_COUNT
                          : frame.channel == NSP_CHANNEL_NONE;
    if (!channel_ok)
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "channel %u on %s", frame.channel, name);
    if (!row.has_offset && frame.offset != 0)
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "offset on %s", name);
    if (row.on_connection != (frame.stream == 0))
        return nsp_fail_on(err, NSP_E_PROTOCOL, name, "stream %u on %s", frame.stream, name);
    *ret_frame = frame;
    return 0;
}

void nsp_preface_encode(uint8_t *ret_preface)
{
    memcpy(ret_preface, preface_magic, 4);
    ret_preface[4] = NSP_VERSION_MAJOR;
    ret_preface[5] = NSP_VERSION_MINOR;
    ret_preface[6] = 0;
    ret_preface[7] = 0;
}

int nsp_preface_decode(const uint8_t *preface, uint8_t *ret_minor, struct nsp_error *err)
{
    if (memcmp(preface, preface_magic, 4) != 0)
        return nsp_fail(err, NSP_E_PROTOCOL, "not a nullspace preface");
    if (preface[4] != NSP_VERSION_MAJOR)
        return nsp_fail(err, NSP_E_VERSION, "protocol version %u.%u, supported is %u.%u",
                        preface[4], preface[5], NSP_VERSION_MAJOR, NSP_VERSION_MINOR);
    if (preface[6] != 0 || preface[7] != 0)
        return nsp_fail(err, NSP_E_PROTOCOL, "reserved preface bytes are not zero");
    *ret_minor = preface[5];
    return 0;
}
