/* Slots are handed out last freed, first used, so that a warm slot's memory serves again; a stack
 * of free slots does that. Ids and keys are found by a seeded hash; the hash of a slot is computed
 * again from the record when it leaves, so nothing else has to be kept in step. */
#include "agent/process/processes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/idmap.h"
#include "agent/base/log.h"
#include "agent/os/random.h"
#include "agent/process/reader.h"
#include "agent/process/recover.h"
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
    unsigned running, exited;
    uint64_t started, failed, ring_budget;
    struct process *oldest, *newest; /* exited */
    struct timer *age_timer;
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

static void unlink_exited(struct processes *set, struct process *process)
{
    if (process->older)
        process->older->newer = process->newer;
    else if (set->oldest == process)
        set->oldest = process->newer;
    if (process->newer)
        process->newer->older = process->older;
    else if (set->newest == process)
        set->newest = process->older;
    process->older = process->newer = NULL;
}

/* The oldest exited process that nobody looks at; NULL when there is none. */
static struct process *oldest_unobserved(const struct processes *set)
{
    struct process *process = set->oldest;
    while (process && process->observers)
        process = process->newer;
    return process;
}

static int take_slot(struct processes *set, unsigned *ret_slot, struct nsp_error *err)
{
    if (set->running >= NSP_LIMIT_PROCESSES)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "processes", "%d processes are running already",
                           NSP_LIMIT_PROCESSES);
    if (set->free_count == 0 && set->highest == TABLE_SLOTS) {
        struct process *victim = oldest_unobserved(set);
        if (victim)
            processes_remove(set, victim);
    }
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

/* The exited are in the order of their exits, so one timer for the oldest serves all. */
static void arm_age(struct processes *set)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (!set->oldest) {
        timer_cancel(set->age_timer);
        return;
    }
    uint64_t now = clock_now_ns();
    uint64_t due = set->oldest->record->exit.exited_ns + NSP_LIMIT_EXITED_AGE * CLOCK_NS_PER_S;
    /* One that is past its time but still looked at is looked for again in a while. */
    uint64_t delay = due > now ? due - now : 60 * CLOCK_NS_PER_S;
    if (timer_set(set->age_timer, delay, &err) < 0)
        processes_fatal(set, "cannot set a timer", &err);
}

static void on_age(void *arg)
{
    struct processes *set = arg;
    uint64_t now = clock_now_ns();
    struct process *victim;
    while ((victim = oldest_unobserved(set)) &&
           victim->record->exit.exited_ns + NSP_LIMIT_EXITED_AGE * CLOCK_NS_PER_S <= now)
        processes_remove(set, victim);
    arm_age(set);
}

static void limit_exited(struct processes *set)
{
    struct process *victim;
    while (set->exited > NSP_LIMIT_EXITED && (victim = oldest_unobserved(set)))
        processes_remove(set, victim);
}

static void append_exited(struct processes *set, struct process *process)
{
    process->newer = NULL;
    process->older = set->newest;
    if (set->newest)
        set->newest->newer = process;
    else
        set->oldest = process;
    set->newest = process;
}

void processes_note_exit(struct processes *set, struct process *process)
{
    set->running--;
    set->exited++;
    append_exited(set, process);
    if (set->oldest == process)
        arm_age(set);
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
    unlink_exited(set, process);
    if (was_exited)
        set->exited--;
    else
        set->running--;
    process_release(process);
    give_slot_back(set, process->slot);
    free(process);
}

static void count_eviction(struct table_output *output)
{
    uint64_t from = output->released > output->ring.tail ? output->released : output->ring.tail;
    if (output->ring.head > from)
        output->dropped += output->ring.head - from;
}

