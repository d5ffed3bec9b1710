/* The order in which output arrived: a bounded log of {output, offset, length}.
 *
 * An arrival says that the bytes [offset, offset + length) of an output came after those of the
 * arrival before it. Bytes that follow on from the last one lengthen it, so a flood on one output
 * is one arrival. The last ARRIVALS_MAX are kept; order beyond that is forgotten, bytes are not.
 */
#ifndef AGENT_ARRIVALS_H
#define AGENT_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

enum { ARRIVALS_MAX = 4096, ARRIVALS_BYTES = 65536 };

struct arrival {
    uint64_t offset;
    uint32_t length;
    uint32_t output;
};

struct arrivals {
    uint64_t *count;        /* ever appended; in the process's record */
    struct arrival *latest; /* a ring of ARRIVALS_MAX, in the process's region */
};

/* Bytes [offset, offset + length) of the output have arrived. */
void arrivals_append(const struct arrivals *arrivals, uint32_t output, uint64_t offset,
                     uint64_t length);

/* Arrival number n; false when it is not there yet. When it is forgotten already, *n becomes the
 * oldest kept. */
bool arrivals_get(const struct arrivals *arrivals, uint64_t *n, struct arrival *ret_arrival);

#endif
