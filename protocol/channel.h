/* Credit and half-close of one channel, one direction: arithmetic and a state table, no I/O.
 *
 * A channel is a log with absolute byte offsets. The receiver says how far it has consumed and up
 * to which offset it lets the sender go (CREDIT frame: both only grow). Each direction is a half:
 *
 *            data               end                reset
 *   OPEN   -> OPEN   ;   OPEN -> ENDED   ;   OPEN, ENDED -> DEAD
 *
 * Data after END, an END that contradicts the length, data beyond the credit, and an offset that
 * leaves a hole are violations (PROTOCOL). Bytes that were received already are a repetition, which
 * nsp_recv_half_data trims.
 */
#ifndef NSP_CHANNEL_H
#define NSP_CHANNEL_H

#include <stdint.h>

#include "protocol/error.h"

enum nsp_half_state { NSP_HALF_OPEN, NSP_HALF_ENDED, NSP_HALF_DEAD, NSP_HALF_STATES };

struct nsp_send_half {
    enum nsp_half_state state;
    uint64_t next;     /* offset of the next byte to send */
    uint64_t consumed; /* the receiver has taken everything before this */
    uint64_t limit;    /* the receiver lets us send everything before this */
};

struct nsp_recv_half {
    enum nsp_half_state state;
    uint64_t next;     /* offset of the next byte expected */
    uint64_t consumed; /* what we have taken out */
    uint64_t limit;    /* what we have let the sender send */
    uint64_t told;     /* consumed in the last CREDIT */
    uint64_t window;   /* limit - consumed that we aim at */
};

/* from: offset at which the direction starts; window: initial credit in bytes. */
void nsp_send_half_init(struct nsp_send_half *half, uint64_t from, uint64_t window);
void nsp_recv_half_init(struct nsp_recv_half *half, uint64_t from, uint64_t window);

/* Bytes that may be sent now; 0 unless OPEN. */
uint64_t nsp_send_half_allowance(const struct nsp_send_half *half);
/* length bytes were sent; at most what is allowed. */
void nsp_send_half_data(struct nsp_send_half *half, uint64_t length);
/* A GAP of any length was sent. It raises the limit on both sides alike, since the receiver may
 * have nothing left to consume that would give new credit. */
void nsp_send_half_gap(struct nsp_send_half *half, uint64_t length);
void nsp_send_half_end(struct nsp_send_half *half);
/* A CREDIT frame came. Numbers that shrink are ignored (frames may be repeated after a reconnect);
 * consumed beyond what was sent, or beyond limit, is PROTOCOL. */
int nsp_send_half_credit(struct nsp_send_half *half, uint64_t consumed, uint64_t limit,
                         struct nsp_error *err);

/* A DATA frame came. *ret_skip says how many of its first bytes are a repetition. */
int nsp_recv_half_data(struct nsp_recv_half *half, uint64_t offset, uint64_t length,
                       uint64_t *ret_skip, struct nsp_error *err);
/* A GAP frame came: bytes from offset up to `to` are lost. They count as consumed. */
int nsp_recv_half_gap(struct nsp_recv_half *half, uint64_t offset, uint64_t to,
                      struct nsp_error *err);
/* An END frame came, at offset. A repeated END at the same offset is fine. */
int nsp_recv_half_end(struct nsp_recv_half *half, uint64_t offset, struct nsp_error *err);
/* We took length bytes out. Returns true when it is time to send a CREDIT frame with half->consumed
 * and half->limit (both then updated): a quarter of the window is used. */
bool nsp_recv_half_consume(struct nsp_recv_half *half, uint64_t length);
/* True once, when the channel has ended and everything was taken out, but CREDIT has not said so.
 */
bool nsp_recv_half_is_final(struct nsp_recv_half *half);

#endif
