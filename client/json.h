/* Reading JSON that the agent sent. Checked strictly (protocol/json_check.h) before it is parsed.
 * Every getter accepts NULL and values of another type, and then says that there is nothing.
 */
#ifndef NSP_CLIENT_JSON_H
#define NSP_CLIENT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/error.h"

struct nsp_json; /* a value; children belong to the value that was parsed */

/* PARSE, EXHAUSTED. The text's top level is an object. */
int nsp_json_parse(const char *text, size_t length, struct nsp_json **ret_json,
                   struct nsp_error *err);
void nsp_json_free(struct nsp_json *json);

const struct nsp_json *nsp_json_get(const struct nsp_json *object, const char *name);
const struct nsp_json *nsp_json_first(const struct nsp_json *container);
const struct nsp_json *nsp_json_next(const struct nsp_json *item);
/* A member's name; NULL for an array's item. */
const char *nsp_json_name(const struct nsp_json *item);
bool nsp_json_is_object(const struct nsp_json *json);
bool nsp_json_is_container(const struct nsp_json *json);

/* The string itself; NULL when it is none. */
const char *nsp_json_string(const struct nsp_json *json);

/* Of a member. text: fallback when there is none. u64 and int take numbers and decimal strings. */
const char *nsp_json_text(const struct nsp_json *object, const char *name, const char *fallback);
bool nsp_json_bool(const struct nsp_json *object, const char *name, bool fallback);
uint64_t nsp_json_u64(const struct nsp_json *object, const char *name, uint64_t fallback);
int64_t nsp_json_int(const struct nsp_json *object, const char *name, int64_t fallback);

/* Appends a value that is bytes by nature (string or {"b64"}). INVALID_PARAMS, EXHAUSTED. */
int nsp_json_bytes(const struct nsp_json *json, struct nsp_buf *target, struct nsp_error *err);

/* Text for free(3); NULL without memory. */
char *nsp_json_print(const struct nsp_json *json, bool pretty);

/* An error object (PROTOCOL.md section 4) as a value. */
void nsp_json_error(const struct nsp_json *json, struct nsp_error *ret_error);

#endif
