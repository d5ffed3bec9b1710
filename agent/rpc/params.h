/* Parameters of a method: a table of fields decodes a JSON object into a struct.
 *
 * Unknown fields are refused by name. An object inside has a table of its own: the tables say how
 * deep objects go, NSP_LIMIT_JSON_NODES and the fields' bounds how many there can be. Strings and
 * lists live in the decoded block until the call's handler returns; a handler that needs them
 * longer copies them.
 */
#ifndef AGENT_PARAMS_H
#define AGENT_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

enum param_type {
    PARAM_BOOL,      /* bool */
    PARAM_INT,       /* int64_t; a number, or a decimal string */
    PARAM_STRING,    /* const char *: text */
    PARAM_BYTES,     /* struct param_bytes: text or {"b64"} (PROTOCOL.md section 4) */
    PARAM_PATH,      /* const char *: as BYTES, without NUL inside */
    PARAM_ENUM,      /* int: index into choices */
    PARAM_ARGUMENTS, /* struct param_strings: array of BYTES without NUL */
    PARAM_VARIABLES, /* struct param_strings: object name: BYTES, as "name=value" */
    PARAM_LIMITS,    /* struct param_limits: object name: {soft, hard} */
    PARAM_SIGNAL,    /* int: signal number, or name with or without SIG */
    PARAM_LABEL,     /* const char *: JSON text of a request id (a string or number) */
    PARAM_OBJECT,    /* const void *: an object decoded by `table`; NULL when absent */
    PARAM_OBJECTS,   /* struct param_objects: array of objects, each decoded by `table` */
    PARAM_TYPE_COUNT
};

struct param_bytes {
    const char *data; /* NUL-terminated beyond length; NULL when absent */
    size_t length;
};

struct param_strings {
    char **items; /* NULL-terminated */
    size_t count;
};

struct param_limit {
    const char *name;    /* "nofile" */
    uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

struct param_limits {
    struct param_limit *items;
    size_t count;
};

/* items: the table's structs, one behind the other; NULL when absent. */
struct param_objects {
    const void *items;
    size_t count;
};

enum { PARAM_REQUIRED = 1 };

struct param_table;

struct param_field {
    const char *name;
    enum param_type type;
    size_t offset; /* in the decoded struct */
    unsigned flags;
    int64_t min, max;           /* INT: bounds; STRING, BYTES, PATH: length; lists: count. max 0:
                                   the type's own ceiling */
    int64_t fallback;           /* INT, BOOL, ENUM, SIGNAL when absent */
    const char *const *choices; /* ENUM, NULL-terminated */
    const struct param_table *table; /* OBJECT, OBJECTS; tables do not contain themselves */
    const char *doc;                 /* one sentence, for the reference */
};

enum { PARAM_FIELDS_MAX = 64 }; /* fields of one table */

/* What an object is decoded into. */
struct param_table {
    const struct param_field *fields;
    size_t count; /* at most PARAM_FIELDS_MAX */
    size_t size;  /* of the decoded struct */
};

#define PARAM_TABLE(struct_, fields_)                                                              \
    {                                                                                              \
        .fields = fields_, .count = sizeof(fields_) / sizeof *(fields_), .size = sizeof(struct_)   \
    }

/* The rest is for dispatch.c and describe.c. */

struct json;
struct json_document;
struct params; /* one block of memory: the decoded struct and all that it points to */

/* object: a value of the document; NULL stands for {}. INVALID_PARAMS with the path of the field or
 * element as object ("network.links[0].mtu"), or EXHAUSTED without memory. */
int params_decode(const struct param_field *fields, size_t field_count, size_t params_size,
                  const struct json_document *document, const struct json *object,
                  struct params **ret_params, struct nsp_error *err);
void params_free(struct params *params);

/* The decoded struct, of params_size bytes. */
const void *params_struct(const struct params *params);

/* The bounds that hold for a field, with the type's own ceiling filled in. */
void params_bounds(const struct param_field *field, int64_t *ret_min, int64_t *ret_max);

/* The JSON text under which a request id is known: strings escaped in one way, numbers as they
 * stand. False when value is neither or the text does not fit capacity. */
bool params_label(const struct json_document *document, const struct json *value, char *target,
                  size_t capacity, size_t *ret_length);

#endif
