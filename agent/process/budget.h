/* The budget of all output rings together, and who gives way when it is short.
 *
 * The arena counts what the rings have touched and what they may touch without asking again; this
 * makes room in it. The output of exited processes gives way, one process after the other in the
 * order of their exits until there is enough. Kept in any case are outputs that are still read, and
 * those of a process with a lossless reader, attached or held: they are promised to it. What is
 * given up is a gap to whoever reads on, and counts as dropped where no lossless reader had it.
 */
#ifndef AGENT_BUDGET_H
#define AGENT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct process;

/* An eighth of the memory, in bytes. */
uint64_t budget_default(void);

/* True when rings may touch so many bytes more. oldest: the first of the exited, the others follow
 * as its newer; NULL: none has exited. */
bool budget_reserve(struct arena *arena, struct process *oldest, uint64_t bytes);

#endif
