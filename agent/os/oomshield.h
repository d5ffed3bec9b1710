/* Protection of the agent from the out-of-memory killer, and none for its children.
 *
 * A child inherits oom_score_adj (proc(5)). It cannot reset its own before execve: while it shares
 * our memory the kernel applies the write to every process that does, us included. So the value is
 * lowered before each clone, and raised again as soon as no child shares our memory any more.
 *
 * Without oomshield_open, or where it had no effect, the other two do nothing.
 */
#ifndef AGENT_OOMSHIELD_H
#define AGENT_OOMSHIELD_H

enum { OOMSHIELD_PROTECTED = -1000, OOMSHIELD_EXPOSED = 0 };

/* Gives this process the first value and its later children the second. No effect where it is not
 * permitted (CAP_SYS_RESOURCE), without /proc, or where our own value is above exposed: whoever
 * started us has marked all of us as expendable. */
void oomshield_open(int protected_adj, int exposed_adj);
void oomshield_close(void);

/* Counted. */
void oomshield_lower(void);
void oomshield_raise(void);

#endif
