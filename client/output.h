/* One output channel of a process, from this side: checks what arrives, queues it, and decides when
 * the agent gets credit. It goes on over connections: the next one starts where this one stopped.
 */
#ifndef NSP_OUTPUT_H
#define NSP_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "client/events.h"
#include "protocol/channel.h"
#include "protocol/frame.h"

struct nsp_output {
    uint8_t channel;
    bool known;       /* half.next is where the next connection starts */
    bool open;        /* on the present connection: frames may come */
    bool ended;       /* END was queued */
    uint64_t next;    /* first byte that was not queued yet: where the next connection starts */
    uint64_t awaited; /* the agent waits for credit up to here (BLOCKED); 0: it does not */
    uint64_t carry;  /* bytes in the queue from earlier connections, which have no credit to give */
    uint64_t queued; /* bytes of this channel in the queue */
    struct nsp_recv_half half;
    struct nsp_events *events; /* may be another channel's too */
};

void nsp_output_init(struct nsp_output *output, uint8_t channel, struct nsp_events *events);

/* process.started: the channel starts at from. Bytes before what we have are a repetition, bytes
 * left out become a gap. */
int nsp_output_started(struct nsp_output *output, uint64_t from, uint64_t window,
                       struct nsp_error *err);
void nsp_output_lost(struct nsp_output *output);

/* DATA, GAP, END and BLOCKED. On error nothing was taken. *ret_credit: a CREDIT frame is due. */
int nsp_output_frame(struct nsp_output *output, const struct nsp_frame *frame,
                     const uint8_t *payload, bool *ret_credit, struct nsp_error *err);
/* The user took length bytes; true when a CREDIT frame is due. */
bool nsp_output_take(struct nsp_output *output, uint64_t length);
/* That frame, without its stream. */
void nsp_output_credit(const struct nsp_output *output, struct nsp_frame *ret_frame,
                       uint8_t ret_payload[8]);

#endif
