/* A supervisor in miniature, in the place of the parent of the present test: what the test clones
 * with CLONE_PARENT is its child. It reaps (init/reaper.h) and keeps an fd store (init/fdstore.h)
 * as the real one does, and reads messages only when it is kicked or somebody exits, but starts
 * nobody again. At the end it kills what is left.
 */
#ifndef TESTS_SUPPORT_MINI_SUPERVISOR_H
#define TESTS_SUPPORT_MINI_SUPERVISOR_H

/* What an agent inherits (agent/handover/storewire.h). */
struct mini_supervisor {
    int socket, wake_fd, claims_fd, exits_fd, kick_fd;
};

/* Forks. It returns in the child, which goes on as the test; the parent is the supervisor from now
 * on and ends as the test does. For a fixture. */
struct mini_supervisor mini_supervisor_begin(void);

#endif
