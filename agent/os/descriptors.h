/* Descriptors of a process that was started by anybody. */
#ifndef AGENT_DESCRIPTORS_H
#define AGENT_DESCRIPTORS_H

/* Opens those of the descriptors 0-2 that are closed: otherwise a socket of ours could become
 * somebody's standard output. */
void descriptors_open_standard(void);

/* A terminal as standard error is opened again, non-blocking: it polls as writable as soon as one
 * byte fits, and whoever does not read it would hold up who writes a line. Nobody else's descriptor
 * of it changes. */
void descriptors_unblock_terminal(void);

/* All others are close-on-exec from now on. */
void descriptors_close_others_on_exec(void);

enum { DESCRIPTORS_ABOVE = 16 }; /* out of the way of those that descriptors_place places */

/* Copies of fds become the descriptors first, first + 1... below DESCRIPTORS_ABOVE, for a program
 * that expects them there; any of fds may be in the place of another. One that is -1 leaves its
 * place alone. -1 with errno. */
int descriptors_place(const int *fds, int count, int first);

#endif
