/* Staging pipes: how bytes cross between a pipe and shared memory without a moment in which the
 * agent's death could lose or repeat one.
 *
 * read(2) straight into a ring would lose what it had copied when SIGKILL comes before the head is
 * stored. So output moves in two steps, with a journal in the table's header:
 *
 *   process's pipe --splice--> staging pipe --read--> ring
 *        FILLING {slot, output, base = head}    EMPTYING {fill}          then head is stored, EMPTY
 *
 * A successor that finds FILLING reads what is in the staging pipe into the ring at base; one that
 * finds EMPTYING knows that fill - FIONREAD(staging) bytes were copied already, and reads the rest.
 * Input goes the other way: write(2) into a staging pipe (FILLING), splice into the process's pipe
 * (EMPTYING); fill - FIONREAD(staging) bytes were delivered, the rest is thrown away and asked for
 * again. One staging pipe a direction serves all processes, since a move ends before the next
 * begins. pipe(7), splice(2).
 */
#ifndef AGENT_STAGE_H
#define AGENT_STAGE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/process/table.h"
#include "protocol/error.h"

/* Bytes that one move takes at most; also the capacity aimed at for the staging pipes. */
enum { STAGE_BYTES = 262144 };

struct stage {
    struct table_stage *journal;
    int read_fd, write_fd; /* owned by the fd store's mirror; both non-blocking */
};

/* Makes the pipe. The descriptors are the caller's. */
int stage_make_pipe(int ret_fds[2], struct nsp_error *err);

enum stage_result { STAGE_MOVED, STAGE_NOTHING, STAGE_END };

/* Moves up to max bytes from fd into the ring, whose room the caller has made sure of, and stores
 * the new head. NOTHING: the pipe is empty for now. END: all writers have closed it. Failing is
 * SYSTEM; nothing is lost then either. */
int stage_move_output(const struct stage *stage, int fd, const struct ring *ring, unsigned slot,
                      unsigned output, uint64_t max, enum stage_result *ret_result,
                      uint64_t *ret_moved, struct nsp_error *err);

/* Moves up to length bytes into the process's pipe; *offset, in the record, grows by what was
 * delivered. NOTHING: the pipe is full. END: nobody reads it any more. */
int stage_move_input(const struct stage *stage, int fd, unsigned slot, const void *bytes,
                     size_t length, uint64_t *offset, enum stage_result *ret_result,
                     uint64_t *ret_moved, struct nsp_error *err);

/* After a restart, with the ring of journal->slot and output mapped (NULL when that process is
 * gone; then the bytes have no owner any more). Leaves the staging pipe empty. */
int stage_recover_output(const struct stage *stage, const struct ring *ring, struct nsp_error *err);
/* offset: of the process's record; NULL when it is gone. */
int stage_recover_input(const struct stage *stage, uint64_t *offset, struct nsp_error *err);

#endif
