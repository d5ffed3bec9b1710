/* The order in which output arrived: a bounded log of {output, offset, length}.
 *
 * An entry says that the bytes [offset, offset + length) of an output came after those of the entry
 * before it. Bytes that follow on from the last entry lengthen it, so a flood on one output is one
 * entry. The last INDEX_ENTRIES entries are kept; order beyond that is forgotten, bytes are not.
 */
#ifndef AGENT_INDEX_H
#define AGENT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

enum { INDEX_ENTRIES = 4096, INDEX_BYTES = 65536 };

struct index_entry {
    uint64_t offset;
    uint32_t length;
    uint32_t output;
};

/* count: entries ever appended; in the process's record. */
struct index {
    uint64_t *count;
    struct index_entry *entries;
};

/* Bytes [offset, offset + length) of the output have arrived. */
void index_append(const struct index *index, uint32_t output, uint64_t offset, uint64_t length);

/* Entry number n; false when it is not there yet. When it is forgotten already, *n becomes the
 * oldest kept. */
bool index_get(const struct index *index, uint64_t *n, struct index_entry *ret_entry);

#endif
