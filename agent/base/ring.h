/* A byte ring in shared memory with absolute offsets: a log of which the last bytes are kept.
 *
 * Bytes have offsets from 0 on. Kept are those in [tail, head); the byte of offset o lies at
 * o % size. The ring starts at RING_START bytes and doubles, up to its maximum, only before it has
 * wrapped for the first time, so that memory is touched on demand and a ring that is refused more
 * goes on at the size it has.
 *
 * The state lies in shared memory too and is the truth after the writer has died: every function
 * stores so that the state is valid between any two stores. One writer.
 */
#ifndef AGENT_RING_H
#define AGENT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { RING_START = 65536 };

struct ring_state {
    uint64_t head;     /* offset after the last byte written */
    uint64_t tail;     /* offset of the first byte kept */
    uint64_t size;     /* bytes the ring wraps at now; a power of two */
    uint64_t size_max; /* bytes it may grow to; a power of two */
};

/* A mapped ring: both pointers are borrowed. */
struct ring {
    struct ring_state *state;
    uint8_t *data; /* size_max bytes of address space */
};

/* size_max: a power of two, at least RING_START. */
void ring_init_state(struct ring_state *state, uint64_t size_max);
/* True when the state read from shared memory is possible at all. */
bool ring_state_valid(const struct ring_state *state);

/* Bytes that fit without losing anything at or after keep (tail <= keep <= head). */
uint64_t ring_room(const struct ring *ring, uint64_t keep);
/* True when the ring could still double. */
bool ring_can_grow(const struct ring *ring);
void ring_grow(const struct ring *ring);

/* Where the next bytes go: at most max and at most the ring's size, in one or two pieces. The
 * caller has made sure of the room. Returns the number of pieces. */
int ring_write_slices(const struct ring *ring, uint64_t max, struct iovec slices[2]);
/* length bytes were written there: moves head, and tail where bytes were overwritten. */
void ring_commit(const struct ring *ring, uint64_t length);
/* As ring_commit, to an absolute head; for recovery. */
void ring_set_head(const struct ring *ring, uint64_t head);

/* The bytes from offset on (tail <= from <= head), at most max, in one or two pieces. Returns the
 * number of pieces; the length is the smaller of max and head - from. */
int ring_read_slices(const struct ring *ring, uint64_t from, uint64_t max, struct iovec slices[2]);

/* Gives up everything before offset (at most head). */
void ring_drop(const struct ring *ring, uint64_t offset);

#endif
