#include "agent/process/shared.h"

#include <unistd.h>

static int open_stage(struct stage *stage, int read_fd, int write_fd, struct nsp_error *err)
{
    int ends[2] = {read_fd, write_fd};
    if ((read_fd < 0 || write_fd < 0) && stage_make_pipe(ends, err) < 0)
        return -1;
    stage->read_fd = ends[0];
    stage->write_fd = ends[1];
    return 0;
}

static int store_all(const struct shared *shared, struct store *store, struct nsp_error *err)
{
    const struct store_item items[] = {
        {{STOREWIRE_TABLE, 0}, shared->table_fd},
        {{STOREWIRE_ARENA, 0}, arena_fd(shared->arena)},
        {{STOREWIRE_OUTPUT_STAGE_READ, 0}, shared->output_stage.read_fd},
        {{STOREWIRE_OUTPUT_STAGE_WRITE, 0}, shared->output_stage.write_fd},
        {{STOREWIRE_INPUT_STAGE_READ, 0}, shared->input_stage.read_fd},
        {{STOREWIRE_INPUT_STAGE_WRITE, 0}, shared->input_stage.write_fd},
    };
    return store_put(store, items, sizeof items / sizeof items[0], err);
}

int shared_open(struct shared *shared, const struct inherit *inherit, uint64_t ring_budget,
                struct store *store, struct nsp_error *err)
{
    const int *single = inherit->single;
    *shared = (struct shared){.table_fd = single[STOREWIRE_TABLE],
                              .output_stage = {NULL, -1, -1},
                              .input_stage = {NULL, -1, -1}};
    int result = shared->table_fd >= 0 ? table_open(&shared->table, shared->table_fd, err)
                                       : table_create(&shared->table, &shared->table_fd, err);
    if (result < 0 || arena_new(single[STOREWIRE_ARENA], ring_budget, &shared->arena, err) < 0 ||
        open_stage(&shared->output_stage, single[STOREWIRE_OUTPUT_STAGE_READ],
                   single[STOREWIRE_OUTPUT_STAGE_WRITE], err) < 0 ||
        open_stage(&shared->input_stage, single[STOREWIRE_INPUT_STAGE_READ],
                   single[STOREWIRE_INPUT_STAGE_WRITE], err) < 0)
        return -1;
    shared->output_stage.journal = &shared->table.header->output_stage;
    shared->input_stage.journal = &shared->table.header->input_stage;
    shared->table.header->agent_starts++;
    for (unsigned kind = 0; kind < STOREWIRE_LISTENER; kind++)
        if (single[kind] < 0)
            return store_all(shared, store, err);
    return 0;
}

static void close_stage(const struct stage *stage)
{
    if (stage->read_fd >= 0)
        close(stage->read_fd);
    if (stage->write_fd >= 0)
        close(stage->write_fd);
}

void shared_close(struct shared *shared)
{
    arena_free(shared->arena);
    table_close(&shared->table);
    close_stage(&shared->output_stage);
    close_stage(&shared->input_stage);
    if (shared->table_fd >= 0)
        close(shared->table_fd);
}
