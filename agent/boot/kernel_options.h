/* Options on the kernel command line: ns.NAME=VALUE means --NAME VALUE ("_" for "-"), so that a
 * host can steer an image without changing it. Never for secrets: everybody in the guest can read
 * them.
 */
#ifndef AGENT_KERNEL_OPTIONS_H
#define AGENT_KERNEL_OPTIONS_H

#include "agent/machine/cmdline.h"

/* Writes to target the options of argv (after argv[0]; all of them, or none when they are not
 * acceptable) and of the command line, as an argv with argv[0] and a NULL at the end. Those that
 * are not acceptable are left out, each with a word in detail: a guest must come up all the same.
 * is_known: keys that others read. *ret_argc counts argv[0]. Strings are borrowed or on the heap
 * for the life of the process. 0: nothing was left out; -1: INVALID_PARAMS, or EXHAUSTED when not
 * all is there for want of memory or room. */
int kernel_options_collect(int argc, char **argv, const struct cmdline *cmdline,
                           bool (*is_known)(const char *key), char **target, int capacity,
                           int *ret_argc, char *detail, size_t detail_capacity,
                           struct nsp_error *err);

#endif
