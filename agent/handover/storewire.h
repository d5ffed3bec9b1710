/* Messages between supervisor and agent: SOCK_SEQPACKET, descriptors by SCM_RIGHTS (unix(7)).
 *
 * The fd store keeps what must outlive an agent. The agent puts descriptors in and drops them; a
 * new agent asks for all. Puts and drops are not answered: messages that a dead agent had sent are
 * still read before the next agent starts, in their order. A drop is therefore asynchronous: the
 * supervisor's copy closes when it reads the message, which is when a pipe's other end sees EOF.
 *
 * Messages alone do not wake the supervisor: it reads them whenever it is awake, which it is at
 * every exit, so that a process costs it one wake-up and not three. Who cannot wait for that, or
 * finds the socket full, kicks (an eventfd(2)).
 *
 * The agent inherits seven descriptors: see STOREWIRE_FD_*. The wake descriptor is an eventfd(2),
 * which cannot overflow: it says only "look at the exit log".
 */
#ifndef AGENT_STOREWIRE_H
#define AGENT_STOREWIRE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

enum {
    STOREWIRE_FD_SOCKET = 3,
    STOREWIRE_FD_WAKE = 4,
    STOREWIRE_FD_CLAIMS = 5,
    STOREWIRE_FD_EXITS = 6,
    STOREWIRE_FD_KICK = 7, /* written by the agent */
    STOREWIRE_FD_BOOT = 8, /* bootreport.h */
    STOREWIRE_FD_LOG = 9,  /* log_share; not needed once it is mapped */
    STOREWIRE_FD_COUNT = 7,
};

enum storewire_op {
    STOREWIRE_PUT = 1,  /* agent: keep these (replaces an entry of the same key) */
    STOREWIRE_DROP,     /* agent: close these; unknown keys are ignored */
    STOREWIRE_LIST,     /* agent: send all entries as ITEMs, then DONE */
    STOREWIRE_ITEM,     /* supervisor */
    STOREWIRE_DONE,     /* supervisor */
    STOREWIRE_READY,    /* agent: listening; from now on a death means restart; argument: enum
                           power_variant, grace_ms */
    STOREWIRE_SHUTDOWN, /* supervisor: everything is being ended; nothing new from now on.
                           agent: asks for that; argument: enum power_action, grace_ms */
    STOREWIRE_END,      /* supervisor: all else has ended; argument: ms that the agent has to tell
                           its clients so, and to end */
};

/* When an entry goes in and when it is dropped. X(KIND, per_slot, in, dropped) */
#define STOREWIRE_KINDS(X)                                                                         \
    X(TABLE, 0, "agent's first start", "never")                                                    \
    X(ARENA, 0, "agent's first start", "never")                                                    \
    X(OUTPUT_STAGE_READ, 0, "agent's first start", "never")                                        \
    X(OUTPUT_STAGE_WRITE, 0, "agent's first start", "never")                                       \
    X(INPUT_STAGE_READ, 0, "agent's first start", "never")                                         \
    X(INPUT_STAGE_WRITE, 0, "agent's first start", "never")                                        \
    X(LISTENER, 1, "socket listening; slot is the number of the --listen option",                  \
      "configuration no longer names it")                                                          \
    X(STDIN, 1, "before clone", "end of input delivered, reader gone, or process forgotten")       \
    X(STDOUT, 1, "before clone", "end of file, given up, or process forgotten")                    \
    X(STDERR, 1, "before clone", "end of file, given up, or process forgotten")                    \
    X(STATUS, 1, "before clone", "execve known to have succeeded or failed")                       \
    X(SERVICES, 0, "first start of an agent with services", "never")

enum storewire_kind {
#define STOREWIRE_ENUM(kind, per_slot, in, dropped) STOREWIRE_##kind,
    STOREWIRE_KINDS(STOREWIRE_ENUM)
#undef STOREWIRE_ENUM
        STOREWIRE_KIND_COUNT
};

struct storewire_key {
    uint32_t kind; /* enum storewire_kind */
    uint32_t slot; /* process slot or listener number; 0 for the single ones */
};

enum { STOREWIRE_BATCH = 8 };

struct storewire_message {
    uint32_t op;
    uint32_t argument;
    uint32_t grace_ms; /* agent's READY and SHUTDOWN; UINT32_MAX: as it is */
    uint32_t count;    /* keys, and descriptors in PUT and ITEM */
    struct storewire_key keys[STOREWIRE_BATCH];
};

/* Sends one message with its descriptors (count of them for PUT and ITEM, none otherwise). On a
 * blocking socket waits for room. On a non-blocking one: 0 sent, -1 with sys_errno EAGAIN. */
int storewire_send(int socket, const struct storewire_message *message, const int *fds,
                   struct nsp_error *err);

/* The same without ever waiting, on a blocking socket too. */
int storewire_try_send(int socket, const struct storewire_message *message, const int *fds,
                       struct nsp_error *err);

/* An eventfd(2) to kick, close-on-exec, non-blocking. SYSTEM. */
int storewire_new_kick(int *ret_fd, struct nsp_error *err);
/* Wakes who polls this eventfd(2): the supervisor, so that it reads its messages, or the agent. */
void storewire_kick(int kick_fd);

/* Receives one message. Returns 1 with a checked message and ret_fds (caller's, close-on-exec), 0
 * at end of file, -1 on error (EAGAIN on a non-blocking socket with nothing there; PROTOCOL for a
 * malformed message, whose descriptors are closed). ret_fds has room for STOREWIRE_BATCH. */
int storewire_receive(int socket, struct storewire_message *ret_message, int *ret_fds,
                      struct nsp_error *err);

#endif
