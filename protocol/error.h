/* The error value: what went wrong, with which errno, in which operation, on which object.
 *
 * An error is plain data of fixed size: it needs no memory and can be returned when memory is gone.
 * Strings are cut at their capacity, never overrun. The caller owns it; initialise with
 * NSP_ERROR_INIT. Codes come from errors.def and are what a peer sees.
 */
#ifndef NSP_ERROR_H
#define NSP_ERROR_H

#include <stdbool.h>
#include <stddef.h>

enum nsp_error_code {
    NSP_E_NONE = 0,
#define X(name, code, retryable, text) NSP_E_##name,
#include "protocol/errors.def"
#undef X
    NSP_E_COUNT
};

struct nsp_error {
    enum nsp_error_code code;
    int sys_errno;    /* 0 when no system call was involved */
    char op[24];      /* operation or stage: "execve", "chdir"; empty when there is none */
    char object[160]; /* path, id, field or method it happened on; empty when there is none */
    char msg[200];    /* one English sentence for people */
};

#define NSP_ERROR_INIT ((struct nsp_error){.code = NSP_E_NONE})

/* Each returns -1, so that a caller can write `return nsp_fail(err, ...)`. err may be NULL. */
int nsp_fail(struct nsp_error *err, enum nsp_error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As nsp_fail, naming the object (a field, id, path) as well. object may be NULL. */
int nsp_fail_on(struct nsp_error *err, enum nsp_error_code code, const char *object,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A failed system call: op is the call or stage, object what it was applied to (may be NULL). The
 * message is made from them and strerror. */
int nsp_fail_errno(struct nsp_error *err, enum nsp_error_code code, int sys_errno, const char *op,
                   const char *object);

/* Stable name ("NOT_FOUND"), JSON-RPC code, retryable flag and default text of a code. An unknown
 * code gives INTERNAL's. */
const char *nsp_error_name(enum nsp_error_code code);
int nsp_error_rpc_code(enum nsp_error_code code);
bool nsp_error_retryable(enum nsp_error_code code);
const char *nsp_error_text(enum nsp_error_code code);

/* The code with that stable name; NSP_E_NONE when there is none. */
enum nsp_error_code nsp_error_by_name(const char *name);

/* "ENOENT" for 2 and so on; "" for 0, "E?" for numbers without a name. */
const char *nsp_errno_name(int sys_errno);

#endif
