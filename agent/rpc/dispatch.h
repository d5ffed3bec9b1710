/* From a request's text to a method's handler: envelope, gates, parameters.
 *
 * Tables of methods are added at the start, each with the service that its handlers get. The gates,
 * in this order: hello (PROTOCOL.md section 5), existence, text mode, changes.
 */
#ifndef AGENT_DISPATCH_H
#define AGENT_DISPATCH_H

#include "agent/rpc/method.h"
#include "agent/session/stream.h"

struct dispatch;

/* What METHOD_CHANGES is answered with. */
enum dispatch_gate { DISPATCH_OPEN, DISPATCH_FENCED, DISPATCH_SHUTTING_DOWN };

int dispatch_new(struct dispatch **ret_dispatch, struct nsp_error *err);
void dispatch_free(struct dispatch *dispatch);

/* methods and service must outlive the dispatch. ALREADY_EXISTS for a name that is taken, INTERNAL
 * for a table with more than PARAM_FIELDS_MAX fields; nothing is added then. */
int dispatch_add(struct dispatch *dispatch, const struct method *methods, size_t count,
                 void *service, struct nsp_error *err);

void dispatch_set_gate(struct dispatch *dispatch, enum dispatch_gate gate);

/* The request callback of a session server; dispatch is a struct dispatch. */
void dispatch_request(void *dispatch, struct stream *stream, const char *text, size_t length);

/* All methods, by name. NULL beyond the last. */
const struct method *dispatch_method(const struct dispatch *dispatch, size_t index);

#endif
