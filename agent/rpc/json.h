/* JSON texts of requests, checked and parsed. The only user of cJSON in the agent.
 *
 * A document is read-only; its values live as long as it does. Strings hold no NUL, keys of an
 * object are unique, depth and number of values are bounded: nsp_json_check saw to that before.
 */
#ifndef AGENT_JSON_H
#define AGENT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

struct json_document;
struct json; /* a value */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* text must outlive the document and needs no NUL. PARSE, or EXHAUSTED. */
int json_parse(const char *text, size_t length, struct json_document **ret_document,
               struct nsp_error *err);
void json_free(struct json_document *document);

/* The object at the top. */
const struct json *json_root(const struct json_document *document);

enum json_type json_type(const struct json *value);
const char *json_type_name(enum json_type type); /* "a number" */

bool json_bool(const struct json *value);
const char *json_string(const struct json *value);

/* A number without fraction within 2^53, or a string of one to nineteen decimal digits with an
 * optional minus. False when it is neither. */
bool json_int(const struct json *value, int64_t *ret_number);

/* Values of an array or object in their order; NULL at the end, and for other types. */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *value);
const char *json_name(const struct json *member); /* of an object's member */
size_t json_count(const struct json *container);
/* By name, case-sensitively; NULL when there is none. */
const struct json *json_member(const struct json *object, const char *name);

/* The value as it stands in the text. value must belong to the document. */
void json_raw(const struct json_document *document, const struct json *value, const char **ret_text,
              size_t *ret_length);

#endif
