/* One connection to an agent, from connect(2) to its loss: handshake, prefaces, frames, keepalive.
 *
 *   CONNECTING -> HANDSHAKE (hybrid only) -> PREFACE -> OPEN
 *
 * It never comes back from an error: nsp_connection_process says so once, and the owner frees it.
 * PING, PONG and GOAWAY are dealt with here; frames of streams go to the handler. Control frames
 * are queued (at most CONTROL_QUEUE bytes) and overtake data, of which one frame at a time is
 * pulled.
 */
#ifndef NSP_CONNECTION_H
#define NSP_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/address.h"
#include "protocol/error.h"
#include "protocol/frame.h"

struct nsp_connection;

struct nsp_connection_handler {
    /* The prefaces are exchanged: frames may be sent. */
    void (*open)(void *arg);
    /* A frame of a stream. payload until it returns. -1 ends the connection with err. */
    int (*frame)(void *arg, const struct nsp_frame *frame, const uint8_t *payload,
                 struct nsp_error *err);
    /* The next DATA (of at most max bytes) or END frame; false: none for now. payload is copied. */
    bool (*pull)(void *arg, size_t max, struct nsp_frame *ret_frame, const uint8_t **ret_payload);
};

/* CONNECTION when it fails at once. handler and arg must outlive it. */
int nsp_connection_new(const struct nsp_address *address,
                       const struct nsp_connection_handler *handler, void *arg, uint64_t now,
                       struct nsp_connection **ret_connection, struct nsp_error *err);
void nsp_connection_free(struct nsp_connection *connection);

int nsp_connection_fd(const struct nsp_connection *connection);
short nsp_connection_events(const struct nsp_connection *connection);
/* When process is due without an event; UINT64_MAX: never. */
uint64_t nsp_connection_due(const struct nsp_connection *connection);

/* Reads, hands out frames, writes. -1: the connection is over. */
int nsp_connection_process(struct nsp_connection *connection, short revents, uint64_t now,
                           struct nsp_error *err);

/* Queues a control frame. EXHAUSTED. */
int nsp_connection_send(struct nsp_connection *connection, const struct nsp_frame *frame,
                        const void *payload, struct nsp_error *err);
/* Queues a JSON message, in as many frames as it needs: all of it or nothing. EXHAUSTED. */
int nsp_connection_send_json(struct nsp_connection *connection, uint8_t type, uint32_t stream,
                             const char *text, size_t length, struct nsp_error *err);
/* pull may have something. */
void nsp_connection_data_ready(struct nsp_connection *connection);

/* Silence after which to ping, and after that ping until the peer counts as dead. */
void nsp_connection_keepalive(struct nsp_connection *connection, uint64_t idle_ms,
                              uint64_t dead_ms);
/* Sends a ping at once. The number of the last PONG that answered one of ours. */
int nsp_connection_ping(struct nsp_connection *connection, uint64_t number, struct nsp_error *err);
uint64_t nsp_connection_pong(const struct nsp_connection *connection);

#endif
