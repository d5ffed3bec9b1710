/* Leaving file systems in order at the end of the machine: swap off, unmount, read-only.
 *
 * For PID 1, when everything else is dead. Nothing here allocates. A file system that hangs hangs
 * the caller: who must not wait for ever calls this in a child.
 */
#ifndef AGENT_UNMOUNT_H
#define AGENT_UNMOUNT_H

/* sync(2), the root by itself first: another file system that hangs does not keep it from being
 * whole. */
void unmount_sync(void);

/* All of /proc/swaps. */
void unmount_swap(void);

/* Unmounts everything but the root and the kernel's own (proc, sysfs, devtmpfs, cgroup2, rootfs),
 * the newest first, several times while that helps. */
void unmount_all(void);

/* Makes what is left read-only, the root first, and detaches what is busy. Returns how many file
 * systems with data stayed writable. */
unsigned unmount_rest(void);

#endif
