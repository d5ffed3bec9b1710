/* Starting a program: clone3(2) with CLONE_VM but without CLONE_VFORK, so that neither page tables
 * are copied nor the caller ever waits.
 *
 * The child shares our memory until its execve, on a stack of its own, and makes raw system calls
 * only (errno and thread-local storage are ours). Everything it needs is prepared in one block that
 * must stay until the status pipe has told the outcome:
 *
 *   spawn_prepare -> spawn_status_fd, spawn_clone -> poll the status descriptor ->
 *   spawn_outcome (not PENDING) -> spawn_free
 *
 * With CLONE_PARENT the child is the supervisor's, which alone waits. In the child, in this order:
 * descriptors 0-2, close_range from 3, new session, signal dispositions and mask, umask, rlimits,
 * cwd, execve. The first failure is written to the status pipe as {stage, errno} and the child
 * exits with 127. Closing comes first, so that a child that hangs in chdir on a dead file system
 * holds no descriptor of ours.
 *
 * Besides what the request says, a child gets the RLIMIT_NOFILE that we were started with (see
 * rlimit.h), and an oom_score_adj of its own (see oomshield.h). Which signals this process ignores
 * is read once, at the first spawn_prepare.
 */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "agent/os/clone.h"
#include "protocol/error.h"

/* X(NAME, text) - the text is what a peer sees as error.data.op */
#define SPAWN_STAGES(X)                                                                            \
    X(CLONE, "clone")                                                                              \
    X(STDIO, "dup3")                                                                               \
    X(CLOSE, "close_range")                                                                        \
    X(SESSION, "setsid")                                                                           \
    X(SIGNALS, "sigaction")                                                                        \
    X(RLIMIT, "setrlimit")                                                                         \
    X(IDENTITY, "identity")                                                                        \
    X(CWD, "chdir")                                                                                \
    X(EXEC, "execve")                                                                              \
    X(INTERPRETER, "interpreter")

enum spawn_stage {
#define SPAWN_STAGE_ENUM(name, text) SPAWN_STAGE_##name,
    SPAWN_STAGES(SPAWN_STAGE_ENUM)
#undef SPAWN_STAGE_ENUM
        SPAWN_STAGE_COUNT
};

struct spawn_rlimit {
    int resource; /* RLIMIT_* */
    struct rlimit limit;
};

struct spawn_request {
    char *const *argv;        /* NULL-terminated; copied */
    char *const *environment; /* NULL-terminated "NAME=value"; copied. PATH in it is searched when
                                 argv[0] has no slash; without one /usr/local/bin:/usr/bin:/bin */
    const char *cwd;          /* NULL: keep ours */
    int stdio[3];             /* borrowed; -1: /dev/null */
    bool parent_waits;        /* CLONE_PARENT: our parent is the one that waits */
    bool has_umask;
    mode_t umask;
    const struct spawn_rlimit *rlimits; /* copied */
    size_t rlimit_count;
    int cgroup_fd;      /* borrowed until spawn_clone; see clone.h */
    enum clone_way way; /* 0 for the best; tests force the fallbacks, valgrind needs COPY */
};

struct spawn;

enum spawn_result { SPAWN_PENDING, SPAWN_EXECUTED, SPAWN_FAILED };

/* SPAWN (E2BIG, ...) or EXHAUSTED. Makes the status pipe. */
int spawn_prepare(const struct spawn_request *request, struct spawn **ret_spawn,
                  struct nsp_error *err);

/* Read end of the status pipe, non-blocking; poll for reading. Borrowed. */
int spawn_status_fd(const struct spawn *spawn);

/* Clones. pid_slot: where the kernel stores the pid before the child runs (may be shared memory).
 * ret_pidfd: the caller's, -1 where the kernel has no pidfds. On error nothing runs. */
int spawn_clone(struct spawn *spawn, pid_t *pid_slot, int *ret_pidfd, struct nsp_error *err);

/* Reads a status descriptor (it may come from an earlier agent, then spawn is NULL). FAILED fills
 * ret_failure with SPAWN, the stage as op, errno and the object. */
enum spawn_result spawn_outcome(int status_fd, const struct spawn *spawn,
                                struct nsp_error *ret_failure);

/* Where the child is or was last; for the error after a deadline. Unknown ("clone") when its memory
 * is a copy. */
const char *spawn_stage_name(const struct spawn *spawn);

/* Closes the status descriptor too. Only when nothing was cloned or the outcome is known. */
void spawn_free(struct spawn *spawn);

#endif
