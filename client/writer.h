/* Writing JSON: objects and arrays with exact integers and bytes. A failure for want of memory or
 * room sticks, so that only nsp_writer_take has to be checked.
 */
#ifndef NSP_WRITER_H
#define NSP_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/error.h"

struct nsp_writer {
    struct nsp_buf text;
    bool comma; /* the next value needs one before it */
    struct nsp_error error;
};

/* ceiling: the most bytes of text. */
void nsp_writer_init(struct nsp_writer *writer, size_t ceiling);
void nsp_writer_done(struct nsp_writer *writer);

/* name: of a member of the innermost object; NULL for an array's item and the top level. */
void nsp_writer_open(struct nsp_writer *writer, const char *name, char bracket); /* { or [ */
void nsp_writer_close(struct nsp_writer *writer, char bracket);                  /* } or ] */
void nsp_writer_text(struct nsp_writer *writer, const char *name, const char *utf8);
/* A string when it is UTF-8 without NUL, otherwise {"b64"}. */
void nsp_writer_bytes(struct nsp_writer *writer, const char *name, const void *bytes,
                      size_t length);
void nsp_writer_u64(struct nsp_writer *writer, const char *name, uint64_t value);
void nsp_writer_int(struct nsp_writer *writer, const char *name, int64_t value);
void nsp_writer_bool(struct nsp_writer *writer, const char *name, bool value);
void nsp_writer_null(struct nsp_writer *writer, const char *name);
/* JSON text that is already there. */
void nsp_writer_raw(struct nsp_writer *writer, const char *name, const char *json, size_t length);
/* An error object of PROTOCOL.md section 4. */
void nsp_writer_error(struct nsp_writer *writer, const char *name, const struct nsp_error *error);

/* A line end, after the value at the top. */
void nsp_writer_newline(struct nsp_writer *writer);

/* The text, NUL-terminated, for free(3); the writer is then empty. EXHAUSTED. */
int nsp_writer_take(struct nsp_writer *writer, char **ret_text, struct nsp_error *err);

#endif
