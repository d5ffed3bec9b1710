/* The pipes that a process has as its standard streams; the agent holds the other ends. pipe(7).
 *
 * They begin with the kernel's default capacity, since most carry little; one that turns out to be
 * busy is made larger, once.
 */
#ifndef AGENT_PIPE_H
#define AGENT_PIPE_H

#include <stddef.h>

#include "protocol/error.h"

/* PIPE_BUSY_BYTES: capacity of a busy one, by default the most that one without privileges may ask
 * for (/proc/sys/fs/pipe-max-size). PIPE_PAGE: the unit in which a pipe is filled. */
enum { PIPE_BUSY_BYTES = 1 << 20, PIPE_PAGE = 4096 };

/* Read end, write end; blocking, close-on-exec, the caller's. EXHAUSTED. */
int pipe_new(int ret_ends[2], struct nsp_error *err);
/* Fewer switches between the two sides. Does nothing where the kernel refuses it. */
void pipe_enlarge(int fd);
/* In bytes; a page where it cannot be told. */
size_t pipe_capacity(int fd);

#endif
