/* Linear probing with tombstones; rebuilt when three quarters of the places are used. */
#include "agent/base/idmap.h"

#include <stdlib.h>

struct idmap_entry {
    uint64_t key;
    void *value; /* NULL: free; TOMBSTONE: removed */
};

#define TOMBSTONE ((void *)(uintptr_t)1)

void idmap_init(struct idmap *map, size_t ceiling)
{
    *map = (struct idmap){.ceiling = ceiling};
}

void idmap_done(struct idmap *map)
{
    free(map->entries);
    *map = (struct idmap){.ceiling = map->ceiling};
}

size_t idmap_count(const struct idmap *map)
{
    return map->count;
}

/* splitmix64's finaliser: consecutive ids spread over the whole table. */
static size_t place_of(const struct idmap *map, uint64_t key)
{
    key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)(key ^ (key >> 31)) & (map->capacity - 1);
}

static struct idmap_entry *find(const struct idmap *map, uint64_t key)
{
    if (map->capacity == 0)
        return NULL;
    for (size_t i = place_of(map, key);; i = (i + 1) & (map->capacity - 1)) {
        struct idmap_entry *entry = &map->entries[i];
        if (!entry->value)
            return NULL;
        if (entry->value != TOMBSTONE && entry->key == key)
            return entry;
    }
}

void *idmap_get(const struct idmap *map, uint64_t key)
{
    const struct idmap_entry *entry = find(map, key);
    return entry ? entry->value : NULL;
}

static void insert(struct idmap *map, uint64_t key, void *value)
{
    size_t i = place_of(map, key);
    while (map->entries[i].value && map->entries[i].value != TOMBSTONE)
        i = (i + 1) & (map->capacity - 1);
    if (!map->entries[i].value)
        map->used++;
    map->entries[i] = (struct idmap_entry){key, value};
    map->count++;
}

static int rebuild(struct idmap *map, struct nsp_error *err)
{
    size_t capacity = 16;
    while (capacity < 2 * (map->count + 1))
        capacity *= 2;
    struct idmap_entry *entries = calloc(capacity, sizeof *entries);
    if (!entries)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a map of %zu entries", capacity);
    struct idmap old = *map;
    map->entries = entries;
    map->capacity = capacity;
    map->count = map->used = 0;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].value && old.entries[i].value != TOMBSTONE)
            insert(map, old.entries[i].key, old.entries[i].value);
    free(old.entries);
    return 0;
}

int idmap_put(struct idmap *map, uint64_t key, void *value, struct nsp_error *err)
{
    if (find(map, key))
        return nsp_fail(err, NSP_E_ALREADY_EXISTS, "id %llu exists", (unsigned long long)key);
    if (map->count >= map->ceiling)
        return nsp_fail(err, NSP_E_EXHAUSTED, "limit of %zu entries reached", map->ceiling);
    if (4 * (map->used + 1) > 3 * map->capacity && rebuild(map, err) < 0)
        return -1;
    insert(map, key, value);
    return 0;
}

void *idmap_remove(struct idmap *map, uint64_t key)
{
    struct idmap_entry *entry = find(map, key);
    if (!entry)
        return NULL;
    void *value = entry->value;
    entry->value = TOMBSTONE;
    map->count--;
    return value;
}

void *idmap_next(const struct idmap *map, size_t *cursor)
{
    while (*cursor < map->capacity) {
        void *value = map->entries[(*cursor)++].value;
        if (value && value != TOMBSTONE)
            return value;
    }
    return NULL;
}
