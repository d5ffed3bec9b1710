/* One parameter at a time: the decoders of single values, and what all decoders are made of. Used
 * by params.c and param_list.c only.
 *
 * A decoder writes its target, in the decoded struct, on success; otherwise it is INVALID_PARAMS on
 * the path.
 */
#ifndef AGENT_PARAM_VALUE_H
#define AGENT_PARAM_VALUE_H

#include "agent/rpc/json.h"
#include "agent/rpc/params.h"

struct param_decoder {
    const struct json_document *document;
    const struct param_field *field;
    char *room, *room_end; /* memory that is not taken yet */
    struct nsp_error *err;
    size_t path_length;
    char path[160]; /* of the value that is decoded: "links[0].mtu"; cut when it is too long */
};

typedef int (*param_decode)(struct param_decoder *decoder, const struct json *value, void *target);

int param_value_bool(struct param_decoder *decoder, const struct json *value, void *target);
int param_value_int(struct param_decoder *decoder, const struct json *value, void *target);
int param_value_enum(struct param_decoder *decoder, const struct json *value, void *target);
int param_value_signal(struct param_decoder *decoder, const struct json *value, void *target);
int param_value_label(struct param_decoder *decoder, const struct json *value, void *target);
int param_value_string(struct param_decoder *decoder, const struct json *value, void *target);
int param_value_bytes(struct param_decoder *decoder, const struct json *value, void *target);
int param_value_path(struct param_decoder *decoder, const struct json *value, void *target);

/* Extends the path by a member or element; returns what param_value_leave takes it back with. */
size_t param_value_enter_member(struct param_decoder *decoder, const char *name);
size_t param_value_enter_element(struct param_decoder *decoder, size_t index);
void param_value_leave(struct param_decoder *decoder, size_t outer_length);

/* NULL, and INTERNAL, when the room was measured too small. alignment: a power of two. */
void *param_value_room(struct param_decoder *decoder, size_t size, size_t alignment);

/* Characters of a JSON string, or bytes from {"b64"}, with a NUL behind them. */
int param_value_take_bytes(struct param_decoder *decoder, const struct json *value,
                           bool nul_accepted, struct param_bytes *ret_bytes);

/* what: the unit, "bytes". */
int param_value_check_range(struct param_decoder *decoder, int64_t number, const char *what);

/* Each returns -1. */
int param_value_refuse_type(struct param_decoder *decoder, const struct json *value,
                            const char *expected);
int param_value_refuse(struct param_decoder *decoder, const char *reason);

#endif
