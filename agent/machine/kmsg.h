/* The kernel's log: /dev/kmsg, record by record, or syslog(2) where the device cannot be had.
 *
 * Format of a record: Documentation/ABI/testing/dev-kmsg of the kernel. Sequences come from the
 * kernel and have no holes, so that a reader sees what was overwritten before it was read.
 * syslog(2) has no sequences and cannot be followed: a snapshot, each record with sequence 0.
 */
#ifndef AGENT_KMSG_H
#define AGENT_KMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

enum { KMSG_TEXT_MAX = 1024 }; /* more is cut */

struct kmsg_record {
    uint64_t sequence;
    unsigned priority; /* 0 (emergency) to 7 (debug) */
    uint64_t time_us;  /* CLOCK_MONOTONIC, about */
    size_t length;
    char text[KMSG_TEXT_MAX + 1]; /* NUL-terminated, printable but for bytes from 0x80 on */
};

struct kmsg;

/* At the oldest record. PERMISSION, NOT_FOUND (neither the device nor the system call), SYSTEM,
 * EXHAUSTED. */
int kmsg_open(struct kmsg **ret_kmsg, struct nsp_error *err);
/* The same by syslog(2). */
int kmsg_open_snapshot(struct kmsg **ret_kmsg, struct nsp_error *err);
void kmsg_free(struct kmsg *kmsg);

/* Readable when there are records; -1 for a snapshot. */
int kmsg_fd(const struct kmsg *kmsg);

/* The next record; false when there is none now, for a snapshot ever. What cannot be read as a
 * record is left out. */
bool kmsg_read(struct kmsg *kmsg, struct kmsg_record *ret_record);

/* Back to the oldest record; a snapshot stays where it is. */
void kmsg_rewind(struct kmsg *kmsg);

/* One record as the device gives it; -1 when it is none. */
int kmsg_parse(const char *bytes, size_t length, struct kmsg_record *ret_record);
/* The first line of what syslog(2) gives; returns its length with the line end. 0: nothing left.
 * A line that is none has a text of no length. */
size_t kmsg_parse_line(const char *bytes, size_t length, struct kmsg_record *ret_record);

#endif
