/* Slots are handed out last freed, first used, so that a warm slot's memory serves again; a stack
 * of free slots does that. Ids and keys are found by a seeded hash; the hash of a slot is computed
 * again from the record when it leaves, so nothing else has to be kept in step. A slot in use is
 * either counted as running or stands among the exited (retention.h), never both. */
#include "agent/process/processes.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/idmap.h"
#include "agent/base/log.h"
#include "agent/os/random.h"
#include "agent/process/budget.h"
#include "agent/process/recover.h"
#include "agent/process/retention.h"
#include "agent/process/shared.h"
#include "protocol/cleanup.h"

struct processes {
    struct processes_config config;
    struct shared shared;
    struct exitlog *exitlog;
    uint64_t hash_seed;
    struct idmap by_id, by_key;
    struct process *slots[TABLE_SLOTS];
    uint16_t free_slots[TABLE_SLOTS];
    unsigned free_count, highest; /* highest: slots ever used */
    unsigned running;
    uint64_t started, failed;
    struct retention retention; /* the exited */
};

struct loop *processes_loop(const struct processes *set)
{
    return set->config.loop;
}

struct store *processes_store(const struct processes *set)
{
    return set->config.store;
}

struct arena *processes_arena(const struct processes *set)
{
    return set->shared.arena;
}

struct exitlog *processes_exitlog(const struct processes *set)
{
    return set->exitlog;
}

int processes_cgroup(const struct processes *set)
{
    return set->config.cgroup_fd;
}

struct table *processes_table(struct processes *set)
{
    return &set->shared.table;
}

const struct stage *processes_output_stage(const struct processes *set)
{
    return &set->shared.output_stage;
}

const struct stage *processes_input_stage(const struct processes *set)
{
    return &set->shared.input_stage;
}

uint64_t processes_generation(const struct processes *set)
{
    return set->shared.table.header->agent_starts;
}

unsigned processes_running(const struct processes *set)
{
    return set->running;
}

void processes_fatal(struct processes *set, const char *what, const struct nsp_error *err)
{
    set->config.fatal(set->config.arg, what, err);
}

/* FNV-1a with a seed nobody outside knows. */
static uint64_t hash(const struct processes *set, const char *text)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325) ^ set->hash_seed;
    for (; *text; text++)
        value = (value ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return value;
}

struct process *processes_find(const struct processes *set, const char *id)
{
    struct process *process = idmap_get(&set->by_id, hash(set, id));
    return process && strcmp(process->record->id, id) == 0 ? process : NULL;
}

struct process *processes_find_key(const struct processes *set, const char *key)
{
    struct process *process = idmap_get(&set->by_key, hash(set, key));
    return process && strcmp(process->record->key, key) == 0 ? process : NULL;
}

struct process *processes_next(const struct processes *set, unsigned *cursor)
{
    while (*cursor < set->highest) {
        struct process *process = set->slots[(*cursor)++];
        if (process && !process->is_failed)
            return process;
    }
    return NULL;
}

static int enter(struct processes *set, struct process *process, struct nsp_error *err)
{
    const struct table_record *record = process->record;
    if (idmap_put(&set->by_id, hash(set, record->id), process, err) < 0)
        return -1;
    if (record->key[0] && idmap_put(&set->by_key, hash(set, record->key), process, err) < 0) {
        idmap_remove(&set->by_id, hash(set, record->id));
        return -1;
    }
    return 0;
}

static void leave(struct processes *set, struct process *process)
{
    const struct table_record *record = process->record;
    if (processes_find(set, record->id) == process)
        idmap_remove(&set->by_id, hash(set, record->id));
    if (record->key[0] && processes_find_key(set, record->key) == process)
        idmap_remove(&set->by_key, hash(set, record->key));
}

static int take_slot(struct processes *set, unsigned *ret_slot, struct nsp_error *err)
{
    if (set->running >= NSP_LIMIT_PROCESSES)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "processes", "%d processes are running already",
                           NSP_LIMIT_PROCESSES);
    if (set->free_count == 0 && set->highest == TABLE_SLOTS)
        (void)retention_forget_oldest(&set->retention);
    if (set->free_count > 0)
        *ret_slot = set->free_slots[--set->free_count];
    else if (set->highest < TABLE_SLOTS)
        *ret_slot = set->highest++;
    else
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "processes", "no process slot is free");
    return 0;
}

static void give_slot_back(struct processes *set, unsigned slot)
{
    table_end(&set->shared.table, slot);
    set->slots[slot] = NULL;
    set->free_slots[set->free_count++] = (uint16_t)slot;
}

static struct process *new_process(struct processes *set, unsigned slot)
{
    struct process *process = calloc(1, sizeof *process);
    if (!process)
        return NULL;
    process->set = set;
    process->slot = slot;
    process->record = &set->shared.table.records[slot];
    process->pidfd = -1;
    process->input = (struct input){.process = process, .fd = -1};
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        process->outputs[i] = (struct output){.process = process, .number = i, .fd = -1};
    return process;
}

int processes_allocate(struct processes *set, const char *id, const char *key,
                       struct process **ret_process, struct nsp_error *err)
{
    unsigned slot = 0;
    if (take_slot(set, &slot, err) < 0)
        return -1;
    struct process *process = new_process(set, slot);
    if (process) {
        struct table_record *record = table_begin(&set->shared.table, slot);
        memcpy(record->id, id, strlen(id) + 1);
        memcpy(record->key, key, strlen(key) + 1);
    } else {
        nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for a process");
    }
    if (!process || enter(set, process, err) < 0) {
        free(process);
        give_slot_back(set, slot);
        return -1;
    }
    set->slots[slot] = process;
    set->running++;
    set->started++;
    *ret_process = process;
    return 0;
}

