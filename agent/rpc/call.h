/* A call: what a service gets for one request, and its only way to answer.
 *
 * call_reply or call_fail ends the call, exactly once; the handle is dead after it. A call that is
 * not answered inside its handler must have set a stream handler (with at least gone), and may be
 * ended from the peer's side by gone: the handle is dead when gone returns. (Unlike a bare stream's
 * handler a service does not answer in gone: CANCELLED or DEADLINE is answered by call.c.)
 */
#ifndef AGENT_CALL_H
#define AGENT_CALL_H

#include "agent/rpc/reply.h"
#include "agent/session/stream.h"

struct call;

void call_set_handler(struct call *call, const struct stream_handler *handler, void *arg);
/* The stream below, for stream_open_output, stream_open_input, stream_ready, stream_consumed. */
struct stream *call_stream(struct call *call);

/* Takes the reply in every case. NULL, or a reply that ran out of memory, is sent as EXHAUSTED. */
void call_reply(struct call *call, struct reply *reply);
void call_fail(struct call *call, const struct nsp_error *err);
/* Takes the reply. A notification that cannot be built for want of memory breaks the call: all that
 * is left to do then is call_reply, soon, since the peer may wait for it; it sends the reason. */
void call_notify(struct call *call, const char *method, struct reply *reply);
bool call_is_broken(const struct call *call);

/* For dispatch.c. method: a static string. */
int call_new(struct stream *stream, const char *method, struct call **ret_call,
             struct nsp_error *err);
/* Runs the method's handler. Sees to it that a call which nobody could answer any more is answered
 * with INTERNAL. The call belongs to itself afterwards. */
void call_run(struct call *call,
              void (*handler)(void *service, struct call *call, const void *params), void *service,
              const void *params);

#endif
