/* A blocking client of PROTOCOL.md's binary mode, as small as it can be: what is measured through
 * it is the agent. Anything unexpected ends the program (measure_die).
 */
#ifndef TESTS_BENCH_WIRE_H
#define TESTS_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/frame.h"

enum { WIRE_WINDOW = 1 << 20, WIRE_CREDIT_EVERY = WIRE_WINDOW / 4 };

struct wire;

/* A unix socket's path, or "hybrid:PATH:PORT": a port of a guest. -1 when nobody listens there. */
int wire_dial(const char *path);
/* The same, and says hello. NULL when nobody listens there. */
struct wire *wire_try_open(const char *path);
struct wire *wire_open(const char *path);
/* Frames over a socket of the caller's, without preface and hello. Takes it over. */
struct wire *wire_adopt(int fd);
void wire_close(struct wire *wire);
int wire_fd(const struct wire *wire);

/* Sends a REQUEST with this text; the result is its stream. */
uint32_t wire_request(struct wire *wire, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void wire_data(struct wire *wire, uint32_t stream, uint8_t channel, uint64_t offset,
               const void *bytes, size_t length);
void wire_end(struct wire *wire, uint32_t stream, uint8_t channel, uint64_t offset);
void wire_credit(struct wire *wire, uint32_t stream, uint8_t channel, uint64_t consumed,
                 uint64_t limit);
/* One PING and its PONG. */
void wire_ping(struct wire *wire);

/* The next frame; its payload stays until the next call. PINGs are answered on the way. Without
 * wait: false when none has come. */
bool wire_next(struct wire *wire, bool wait, struct nsp_frame *ret_frame,
               const uint8_t **ret_payload);
/* How many frames have come. */
uint64_t wire_frames(const struct wire *wire);

/* The payload is JSON that holds this text. */
bool wire_holds(const struct nsp_frame *frame, const uint8_t *payload, const char *text);

/* Takes an output to its end, giving credit for WIRE_WINDOW bytes at a time. */
struct wire_output {
    uint32_t stream;
    uint64_t next;     /* bytes received */
    uint64_t credited; /* consumed as last told */
    uint64_t lost;     /* named by GAP */
    bool has_ended, gives_credit;
};

/* Looks at a frame: true when it belongs to the output and was taken. A hole or a repetition dies.
 */
bool wire_take_output(struct wire *wire, struct wire_output *output, const struct nsp_frame *frame,
                      const uint8_t *payload);

#endif
