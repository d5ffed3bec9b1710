/* The only place that waits for processes.
 *
 * An exit is written into the exit log while the process is still a zombie, the agent is woken, and
 * only then the zombie is taken away: should anything be in the way of the record, the zombie is
 * the queue. Processes that nobody claims are just taken away and counted.
 */
#ifndef INIT_REAPER_H
#define INIT_REAPER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/handover/exitlog.h"

struct reaper {
    struct exitlog *log; /* borrowed */
    int wake_fd;         /* eventfd, borrowed */
    uint64_t recorded, untracked;
};

/* What one pass found. */
struct reaper_pass {
    unsigned reaped; /* besides the agent */
    bool agent_gone; /* agent_exit tells how */
    siginfo_t agent_exit;
    bool more;    /* stopped after a bounded number; call again soon */
    bool stalled; /* an exit found no place in the log; call again later */
};

/* Takes what has exited. agent: its pid, 0 when there is none. Never waits. */
void reaper_drain(struct reaper *reaper, pid_t agent, struct reaper_pass *ret_pass);

#endif
