#include "agent/process/index.h"

#include <stdatomic.h>

_Static_assert(INDEX_ENTRIES * sizeof(struct index_entry) == INDEX_BYTES,
               "entries fill the region");

/* Leaves the length of an entry room to grow without passing 32 bits. */
enum { LENGTH_MAX = 1 << 30 };

void index_append(const struct index *index, uint32_t output, uint64_t offset, uint64_t length)
{
    if (*index->count > 0) {
        struct index_entry *last = &index->entries[(*index->count - 1) % INDEX_ENTRIES];
        if (last->output == output && last->offset + last->length == offset &&
            last->length + length <= LENGTH_MAX) {
            last->length += (uint32_t)length;
            return;
        }
    }
    index->entries[*index->count % INDEX_ENTRIES] =
        (struct index_entry){.offset = offset, .length = (uint32_t)length, .output = output};
    /* An entry counts only once it is whole, also for a successor. */
    atomic_signal_fence(memory_order_seq_cst);
    ++*index->count;
}

bool index_get(const struct index *index, uint64_t *n, struct index_entry *ret_entry)
{
    if (*n >= *index->count)
        return false;
    if (*index->count - *n > INDEX_ENTRIES)
        *n = *index->count - INDEX_ENTRIES;
    *ret_entry = index->entries[*n % INDEX_ENTRIES];
    return true;
}
