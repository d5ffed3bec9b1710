/* A call in progress, as client.c runs it and process.c uses it.
 *
 *   QUEUED -> SENT -> DONE          lost: SENT -> QUEUED (handler or REPEAT), otherwise DONE
 *
 * QUEUED waits for a connection (or for its handler to be ready), SENT has a stream. A call without
 * a handler keeps its result; one with a handler tells it, and asks it for a new request on every
 * connection.
 */
#ifndef NSP_CALL_H
#define NSP_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "client/json.h"
#include "client/nsclient.h"
#include "protocol/buf.h"
#include "protocol/frame.h"

struct nsp_call_handler {
    /* The request for the next connection; *ret_params is then the call's. 0: not now, ask again.
     */
    int (*request)(void *arg, const char **ret_method, char **ret_params, struct nsp_error *err);
    int (*notify)(void *arg, const char *method, const struct nsp_json *params,
                  struct nsp_error *err);
    /* DATA, END, GAP and CREDIT. -1 ends the connection. */
    int (*channel)(void *arg, const struct nsp_frame *frame, const uint8_t *payload,
                   struct nsp_error *err);
    /* The next DATA or END frame, without its stream. */
    bool (*pull)(void *arg, size_t max, struct nsp_frame *ret_frame, const uint8_t **ret_payload);
    void (*lost)(void *arg);
    /* The end: result, or NULL and the error. The handler may not free the call here. */
    void (*done)(void *arg, const struct nsp_json *result, const struct nsp_error *error);
};

/* handler and arg must outlive the call. EXHAUSTED. */
int nsp_call_open(struct nsp_client *client, const struct nsp_call_handler *handler, void *arg,
                  struct nsp_call **ret_call, struct nsp_error *err);

/* There may be something to pull. */
void nsp_call_data_ready(struct nsp_call *call);
/* Sends a frame of the call's stream; false when there is no stream now. A full queue ends the
 * connection. */
bool nsp_call_send_frame(struct nsp_call *call, struct nsp_frame *frame, const void *payload);

/* For client.c. */
bool nsp_call_queued(const struct nsp_call *call);
/* 1: sent on that stream, 0: not now, -1: it cannot be sent, and has ended. */
int nsp_call_send(struct nsp_call *call, uint32_t stream, uint64_t now);
/* When it is over if it is not answered; UINT64_MAX: never. Counts from the first question. */
uint64_t nsp_call_due(struct nsp_call *call, uint64_t now);
int nsp_call_frame(struct nsp_call *call, const struct nsp_frame *frame, const uint8_t *payload,
                   struct nsp_error *err);
bool nsp_call_pull(struct nsp_call *call, size_t max, struct nsp_frame *ret_frame,
                   const uint8_t **ret_payload);
void nsp_call_lost(struct nsp_call *call, const struct nsp_error *error);
void nsp_call_fail(struct nsp_call *call, const struct nsp_error *error);

/* Puts a JSON message together from its frames. 1: it is whole, and the text lives until the next
 * use of parts or payload; 0: more is needed. */
int nsp_call_assemble(struct nsp_buf *parts, const struct nsp_frame *frame, const uint8_t *payload,
                      const char **ret_text, size_t *ret_length, struct nsp_error *err);
/* {"method":…,"params":…}; params NULL: {}; deadline 0: none. Text for free(3). */
int nsp_call_request_text(const char *method, const char *params, uint64_t deadline,
                          char **ret_text, struct nsp_error *err);

#endif
