/* Telling the host that the guest can be talked to: connect, send one line, read one line "OK";
 * again, with growing pauses, until the host has said so. Then nothing is left open.
 */
#ifndef AGENT_BOOT_ANNOUNCE_H
#define AGENT_BOOT_ANNOUNCE_H

#include <sys/socket.h>

#include "agent/loop/loop.h"

enum {
    ANNOUNCE_LINE = 256,
    ANNOUNCE_PAUSE_MS = 100, /* the first; doubled each time */
    ANNOUNCE_PAUSE_MAX_MS = 10000,
    ANNOUNCE_ATTEMPT_MS = 3000, /* until the answer is there */
};

struct announce_config {
    struct loop *loop;
    const struct sockaddr *address; /* of a stream socket; copied */
    socklen_t address_length;
    const char *line; /* without newline, less than ANNOUNCE_LINE bytes; copied */
    /* Once, when the host has answered; the announcement may be freed from the next turn of the
     * loop on. */
    void (*done)(void *arg, unsigned attempts);
    void *arg;
};

struct announce;

/* The first attempt is made from the loop. INVALID_PARAMS, EXHAUSTED. */
int announce_start(const struct announce_config *config, struct announce **ret_announce,
                   struct nsp_error *err);
/* NULL is fine. */
void announce_free(struct announce *announce);

/* {"nullspace":"ready",...} of this agent. port: where it listens; 0: not on vsock. */
void announce_line(char target[ANNOUNCE_LINE], uint64_t generation, const char *boot_id,
                   uint32_t port);

/* Copies the address of a port of the host (vsock(7), CID 2); returns its length. */
socklen_t announce_host(struct sockaddr_storage *target, uint32_t port);

#endif
