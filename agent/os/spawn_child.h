/* What runs in a new child, between clone3 and execve, in memory that it shares with its maker
 * (or, where that is not possible, in a copy).
 *
 * Raw system calls only. The job and all it points to stay unchanged, but for the fields under
 * "told", until the status pipe gives end of file or a report.
 */
#ifndef AGENT_SPAWN_CHILD_H
#define AGENT_SPAWN_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/os/spawn.h"

enum { SPAWN_CHILD_PATH_SIZE = 4096 };

/* What goes through the status pipe: one write, which is atomic (pipe(7)). */
struct spawn_child_report {
    uint32_t stage; /* enum spawn_stage */
    int32_t sys_errno;
    int32_t resource; /* RLIMIT: which one */
};

struct spawn_child_job {
    char *const *argv;
    char *const *environment;
    const char *cwd;         /* NULL: stay */
    const char *search_path; /* value of PATH; NULL: argv[0] is the path */
    int stdio[3];            /* -1: /dev/null */
    int status_fd;
    int group_fd;           /* control group to go into first; 0: stay */
    unsigned close_ceiling; /* without close_range(2): close up to here */
    enum clone_way way;     /* how it was made; only CLONE3 has reset the signal handlers */
    uint64_t ignored;       /* signals to set to SIG_DFL then; bit n is signal n + 1 */
    bool has_umask;
    mode_t umask;
    const struct spawn_rlimit *rlimits;
    size_t rlimit_count;

    /* told */
    volatile uint32_t stage;
    int resource;            /* RLIMIT: which one */
    const char *failed_path; /* EXEC, INTERPRETER, STDIO: on what; NULL when nothing is known */
    char path[SPAWN_CHILD_PATH_SIZE];
};

/* arg: the job. Never returns. */
void spawn_child_run(void *arg);

#endif
