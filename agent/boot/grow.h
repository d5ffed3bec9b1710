/* Growing the root file system to the size of its device.
 *
 * The kernel does it while the file system is mounted, and may take its time: so a process of its
 * own does it (our own program again, "nullspace-agent grow-root [PATH]"), and the loop waits for
 * nobody.
 */
#ifndef AGENT_BOOT_GROW_H
#define AGENT_BOOT_GROW_H

#include <stdint.h>

#include "protocol/error.h"

enum grow_status { GROW_DONE = 0, GROW_NOTHING = 10, GROW_FAILED = 1 };

/* The process: prints one line for people on standard output and returns its exit status, enum
 * grow_status. path: a directory of the file system; of an overlay the writable layer is meant. */
int grow_main(const char *path);

#endif
