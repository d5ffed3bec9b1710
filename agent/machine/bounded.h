/* Work that may hang in the kernel, for who may not: PID 1. */
#ifndef AGENT_BOUNDED_H
#define AGENT_BOUNDED_H

#include <stdbool.h>

/* Runs work in a child and waits for its end, at most so long: false when it has not ended by then;
 * the child is left to itself. The caller reaps it. Safe in a
 * signal handler. */
bool bounded_call(void (*work)(void), int limit_ms);

#endif
