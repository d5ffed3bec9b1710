#include "agent/process/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/os/memfd.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

/* A freed region that touched at most this much keeps its pages and mapping for the next process in
 * the slot: making both again costs more than the memory is worth. */
enum { KEEP_TOUCHED = 65536, KEEP_REGIONS = 32 };

static const uint64_t region_size = ARRIVALS_BYTES + 2 * (uint64_t)NSP_LIMIT_RING_MAX;

struct mapping {
    uint8_t *memory; /* NULL: not mapped */
    uint64_t length, ring_max;
    uint64_t kept; /* charged for the pages of a freed region */
    bool in_use;
};

struct arena {
    int fd;
    uint64_t budget, charged, promised;
    unsigned kept_regions;
    struct mapping mappings[TABLE_SLOTS];
};

int arena_new(int fd, uint64_t budget, struct arena **ret_arena, struct nsp_error *err)
{
    AUTO_FREE struct arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the ring arena");
    arena->budget = budget;
    arena->fd = fd;
    if (fd < 0 && memfd_new("nullspace-rings", region_size * TABLE_SLOTS, &arena->fd, err) < 0)
        return -1;
    *ret_arena = STEAL(arena);
    return 0;
}

static void unmap(struct mapping *mapping)
{
    if (mapping->memory)
        munmap(mapping->memory, mapping->length);
    mapping->memory = NULL;
    mapping->length = 0;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    for (unsigned slot = 0; slot < TABLE_SLOTS; slot++)
        unmap(&arena->mappings[slot]);
    close(arena->fd);
    free(arena);
}

int arena_fd(const struct arena *arena)
{
    return arena->fd;
}

uint64_t arena_budget(const struct arena *arena)
{
    return arena->budget;
}

static void punch(struct arena *arena, uint64_t offset, uint64_t length)
{
    /* Failing leaves pages in use that nobody counts; the next use of the slot takes them over. */
    (void)fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                    (off_t)length);
}

static void stop_keeping(struct arena *arena, struct mapping *mapping)
{
    if (mapping->kept > 0 || (mapping->memory && !mapping->in_use))
        arena->kept_regions--;
    arena_discharge(arena, mapping->kept);
    mapping->kept = 0;
}

int arena_map(struct arena *arena, unsigned slot, uint64_t ring_max, bool merged,
              struct arena_region *ret_region, struct nsp_error *err)
{
    struct mapping *mapping = &arena->mappings[slot];
    uint64_t rings = merged ? 1 : 2;
    uint64_t length = ARRIVALS_BYTES + rings * ring_max;
    if (!mapping->in_use)
        stop_keeping(arena, mapping);
    if (mapping->length != length) {
        /* Another layout: pages kept for the old one would never be given back. */
        if (mapping->memory && !mapping->in_use)
            punch(arena, slot * region_size, mapping->length);
        unmap(mapping);
        void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd,
                            (off_t)(slot * region_size));
        if (memory == MAP_FAILED)
            return nsp_fail_errno(err, NSP_E_EXHAUSTED, errno, "mmap", "output rings");
        mapping->memory = memory;
        mapping->length = length;
    }
    mapping->ring_max = ring_max;
    mapping->in_use = true;
    *ret_region = (struct arena_region){
        .arrivals = (struct arrival *)mapping->memory,
        .rings = {mapping->memory + ARRIVALS_BYTES,
                  merged ? NULL : mapping->memory + ARRIVALS_BYTES + ring_max},
    };
    return 0;
}

void arena_release(struct arena *arena, unsigned slot, uint64_t touched)
{
    struct mapping *mapping = &arena->mappings[slot];
    arena_discharge(arena, touched);
    mapping->in_use = false;
    if (touched <= KEEP_TOUCHED && arena->kept_regions < KEEP_REGIONS && mapping->memory) {
        arena->kept_regions++;
        mapping->kept = touched;
        arena_charge(arena, touched);
        return;
    }
    punch(arena, slot * region_size, mapping->length ? mapping->length : region_size);
    unmap(mapping);
}

void arena_punch(struct arena *arena, unsigned slot, unsigned output, uint64_t touched)
{
    uint64_t first = ARRIVALS_BYTES + output * arena->mappings[slot].ring_max;
    punch(arena, slot * region_size + first, touched);
    arena_discharge(arena, touched);
}

uint64_t arena_left(const struct arena *arena)
{
    uint64_t used = arena->charged + arena->promised;
    return used < arena->budget ? arena->budget - used : 0;
}

void arena_promise(struct arena *arena, uint64_t before, uint64_t now)
{
    arena->promised = arena->promised - before + now;
}

void arena_charge(struct arena *arena, uint64_t bytes)
{
    arena->charged += bytes;
}

void arena_discharge(struct arena *arena, uint64_t bytes)
{
    arena->charged -= bytes < arena->charged ? bytes : arena->charged;
}

uint64_t arena_charged(const struct arena *arena)
{
    return arena->charged;
}
