/* hello: what the client says first, and what the agent answers.
 */
#ifndef NSP_HELLO_H
#define NSP_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "client/json.h"
#include "client/nsclient.h"

/* The answer, kept. Starts as {0}. */
struct nsp_hello_answer {
    struct nsp_hello public;
    struct nsp_json *json; /* owns what public points to */
    char *text;
    uint64_t credit, idle_ms, dead_ms;
};

/* Text for free(3). token_file is read when it is not NULL, and wins over token. is_host: we are
 * the guest's host, and say what time it is. SYSTEM with the file's name, INVALID_PARAMS when it
 * holds no token. */
int nsp_hello_request(const char *name, const char *token, const char *token_file, bool is_host,
                      char **ret_text, struct nsp_error *err);

/* Takes the RESPONSE's text; an error in it is returned as that error. */
int nsp_hello_read(const char *text, size_t length, struct nsp_hello_answer *ret_answer,
                   struct nsp_error *err);
void nsp_hello_done(struct nsp_hello_answer *answer);

#endif
