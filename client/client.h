/* What client.c offers to calls, besides nsclient.h.
 */
#ifndef NSP_CLIENT_H
#define NSP_CLIENT_H

#include <stdint.h>

#include "client/nsclient.h"
#include "protocol/frame.h"

/* Calls that are not DONE. EXHAUSTED. */
int nsp_client_add_call(struct nsp_client *client, struct nsp_call *call, struct nsp_error *err);
void nsp_client_remove_call(struct nsp_client *client, struct nsp_call *call);
/* A call may have become ready to be sent. */
void nsp_client_wake(struct nsp_client *client);

/* Queues a REQUEST: 1; 0: there is no room for it now. EXHAUSTED: it is too large for ever. */
int nsp_client_open_stream(struct nsp_client *client, uint32_t stream, struct nsp_call *call,
                           const char *text, struct nsp_error *err);
void nsp_client_close_stream(struct nsp_client *client, uint32_t stream);
/* Failing for want of room ends the connection at the next nsp_client_process. */
void nsp_client_send_frame(struct nsp_client *client, const struct nsp_frame *frame,
                           const void *payload);
void nsp_client_data_ready(struct nsp_client *client);

/* What the agent grants to a new channel, and what it expects to be granted. */
uint64_t nsp_client_credit(const struct nsp_client *client);

#endif
