/* Stream ids of a connection and what they belong to. Ids are put in growing order. */
#ifndef NSP_TABLE_H
#define NSP_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

struct nsp_table_entry {
    uint32_t id;
    void *value;
};

/* Starts as {0}. */
struct nsp_table {
    struct nsp_table_entry *entries;
    size_t count, capacity;
};

void nsp_table_done(struct nsp_table *table);
/* Forgets all entries, keeps the memory. */
void nsp_table_clear(struct nsp_table *table);

/* id must be larger than all before it. At most NSP_LIMIT_STREAMS entries: EXHAUSTED. */
int nsp_table_put(struct nsp_table *table, uint32_t id, void *value, struct nsp_error *err);
void *nsp_table_get(const struct nsp_table *table, uint32_t id); /* NULL when there is none */
void nsp_table_remove(struct nsp_table *table, uint32_t id);

#endif
