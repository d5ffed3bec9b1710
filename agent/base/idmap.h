/* A map from a 64-bit number to a pointer, open addressing, with a ceiling on the entries.
 * Values are borrowed. Iteration order is not defined; removing the current entry while iterating
 * is allowed. */
#ifndef AGENT_IDMAP_H
#define AGENT_IDMAP_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

struct idmap {
    struct idmap_entry *entries;
    size_t capacity, count, used, ceiling;
};

/* Allocates nothing. ceiling: most entries at once. */
void idmap_init(struct idmap *map, size_t ceiling);
void idmap_done(struct idmap *map);

void *idmap_get(const struct idmap *map, uint64_t key); /* NULL when absent */
/* value must not be NULL. EXHAUSTED at the ceiling or without memory, ALREADY_EXISTS. */
int idmap_put(struct idmap *map, uint64_t key, void *value, struct nsp_error *err);
void *idmap_remove(struct idmap *map, uint64_t key); /* the value, or NULL */
size_t idmap_count(const struct idmap *map);

/* Start with *cursor = 0; NULL at the end. */
void *idmap_next(const struct idmap *map, size_t *cursor);

#endif
