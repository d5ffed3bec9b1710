#include "agent/process/table.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/os/memfd.h"
#include "protocol/cleanup.h"

static const uint64_t table_magic = UINT64_C(0x6e73742d30303031);

static size_t table_size(void)
{
    return sizeof(struct table_header) + (size_t)TABLE_SLOTS * sizeof(struct table_record);
}

static int map(struct table *ret_table, int fd, struct nsp_error *err)
{
    void *memory = mmap(NULL, table_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mmap", "process table");
    ret_table->header = memory;
    ret_table->records = (struct table_record *)(ret_table->header + 1);
    return 0;
}

int table_create(struct table *ret_table, int *ret_fd, struct nsp_error *err)
{
    AUTO_FD int fd = -1;
    if (memfd_new("nullspace-table", table_size(), &fd, err) < 0 || map(ret_table, fd, err) < 0)
        return -1;
    ret_table->header->record_size = sizeof(struct table_record);
    ret_table->header->slots = TABLE_SLOTS;
    ret_table->header->next_generation = 1;
    TABLE_IN_ORDER();
    ret_table->header->magic = table_magic;
    *ret_fd = STEAL_FD(fd);
    return 0;
}

int table_open(struct table *ret_table, int fd, struct nsp_error *err)
{
    if (memfd_check(fd, table_size(), err) < 0)
        return -1;
    struct table table;
    if (map(&table, fd, err) < 0)
        return -1;
    if (table.header->magic != table_magic || table.header->slots != TABLE_SLOTS ||
        table.header->highest > TABLE_SLOTS ||
        table.header->record_size != sizeof(struct table_record)) {
        table_close(&table);
        return nsp_fail(err, NSP_E_STATE, "process table has another layout");
    }
    *ret_table = table;
    return 0;
}

void table_close(struct table *table)
{
    if (table->header)
        munmap(table->header, table_size());
    *table = (struct table){0};
}

struct table_record *table_begin(struct table *table, unsigned slot)
{
    struct table_record *record = &table->records[slot];
    if (slot >= table->header->highest)
        table->header->highest = slot + 1;
    /* Only the part before the texts needs clearing; their lengths are in it. */
    memset(record, 0, offsetof(struct table_record, argv));
    uint32_t generation = (uint32_t)table->header->next_generation++;
    record->generation = generation ? generation : (uint32_t)table->header->next_generation++;
    TABLE_IN_ORDER();
    record->state = TABLE_STARTING;
    TABLE_IN_ORDER();
    return record;
}

void table_end(struct table *table, unsigned slot)
{
    TABLE_IN_ORDER();
    table->records[slot].state = TABLE_FREE;
}

static bool output_is_valid(const struct table_output *output, uint64_t size_max)
{
    return ring_state_valid(&output->ring) && output->ring.size_max == size_max &&
           size_max <= NSP_LIMIT_RING_MAX;
}

bool table_record_valid(const struct table_record *record)
{
    return record->state < TABLE_STATES && record->generation != 0 &&
           memchr(record->id, '\0', sizeof record->id) != NULL &&
           memchr(record->key, '\0', sizeof record->key) != NULL &&
           record->argv_length <= sizeof record->argv && record->cwd_length <= sizeof record->cwd &&
           output_is_valid(&record->outputs[0], record->outputs[0].ring.size_max) &&
           output_is_valid(&record->outputs[1], record->outputs[0].ring.size_max);
}
