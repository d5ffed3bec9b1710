/* Signals by name and number (signal(7)). */
#ifndef AGENT_SIGNAME_H
#define AGENT_SIGNAME_H

#include <stddef.h>

enum { SIGNAME_SIZE = 16 };

/* "TERM", "SIGTERM", "sigterm", "RTMIN", "RTMIN+3", "RTMAX-1" or a decimal number from 1 on; -1
 * when it is none. "0" is no signal here. */
int signame_number(const char *name);

/* "SIGTERM", "SIGRTMIN+3", or "SIG99" for a number without a name. Returns target, which has room
 * for SIGNAME_SIZE bytes. */
const char *signame_name(int number, char *target);

#endif
