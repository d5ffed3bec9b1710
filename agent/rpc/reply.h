/* Building a JSON object without seeing JSON. Failures - no memory, or more bytes, values or levels
 * than the peer's own check of a message lets through - stick, so that only the end has to be
 * checked (call_reply and call_notify do it).
 */
#ifndef AGENT_REPLY_H
#define AGENT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

struct reply;

/* NULL without memory; all functions accept NULL and do nothing. */
struct reply *reply_new(void);
void reply_free(struct reply *reply);

void reply_bool(struct reply *reply, const char *name, bool value);
/* A number up to 2^53, otherwise a decimal string. */
void reply_int(struct reply *reply, const char *name, int64_t value);
void reply_u64(struct reply *reply, const char *name, uint64_t value);
/* UTF-8; what is not becomes U+FFFD. NULL is null. */
void reply_text(struct reply *reply, const char *name, const char *text);
/* String, or {"b64"} when the bytes are not text. */
void reply_bytes(struct reply *reply, const char *name, const void *bytes, size_t length);
void reply_null(struct reply *reply, const char *name);
void reply_error(struct reply *reply, const char *name, const struct nsp_error *err);

/* Nesting: between open and close the functions above write into the inner value. Inside an array
 * name is ignored (NULL). */
void reply_open_object(struct reply *reply, const char *name);
void reply_open_array(struct reply *reply, const char *name);
void reply_close(struct reply *reply);

/* Closes what is open; nothing more may be added. The text lives until reply_free. EXHAUSTED. */
int reply_finish(struct reply *reply, const char **ret_text, size_t *ret_length,
                 struct nsp_error *err);

#endif
