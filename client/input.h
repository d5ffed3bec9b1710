/* Standard input of a process, from this side: what was written and the process does not have yet.
 *
 * Bytes stay queued until CREDIT says that they are consumed, so that a new connection can go on at
 * the offset which process.started tells: nothing is written twice, nothing is left out.
 */
#ifndef NSP_INPUT_H
#define NSP_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/channel.h"
#include "protocol/frame.h"

struct nsp_input {
    bool enabled;
    bool known;    /* base is an offset that the agent has told */
    bool open;     /* on the present connection: half is valid */
    bool closing;  /* the user writes no more */
    bool dead;     /* the process reads no more */
    uint64_t base; /* offset of the first queued byte */
    struct nsp_buf bytes;
    struct nsp_send_half half;
};

void nsp_input_init(struct nsp_input *input, bool enabled);
void nsp_input_done(struct nsp_input *input);

/* process.started: go on at offset. PROTOCOL when it takes back what it had consumed. */
int nsp_input_started(struct nsp_input *input, uint64_t offset, uint64_t window,
                      struct nsp_error *err);
void nsp_input_lost(struct nsp_input *input);
int nsp_input_credit(struct nsp_input *input, uint64_t consumed, uint64_t limit,
                     struct nsp_error *err);
/* process.stdin_closed: drops what is queued. */
void nsp_input_reader_gone(struct nsp_input *input);

/* The next DATA or END frame; false when there is nothing to send or no credit. */
bool nsp_input_pull(struct nsp_input *input, size_t max, struct nsp_frame *ret_frame,
                    const uint8_t **ret_payload);

size_t nsp_input_room(const struct nsp_input *input);
size_t nsp_input_write(struct nsp_input *input, const void *bytes, size_t length);
void nsp_input_close(struct nsp_input *input);

#endif
