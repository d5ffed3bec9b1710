/* The member that a check is about: its path, and how it is refused. */
#ifndef AGENT_SCHEMA_PLACE_H
#define AGENT_SCHEMA_PLACE_H

#include "protocol/error.h"

struct place {
    struct nsp_error *err;
    char path[96]; /* cut when it is longer */
};

/* "links[%zu].mtu" */
void place_set(struct place *place, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* INVALID_PARAMS with the path as object: "PATH REASON: TEXT". text: what stands there; NULL when
 * nothing does. Returns -1. */
int place_refuse(const struct place *place, const char *text, const char *reason);

#endif
