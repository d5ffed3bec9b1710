/* The secret that a client shows at hello where the transport itself does not identify it. It never
 * appears in a log or an error. */
#ifndef AGENT_TOKEN_H
#define AGENT_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/error.h"

enum { TOKEN_MIN = 16, TOKEN_MAX = 256 };

struct token {
    char text[TOKEN_MAX]; /* filled up with NUL */
    size_t length;
};

/* The file holds TOKEN_MIN to TOKEN_MAX printable ASCII characters without spaces, and perhaps one
 * newline at its end. PERMISSION when group or others may read or write it; INVALID_PARAMS for the
 * content; NOT_FOUND. */
int token_read(const char *path, struct token *ret_token, struct nsp_error *err);

/* Makes a new token of 64 hexadecimal digits and puts it at path with mode 0600, replacing what was
 * there: a reader sees the old file or the whole new one. */
int token_create(const char *path, struct token *ret_token, struct nsp_error *err);

/* Takes the same time for every given text of one length. given may be NULL. */
bool token_equal(const struct token *token, const char *given);

#endif
