/* A NETLINK_ROUTE socket (netlink(7), rtnetlink(7)) without any library.
 *
 * A batch of requests is sent in pieces of many messages. The kernel carries them out in their
 * order, each whatever became of those before it, and acknowledges every one; acknowledgements find
 * their request by sequence number. When some were lost (ENOBUFS), everything from the first
 * request without an answer on is sent once more, one by one, so requests must be such that the
 * same sequence may be carried out twice.
 *
 * Waiting for answers is bounded by NETLINK_DEADLINE_MS a batch or dump. The kernel does the work
 * inside send(2); what it waits for there (its own lock) cannot be bounded from here.
 */
#ifndef AGENT_NETLINK_H
#define AGENT_NETLINK_H

#include "agent/netlink/nlmessage.h"

enum {
    NETLINK_DEADLINE_MS = 5000,
    NETLINK_PIECE = 64,           /* requests in one send */
    NETLINK_DUMP_MAX = 4 << 20,   /* bytes of one dump */
    NETLINK_BATCH_MAX = 1 << 20,  /* bytes of one batch */
    NETLINK_DATAGRAM = 32 * 1024, /* what the kernel sends at once at most */
};

struct netlink;

/* Talks to the kernel of the network namespace that the thread is in. */
int netlink_open(struct netlink **ret_netlink, struct nsp_error *err);
/* fd: a datagram socket that is connected to the kernel, or to what stands in for it; taken over
 * on success. */
int netlink_new(int fd, struct netlink **ret_netlink, struct nsp_error *err);
void netlink_close(struct netlink *netlink); /* NULL accepted */
void netlink_set_deadline(struct netlink *netlink, unsigned milliseconds);

/* Sends all messages of the batch; answers: one for each. A request that got none by the deadline
 * has ETIMEDOUT. Each message must ask for an acknowledgement (NLM_F_ACK). */
void netlink_exchange(struct netlink *netlink, const struct nlmessage_writer *batch,
                      struct nlmessage_answer *ret_answers);

/* All objects of a kind (RTM_GETLINK, ...): messages one after another for nlmessage_next, in
 * *ret_bytes, which is initialised here and the caller's on success. family AF_UNSPEC: all.
 * Begins again when the kernel says that what it told was not of one moment (NLM_F_DUMP_INTR).
 * SYSTEM, PERMISSION, EXHAUSTED, DEADLINE. */
int netlink_dump(struct netlink *netlink, uint16_t type, uint8_t family, struct nsp_buf *ret_bytes,
                 struct nsp_error *err);

#endif
