#include "agent/process/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

int stage_make_pipe(int ret_fds[2], struct nsp_error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "pipe2", "staging pipe");
    /* Smaller works too, in smaller steps. */
    (void)fcntl(fds[1], F_SETPIPE_SZ, STAGE_BYTES);
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

static void set_phase(struct table_stage *journal, enum table_stage_phase phase)
{
    TABLE_IN_ORDER();
    journal->phase = phase;
    TABLE_IN_ORDER();
}

/* What failed half-way only a successor can finish. */
static int check_empty(const struct table_stage *journal, struct nsp_error *err)
{
    if (journal->phase != TABLE_STAGE_EMPTY)
        return nsp_fail(err, NSP_E_STATE, "an earlier move is not finished");
    return 0;
}

static ssize_t splice_retrying(int from, int to, size_t length)
{
    ssize_t moved;
    do {
        moved = splice(from, NULL, to, NULL, length, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    } while (moved < 0 && errno == EINTR);
    return moved;
}

/* Reads the fill bytes that the staging pipe had, less those that were read before, to their place
 * in the ring. base and fill stay: consumed = fill - FIONREAD(staging) must hold at every moment.
 */
static int empty_into_ring(const struct stage *stage, const struct ring *ring, uint64_t left,
                           struct nsp_error *err)
{
    const struct table_stage *journal = stage->journal;
    ring_set_head(ring, journal->base + journal->fill - left);
    while (left > 0) {
        struct iovec pieces[2];
        int count = ring_write_slices(ring, left, pieces);
        ssize_t got = readv(stage->read_fd, pieces, count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return nsp_fail_errno(err, NSP_E_SYSTEM, got < 0 ? errno : EPIPE, "readv",
                                  "staging pipe");
        left -= (uint64_t)got;
        ring_set_head(ring, journal->base + journal->fill - left);
    }
    return 0;
}

int stage_move_output(const struct stage *stage, int fd, const struct ring *ring, unsigned slot,
                      unsigned output, uint64_t max, enum stage_result *ret_result,
                      uint64_t *ret_moved, struct nsp_error *err)
{
    struct table_stage *journal = stage->journal;
    if (check_empty(journal, err) < 0)
        return -1;
    journal->slot = slot;
    journal->output = output;
    journal->base = ring->state->head;
    set_phase(journal, TABLE_STAGE_FILLING);
    ssize_t moved = splice_retrying(fd, stage->write_fd, max < STAGE_BYTES ? max : STAGE_BYTES);
    if (moved <= 0) {
        int reason = errno;
        set_phase(journal, TABLE_STAGE_EMPTY);
        if (moved < 0 && reason != EAGAIN)
            return nsp_fail_errno(err, NSP_E_SYSTEM, reason, "splice", "output pipe");
        *ret_moved = 0;
        *ret_result = moved == 0 ? STAGE_END : STAGE_NOTHING;
        return 0;
    }
    journal->fill = (uint64_t)moved;
    set_phase(journal, TABLE_STAGE_EMPTYING);
    if (empty_into_ring(stage, ring, (uint64_t)moved, err) < 0)
        return -1;
    set_phase(journal, TABLE_STAGE_EMPTY);
    *ret_moved = (uint64_t)moved;
    *ret_result = STAGE_MOVED;
    return 0;
}

/* Bytes in the staging pipe (ioctl FIONREAD, pipe(7)). */
static int waiting_bytes(const struct stage *stage, uint64_t *ret_count, struct nsp_error *err)
{
    int count;
    if (ioctl(stage->read_fd, FIONREAD, &count) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "FIONREAD", "staging pipe");
    *ret_count = (uint64_t)count;
    return 0;
}

/* Bytes that stayed would go to whoever comes next. */
static int throw_away(const struct stage *stage, struct nsp_error *err)
{
    char scratch[4096];
    ssize_t got;
    do {
        got = read(stage->read_fd, scratch, sizeof scratch);
    } while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0 && errno == EAGAIN)
        return 0;
    return nsp_fail_errno(err, NSP_E_SYSTEM, got < 0 ? errno : EPIPE, "read", "staging pipe");
}

static int write_retrying(int fd, const void *bytes, size_t length, ssize_t *ret_written,
                          struct nsp_error *err)
{
    ssize_t written;
    do {
        written = write(fd, bytes, length);
    } while (written < 0 && errno == EINTR);
    if (written < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "write", "staging pipe");
    *ret_written = written;
    return 0;
}

int stage_move_input(const struct stage *stage, int fd, unsigned slot, const void *bytes,
                     size_t length, uint64_t *offset, enum stage_result *ret_result,
                     uint64_t *ret_moved, struct nsp_error *err)
{
    struct table_stage *journal = stage->journal;
    if (check_empty(journal, err) < 0)
        return -1;
    journal->slot = slot;
    journal->base = *offset;
    set_phase(journal, TABLE_STAGE_FILLING);
    ssize_t staged = 0;
    if (write_retrying(stage->write_fd, bytes, length < STAGE_BYTES ? length : STAGE_BYTES, &staged,
                       err) < 0) {
        set_phase(journal, TABLE_STAGE_EMPTY);
        return -1;
    }
    journal->fill = (uint64_t)staged;
    set_phase(journal, TABLE_STAGE_EMPTYING);
    uint64_t moved = 0;
    int reason = 0;
    while (moved < (uint64_t)staged) {
        ssize_t step = splice_retrying(stage->read_fd, fd, (size_t)staged - moved);
        if (step <= 0) {
            reason = step < 0 ? errno : EPIPE;
            break;
        }
        moved += (uint64_t)step;
    }
    *offset = journal->base + moved;
    /* From here on the rest in the staging pipe does not count as delivered. */
    set_phase(journal, TABLE_STAGE_FILLING);
    if (moved < (uint64_t)staged && throw_away(stage, err) < 0)
        return -1;
    set_phase(journal, TABLE_STAGE_EMPTY);
    if (reason != 0 && reason != EAGAIN && reason != EPIPE)
        return nsp_fail_errno(err, NSP_E_SYSTEM, reason, "splice", "input pipe");
    *ret_moved = moved;
    *ret_result = reason == EPIPE ? STAGE_END : moved > 0 ? STAGE_MOVED : STAGE_NOTHING;
    return 0;
}

int stage_recover_output(const struct stage *stage, const struct ring *ring, struct nsp_error *err)
{
    struct table_stage *journal = stage->journal;
    if (journal->phase != TABLE_STAGE_EMPTY && ring) {
        uint64_t left = 0;
        if (waiting_bytes(stage, &left, err) < 0)
            return -1;
        if (journal->phase == TABLE_STAGE_FILLING) {
            journal->fill = left;
            set_phase(journal, TABLE_STAGE_EMPTYING);
        }
        if (left > journal->fill || journal->fill > STAGE_BYTES)
            return nsp_fail(err, NSP_E_STATE,
                            "staging pipe holds %llu bytes, expected at most %llu",
                            (unsigned long long)left, (unsigned long long)journal->fill);
        if (empty_into_ring(stage, ring, left, err) < 0)
            return -1;
    }
    set_phase(journal, TABLE_STAGE_EMPTY);
    return throw_away(stage, err);
}

int stage_recover_input(const struct stage *stage, uint64_t *offset, struct nsp_error *err)
{
    struct table_stage *journal = stage->journal;
    if (journal->phase == TABLE_STAGE_EMPTYING && offset) {
        uint64_t left = 0;
        if (waiting_bytes(stage, &left, err) < 0)
            return -1;
        if (left <= journal->fill)
            *offset = journal->base + journal->fill - left;
    }
    set_phase(journal, TABLE_STAGE_EMPTY);
    return throw_away(stage, err);
}
