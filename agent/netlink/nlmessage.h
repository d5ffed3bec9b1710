/* Bytes of netlink messages (netlink(7), rtnetlink(7)): putting requests together, reading replies.
 * No socket here.
 *
 * Nothing in a received datagram is trusted: lengths are checked before what they measure is
 * touched, and what is too short for its type is refused. Alignment does not matter to the readers.
 */
#ifndef AGENT_NLMESSAGE_H
#define AGENT_NLMESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

/* Reading */

struct nlmessage {
    uint16_t type, flags;
    uint32_t sequence;
    const uint8_t *body; /* behind the header */
    size_t length;       /* of the body */
};

/* 1: *ret_message is the next of the bytes and *at behind it; 0: at the end; -1: malformed. */
int nlmessage_next(const uint8_t **at, const uint8_t *end, struct nlmessage *ret_message);

/* The same for a buffer of messages, from *offset on. False at the end and for what is malformed.
 */
bool nlmessage_take(const struct nsp_buf *bytes, size_t *offset, struct nlmessage *ret_message);

struct nlmessage_attribute {
    const uint8_t *data; /* NULL: absent */
    size_t length;
};

/* Sorts attributes by type into the table; those beyond it are left out, and of two of a type the
 * last one counts. False when they are malformed. */
bool nlmessage_attributes(const uint8_t *bytes, size_t length,
                          struct nlmessage_attribute *ret_table, size_t table_count);
/* False, and nothing written, for an absent attribute or one of another size. */
bool nlmessage_u8(const struct nlmessage_attribute *attribute, uint8_t *ret_value);
bool nlmessage_u32(const struct nlmessage_attribute *attribute, uint32_t *ret_value);
/* Text, with or without NUL at its end. False when it is absent or longer than size - 1. */
bool nlmessage_text(const struct nlmessage_attribute *attribute, char *target, size_t size);

/* What the kernel says about a request. */
enum { NLMESSAGE_TEXT = 120 };
struct nlmessage_answer {
    int error;                 /* errno; 0: done */
    char text[NLMESSAGE_TEXT]; /* extended ack: why; cut, may be empty */
};
/* From NLMSG_ERROR, or NLMSG_DONE at the end of a dump. False when it is malformed. */
bool nlmessage_answer(const struct nlmessage *message, struct nlmessage_answer *ret_answer);

/* Writing. A failure (no memory, ceiling) sticks. */

struct nlmessage_writer {
    struct nsp_buf bytes;
    size_t start;   /* of the message that is open */
    unsigned count; /* complete messages */
    bool failed;
};

void nlmessage_init(struct nlmessage_writer *writer, size_t ceiling);
void nlmessage_done(struct nlmessage_writer *writer);

/* One message: begin, any number of put, end. header: what the type has behind struct nlmsghdr. */
void nlmessage_begin(struct nlmessage_writer *writer, uint16_t type, uint16_t flags,
                     const void *header, size_t header_length);
void nlmessage_put(struct nlmessage_writer *writer, uint16_t type, const void *data, size_t length);
void nlmessage_end(struct nlmessage_writer *writer);

#endif
