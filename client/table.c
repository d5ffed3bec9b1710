#include "client/table.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

enum { SMALLEST = 16 };

void nsp_table_done(struct nsp_table *table)
{
    free(table->entries);
    *table = (struct nsp_table){0};
}

void nsp_table_clear(struct nsp_table *table)
{
    table->count = 0;
}

int nsp_table_put(struct nsp_table *table, uint32_t id, void *value, struct nsp_error *err)
{
    if (table->count == NSP_LIMIT_STREAMS)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "streams", "%d calls are in progress",
                           NSP_LIMIT_STREAMS);
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : SMALLEST;
        struct nsp_table_entry *entries = reallocarray(table->entries, capacity, sizeof *entries);
        if (!entries)
            return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for %zu streams", capacity);
        table->entries = entries;
        table->capacity = capacity;
    }
    table->entries[table->count++] = (struct nsp_table_entry){.id = id, .value = value};
    return 0;
}

/* Index of the first entry whose id is not smaller. */
static size_t lower_bound(const struct nsp_table *table, uint32_t id)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->entries[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *nsp_table_get(const struct nsp_table *table, uint32_t id)
{
    size_t index = lower_bound(table, id);
    if (index == table->count || table->entries[index].id != id)
        return NULL;
    return table->entries[index].value;
}

void nsp_table_remove(struct nsp_table *table, uint32_t id)
{
    size_t index = lower_bound(table, id);
    if (index == table->count || table->entries[index].id != id)
        return;
    table->count--;
    memmove(&table->entries[index], &table->entries[index + 1],
            (table->count - index) * sizeof *table->entries);
}
