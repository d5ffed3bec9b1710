/* One process as /proc shows it: the fields of /proc/PID/stat that are used here, see proc(5).
 * Nothing is allocated. */
#ifndef AGENT_PROCSTAT_H
#define AGENT_PROCSTAT_H

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/error.h"

struct procstat {
    char state;
    pid_t parent, group, session;
    unsigned flags; /* PF_* of the kernel */
    long threads;
};

/* proc_fd: of /proc; name: the number as its directory has it. 1: filled in; 0: no such process, or
 * hidden from us; -1: SYSTEM. */
int procstat_read(int proc_fd, const char *name, struct procstat *ret_status,
                  struct nsp_error *err);

/* All of its threads have ended: one whose first thread has looks like a zombie, too. */
bool procstat_is_dead(const struct procstat *status);
bool procstat_is_kernel_thread(const struct procstat *status);

#endif
