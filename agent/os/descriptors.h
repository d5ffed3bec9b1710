/* Descriptors of a process that was started by anybody. */
#ifndef AGENT_DESCRIPTORS_H
#define AGENT_DESCRIPTORS_H

/* Opens those of the descriptors 0-2 that are closed: otherwise a socket of ours could become
 * somebody's standard output. */
void descriptors_open_standard(void);

/* All others are close-on-exec from now on. */
void descriptors_close_others_on_exec(void);

#endif
