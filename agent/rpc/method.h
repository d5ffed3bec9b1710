/* A method: one row of a service's table. Tables are static; rpc.discover, the reference and the
 * checks are made from them. */
#ifndef AGENT_METHOD_H
#define AGENT_METHOD_H

#include "agent/rpc/call.h"
#include "agent/rpc/params.h"

enum {
    METHOD_CHANGES = 1,      /* changes state: refused while fenced or shutting down */
    METHOD_BEFORE_HELLO = 2, /* allowed before hello (hello itself) */
    METHOD_STREAMS = 4,      /* may notify and carry channels */
    METHOD_TEXT_ONLY = 8,    /* text mode only (cancel) */
};

struct method {
    const char *name;
    const struct param_field *fields;
    size_t field_count;
    size_t params_size; /* sizeof the decoded struct */
    unsigned flags;
    void (*handler)(void *service, struct call *call, const void *params);
    const char *doc;     /* one sentence */
    const char *returns; /* one sentence about the result */
    uint64_t errors;     /* METHOD_ERROR bits that flags and fields do not imply */
};

#define METHOD_ERROR(name) (UINT64_C(1) << NSP_E_##name)
_Static_assert(NSP_E_COUNT <= 64, "a bit an error");

#endif