bool processes_reserve(struct processes *set, uint64_t bytes)
{
    struct process *victim = set->oldest;
    while (arena_left(set->shared.arena) < bytes && victim) {
        /* What a lossless reader has not consumed yet is promised to it. */
        unsigned count = reader_count(victim) > 0 ? 0 : process_output_count(victim);
        for (unsigned i = 0; i < count; i++) {
            struct output *output = &victim->outputs[i];
            uint64_t touched = output_touched(output);
            if (touched == 0 || output->fd >= 0)
                continue;
            count_eviction(&victim->record->outputs[i]);
            ring_drop(&output->ring, output->ring.state->head);
            victim->record->outputs[i].is_evicted = true;
            arena_punch(set->shared.arena, victim->slot, i, touched);
        }
        victim = victim->newer;
    }
    return arena_left(set->shared.arena) >= bytes;
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
    limit_exited(set);
}

void processes_stats(const struct processes *set, struct processes_stats *ret_stats)
{
    *ret_stats = (struct processes_stats){
        .running = set->running,
        .exited = set->exited,
        .started = set->started,
        .failed = set->failed,
        .ring_bytes = arena_charged(set->shared.arena),
        .ring_budget = set->ring_budget,
    };
    unsigned cursor = 0;
    const struct process *process;
    while ((process = processes_next(set, &cursor)))
        for (unsigned i = 0; i < process_output_count(process); i++)
            ret_stats->dropped += process->record->outputs[i].dropped;
}

static uint64_t default_budget(void)
{
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return UINT64_C(64) << 20;
    return (uint64_t)info.totalram * info.mem_unit / 8;
}

static int by_exit(const void *left, const void *right)
{
    uint64_t a = (*(struct process *const *)left)->record->exit.exited_ns;
    uint64_t b = (*(struct process *const *)right)->record->exit.exited_ns;
    return a < b ? -1 : a > b;
}

/* Recovery finds the exited in the order of their slots. */
static int sort_exited(struct processes *set, struct nsp_error *err)
{
    if (set->exited < 2)
        return 0;
    AUTO_FREE struct process **sorted = calloc(set->exited, sizeof *sorted);
    if (!sorted)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory",
                           "no memory to sort the exited processes");
    unsigned count = 0;
    for (struct process *process = set->oldest; process; process = process->newer)
        sorted[count++] = process;
    qsort(sorted, count, sizeof *sorted, by_exit);
    set->oldest = set->newest = NULL;
    for (unsigned i = 0; i < count; i++)
        append_exited(set, sorted[i]);
    arm_age(set);
    return 0;
}

static int recover_all(struct processes *set, struct inherit *inherit, struct nsp_error *err)
{
    const struct table_record *records = set->shared.table.records;
    if (recover_stages(set, err) < 0)
        return -1;
    set->highest = set->shared.table.header->highest;
    for (unsigned slot = 0; slot < TABLE_SLOTS; slot++)
        if (slot >= set->highest || records[slot].state == TABLE_FREE)
            recover_drop_streams(set, slot, &inherit->streams[slot]);
    for (unsigned slot = 0; slot < set->highest; slot++)
        if (records[slot].state != TABLE_FREE &&
            recover_process(set, slot, &inherit->streams[slot], err) < 0)
            return -1;
    /* What recovery freed on its way is in the list already; make it anew, lowest slot on top. */
    set->free_count = 0;
    for (unsigned slot = set->highest; slot-- > 0;)
        if (!set->slots[slot])
            set->free_slots[set->free_count++] = (uint16_t)slot;
    return sort_exited(set, err);
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
    set->ring_budget = config->ring_budget ? config->ring_budget : default_budget();
    idmap_init(&set->by_id, TABLE_SLOTS);
    idmap_init(&set->by_key, TABLE_SLOTS);
    if (shared_open(&set->shared, inherit, set->ring_budget, config->store, err) < 0 ||
        random_name_bytes(&set->hash_seed, sizeof set->hash_seed, err) < 0 ||
        exitlog_open(config->claims_fd, config->exits_fd, &set->exitlog, err) < 0 ||
        timer_new(config->loop, on_age, set, &set->age_timer, err) < 0 ||
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
    timer_free(set->age_timer);
    exitlog_free(set->exitlog);
    shared_close(&set->shared);
    free(set);
}
