/* Frames of the binary mode, byte for byte as PROTOCOL.md section 3 has them. Pure: no I/O.
 *
 * A connection starts with an 8-byte preface each way; then frames follow, each a 20-byte header
 * and a payload of at most NSP_LIMIT_FRAME_PAYLOAD bytes. Numbers are big-endian.
 */
#ifndef NSP_FRAME_H
#define NSP_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

enum {
    NSP_VERSION_MAJOR = 1,
    NSP_VERSION_MINOR = 0,
    NSP_PREFACE_SIZE = 8,
    NSP_FRAME_HEADER_SIZE = 20,
    NSP_PREFACE_FIRST_BYTE = 0xC0, /* never starts UTF-8 text, so it tells the modes apart */
};

/* X(NAME, number, smallest payload, largest payload, meaning) */
#define NSP_FRAME_TYPES(X)                                                                         \
    X(REQUEST, 1, 1, NSP_LIMIT_FRAME_PAYLOAD, "opens a stream; JSON-RPC request without id")       \
    X(RESPONSE, 2, 1, NSP_LIMIT_FRAME_PAYLOAD, "ends a stream; JSON-RPC result or error")          \
    X(NOTIFY, 3, 1, NSP_LIMIT_FRAME_PAYLOAD, "JSON-RPC notification that belongs to the stream")   \
    X(DATA, 4, 1, NSP_LIMIT_FRAME_PAYLOAD, "bytes of a channel, from the offset in the header")    \
    X(END, 5, 0, 0, "no bytes follow on the channel; the offset is its length")                    \
    X(GAP, 6, 8, 8, "bytes from the offset up to the one in the payload are lost")                 \
    X(CREDIT, 7, 8, 8, "offset: consumed so far; payload: the offset up to which may be sent")     \
    X(CANCEL, 8, 0, 0, "the client gives the stream up; a RESPONSE still follows")                 \
    X(PING, 9, 8, 8, "answer with the same 8 bytes")                                               \
    X(PONG, 10, 8, 8, "the answer")                                                                \
    X(GOAWAY, 11, 2, NSP_LIMIT_FRAME_PAYLOAD, "JSON error; the sender closes the connection")      \
    X(BLOCKED, 12, 0, 0, "what was sent up to the offset must be consumed before more can come")

enum nsp_frame_type {
#define NSP_FRAME_ENUM(name, number, min, max, meaning) NSP_FRAME_##name = number,
    NSP_FRAME_TYPES(NSP_FRAME_ENUM)
#undef NSP_FRAME_ENUM
};

/* Flags. MORE: the JSON message goes on in the next frame of the same type and stream. TRUNCATED
 * (END only): the source was given up before its writers had closed it. */
enum {
    NSP_FLAG_MORE = 1,
    NSP_FLAG_TRUNCATED = 2,
};

/* Channels of a stream; 0 belongs to frames without one. */
enum nsp_channel_id {
    NSP_CHANNEL_NONE = 0,
    NSP_CHANNEL_STDIN = 1,
    NSP_CHANNEL_STDOUT = 2,
    NSP_CHANNEL_STDERR = 3,
    NSP_CHANNEL_COUNT = 4,
};

/* "stdout", as text mode spells it; "" for NONE and unknown ones. */
const char *nsp_frame_channel_name(uint8_t channel);

struct nsp_frame {
    uint32_t length; /* of the payload */
    uint32_t stream; /* odd: opened by the client; even: by the agent; 0: the connection */
    uint8_t type;    /* enum nsp_frame_type */
    uint8_t flags;
    uint8_t channel;
    uint64_t offset; /* DATA, END, GAP, CREDIT; 0 in all others */
};

/* Writes exactly NSP_FRAME_HEADER_SIZE bytes. The frame must be valid. */
void nsp_frame_encode(const struct nsp_frame *frame, uint8_t *ret_header);

/* Reads NSP_FRAME_HEADER_SIZE bytes and checks everything that can be checked without state: type,
 * flags, length bounds, channel, reserved byte, stream 0 only where it belongs. PROTOCOL. */
int nsp_frame_decode(const uint8_t *header, struct nsp_frame *ret_frame, struct nsp_error *err);

/* "DATA"; NULL for an unknown number. */
const char *nsp_frame_type_name(uint8_t type);

/* Payload of GAP and CREDIT, and of PING: one big-endian number. */
void nsp_frame_put_u64(uint8_t *ret_bytes, uint64_t value);
uint64_t nsp_frame_get_u64(const uint8_t *bytes);

void nsp_preface_encode(uint8_t *ret_preface);

/* VERSION when the peer's major differs, PROTOCOL when it is no preface at all. */
int nsp_preface_decode(const uint8_t *preface, uint8_t *ret_minor, struct nsp_error *err);

#endif
