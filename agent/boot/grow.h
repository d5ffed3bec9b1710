/* Growing the root file system to the size of its device.
 *
 * The kernel does it while the file system is mounted, and may take its time: so a process of its
 * own does it (our own program again, "nullspace-agent grow-root [PATH]"), and the loop waits for
 * nobody.
 */
#ifndef AGENT_BOOT_GROW_H
#define AGENT_BOOT_GROW_H

/* An errand (errand.h): prints its line and returns its status. path: a directory of the file
 * system; of an overlay the writable layer is meant. */
int grow_main(const char *path);

#endif
