/* The last words: everything that is on its way to clients goes out, then each is told that this is
 * the end and has a moment to read it, and only then the agent may go.
 *
 * Needed where the connection does not outlive us: what a virtual socket has not delivered when the
 * machine ends is lost, and only the peer's own close says that it has read all.
 */
#ifndef AGENT_FAREWELL_H
#define AGENT_FAREWELL_H

#include <stdbool.h>

#include "agent/session/session.h"

struct farewell;

/* done is called once, from the loop, when everything is said or limit_ms have passed; with
 * wait_for_peers when all of them have closed. */
int farewell_start(struct loop *loop, struct session_server *server, bool wait_for_peers,
                   unsigned limit_ms, void (*done)(void *arg), void *arg,
                   struct farewell **ret_farewell, struct nsp_error *err);
void farewell_free(struct farewell *farewell);

#endif
