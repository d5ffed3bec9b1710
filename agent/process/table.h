/* The process table: one record a slot in a memfd that outlives the agent.
 *
 * The record is the truth about a process: id, state, ring offsets, exit, held readers. What an
 * agent has in its own memory (struct process) is made again from it after a crash. The only writer
 * is the agent; it stores in an order in which every prefix is a state that recovery understands,
 * and TABLE_IN_ORDER keeps the compiler from changing that order.
 *
 *   FREE -> STARTING -> RUNNING -> EXITED -> FREE        STARTING -> FREE (could not start)
 */
#ifndef AGENT_TABLE_H
#define AGENT_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/base/ring.h"
#include "agent/handover/exitlog.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#define TABLE_IN_ORDER() atomic_signal_fence(memory_order_seq_cst)

enum { TABLE_SLOTS = EXITLOG_SLOTS, TABLE_OUTPUTS = 2 };

enum table_state { TABLE_FREE, TABLE_STARTING, TABLE_RUNNING, TABLE_EXITED, TABLE_STATES };

enum table_policy { TABLE_POLICY_AUTO, TABLE_POLICY_BLOCK, TABLE_POLICY_DROP };

enum table_input { TABLE_INPUT_NULL, TABLE_INPUT_OPEN, TABLE_INPUT_CLOSED };

/* A lossless reader's place. FREE ones mean nothing. */
enum table_hold_state { TABLE_HOLD_FREE, TABLE_HOLD_ATTACHED, TABLE_HOLD_DEPARTED };

struct table_hold {
    uint64_t name;                    /* chosen by the client, where is_named */
    uint64_t consumed[TABLE_OUTPUTS]; /* everything before is acknowledged */
    uint64_t deadline_ns;             /* DEPARTED: until when the place is kept */
    uint32_t hold_ms;
    uint8_t state; /* enum table_hold_state */
    bool is_named;
};

struct table_output {
    struct ring_state ring;
    uint64_t released; /* no lossless reader needs anything before this */
    uint64_t dropped;  /* bytes overwritten that no lossless reader had consumed */
    uint64_t drained;  /* offset when everything in the pipe at the exit had been read */
    bool is_open;      /* the read end of the pipe is in the store */
    bool is_drained;   /* drained is valid */
    bool truncated;    /* given up while somebody could still write */
    bool is_evicted;   /* its memory was given back for others' output */
};

struct table_record {
    /* Identity, constant from STARTING on. */
    uint32_t generation; /* of the slot; never 0 */
    uint32_t state;      /* enum table_state */
    char id[NSP_LIMIT_ID + 1];
    char key[NSP_LIMIT_ID + 1]; /* empty: none */
    bool merged;                /* stderr goes into stdout: output 1 is unused */
    uint8_t policy;             /* enum table_policy */
    uint32_t grace_ms, drain_ms;
    uint64_t started_ns;
    int64_t started_unix_ms;
    /* What a deadline does is decided by these; 0: not set. Nanoseconds of clock_now_ns. */
    uint64_t timeout_at, kill_at, drain_at;
    uint8_t kill_scope; /* enum signals_scope, for kill_at */
    bool launch_failed; /* STARTING: it will not run; the child's exit is still to come */
    /* RUNNING on. */
    int32_t pid;
    /* EXITED on. */
    bool timed_out;
    struct exitlog_record exit;
    /* Streams. */
    struct table_output outputs[TABLE_OUTPUTS];
    uint64_t arrivals;     /* ever appended; the latest are in the arena (arrivals.h) */
    uint64_t input_offset; /* bytes delivered into the pipe */
    uint8_t input;         /* enum table_input */
    struct table_hold holds[NSP_LIMIT_READERS];
    /* For people; cut at their capacity. argv is separated by NULs. */
    uint16_t argv_length, cwd_length;
    bool argv_cut;
    char argv[768];
    char cwd[256];
};

/* Bytes on their way through a staging pipe (see stage.h). */
enum table_stage_phase { TABLE_STAGE_EMPTY, TABLE_STAGE_FILLING, TABLE_STAGE_EMPTYING };

struct table_stage {
    uint32_t phase; /* enum table_stage_phase */
    uint32_t slot, output;
    uint64_t base; /* output: ring head; input: offset delivered, before this move */
    uint64_t fill; /* bytes that were in the staging pipe when EMPTYING began */
};

struct table_header {
    uint64_t magic;
    uint32_t record_size, slots;
    uint32_t highest;      /* slots ever used: records beyond are untouched, and stay so */
    uint64_t agent_starts; /* generation in hello */
    uint64_t next_generation;
    struct table_stage output_stage, input_stage;
};

struct table {
    struct table_header *header;
    struct table_record *records;
};

/* Makes the memory; the descriptor is the caller's. */
int table_create(struct table *ret_table, int *ret_fd, struct nsp_error *err);
/* Maps an earlier agent's. STATE when it is not one of this layout. */
int table_open(struct table *ret_table, int fd, struct nsp_error *err);
void table_close(struct table *table);

/* Clears the record for a new process in STARTING, with a fresh generation. The slot must be FREE;
 * its state changes last. */
struct table_record *table_begin(struct table *table, unsigned slot);
/* Marks FREE. */
void table_end(struct table *table, unsigned slot);
/* True when a record from shared memory can be used: strings end, rings are possible. */
bool table_record_valid(const struct table_record *record);

#endif