int processes_adopt(struct processes *set, unsigned slot, struct process **ret_process,
                    struct nsp_error *err)
{
    struct process *process = new_process(set, slot);
    if (!process)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for a process");
    /* One that could not be started has left its id to others already. */
    process->is_failed = process->record->launch_failed;
    if (!process->is_failed && enter(set, process, err) < 0) {
        free(process);
        return -1;
    }
    set->slots[slot] = process;
    set->running++;
    if (process_is_exited(process))
        processes_note_exit(set, process);
    *ret_process = process;
    return 0;
}

void processes_note_exit(struct processes *set, struct process *process)
{
    set->running--;
    retention_add(&set->retention, process);
}

void processes_note_failure(struct processes *set, struct process *process)
{
    leave(set, process);
    set->failed++;
}

void processes_remove(struct processes *set, struct process *process)
{
    bool was_exited = process_is_exited(process);
    process_notify(process, PROCESS_FORGOTTEN);
    leave(set, process);
    if (was_exited)
        retention_remove(&set->retention, process);
    else
        set->running--;
    process_release(process);
    give_slot_back(set, process->slot);
    free(process);
}

bool processes_reserve(struct processes *set, uint64_t bytes)
{
    return budget_reserve(set->shared.arena, set->retention.oldest, bytes);
}

void processes_on_wake(struct processes *set)
{
    unsigned slot;
    struct exitlog_record exit;
    while (exitlog_peek(set->exitlog, &slot, &exit)) {
        struct process *process = slot < TABLE_SLOTS ? set->slots[slot] : NULL;
        if (process && process->record->generation == exit.generation)
            process_on_exit(process, &exit);
        exitlog_ack(set->exitlog);
    }
    retention_limit(&set->retention);
}

void processes_stats(const struct processes *set, struct processes_stats *ret_stats)
{
    *ret_stats = (struct processes_stats){
        .running = set->running,
        .exited = set->retention.count,
        .started = set->started,
        .failed = set->failed,
        .ring_bytes = arena_charged(set->shared.arena),
        .ring_budget = arena_budget(set->shared.arena),
    };
    unsigned cursor = 0;
    const struct process *process;
    while ((process = processes_next(set, &cursor)))
        for (unsigned i = 0; i < process_output_count(process); i++)
            ret_stats->dropped += process->record->outputs[i].dropped;
}

static int recover_all(struct processes *set, struct inherit *inherit, struct nsp_error *err)
{
    const struct table_record *records = set->shared.table.records;
    if (recover_stages(set, err) < 0)
        return -1;
    set->highest = set->shared.table.header->highest;
    for (unsigned slot = 0; slot < TABLE_SLOTS; slot++)
        if (slot >= set->highest || records[slot].state == TABLE_FREE)
            ends_discard(&inherit->ends[slot], slot, set->config.store);
    for (unsigned slot = 0; slot < set->highest; slot++)
        if (records[slot].state != TABLE_FREE &&
            recover_process(set, slot, &inherit->ends[slot], err) < 0)
            return -1;
    /* What recovery freed on its way is in the list already; make it anew, lowest slot on top. */
    set->free_count = 0;
    for (unsigned slot = set->highest; slot-- > 0;)
        if (!set->slots[slot])
            set->free_slots[set->free_count++] = (uint16_t)slot;
    /* They were found in the order of their slots. */
    return retention_sort(&set->retention, err);
}

static void on_forget(void *arg, struct process *process)
{
    processes_remove(arg, process);
}

static void on_fatal(void *arg, const char *what, const struct nsp_error *err)
{
    processes_fatal(arg, what, err);
}

int processes_new(const struct processes_config *config, const struct store_item *items,
                  unsigned count, struct processes **ret_set, struct nsp_error *err)
{
    struct processes *set = calloc(1, sizeof *set);
    AUTO_FREE struct inherit *inherit = inherit_new(items, count);
    if (!set || !inherit) {
        free(set);
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the process set");
    }
    set->config = *config;
    uint64_t ring_budget = config->ring_budget ? config->ring_budget : budget_default();
    idmap_init(&set->by_id, TABLE_SLOTS);
    idmap_init(&set->by_key, TABLE_SLOTS);
    if (shared_open(&set->shared, inherit, ring_budget, config->store, err) < 0 ||
        random_name_bytes(&set->hash_seed, sizeof set->hash_seed, err) < 0 ||
        exitlog_open(config->claims_fd, config->exits_fd, &set->exitlog, err) < 0 ||
        retention_init(&set->retention, config->loop, on_forget, on_fatal, set, err) < 0 ||
        recover_all(set, inherit, err) < 0) {
        processes_free(set);
        return -1;
    }
    processes_on_wake(set);
    *ret_set = set;
    return 0;
}

void processes_free(struct processes *set)
{
    if (!set)
        return;
    for (unsigned slot = 0; slot < set->highest; slot++) {
        struct process *process = set->slots[slot];
        /* A child before its execve may still use the block: it is left to it. */
        if (process && process->status)
            process->spawn = NULL;
        if (process)
            process_close(process);
        free(set->slots[slot]);
    }
    idmap_done(&set->by_id);
    idmap_done(&set->by_key);
    retention_done(&set->retention);
    exitlog_free(set->exitlog);
    shared_close(&set->shared);
    free(set);
}
