#include "protocol/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct error_row {
    const char *name;
    int rpc_code;
    bool retryable;
    const char *text;
};

static const struct error_row rows[NSP_E_COUNT] = {
    [NSP_E_NONE] = {"NONE", 0, false, "no error"},
#define X(name_, code_, retryable_, text_)                                                         \
    [NSP_E_##name_] = {.name = #name_, .rpc_code = code_, .retryable = retryable_, .text = text_},
#include "protocol/errors.def"
#undef X
};

static const struct error_row *row_of(enum nsp_error_code code)
{
    if ((unsigned)code >= NSP_E_COUNT)
        code = NSP_E_INTERNAL;
    return &rows[code];
}

static void copy_cut(char *target, size_t capacity, const char *source)
{
    size_t length = source ? strnlen(source, capacity - 1) : 0;
    if (length > 0)
        memcpy(target, source, length);
    target[length] = '\0';
}

int nsp_fail(struct nsp_error *err, enum nsp_error_code code, const char *format, ...)
{
    if (!err)
        return -1;
    *err = (struct nsp_error){.code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(err->msg, sizeof err->msg, format, args);
    va_end(args);
    return -1;
}

int nsp_fail_on(struct nsp_error *err, enum nsp_error_code code, const char *object,
                const char *format, ...)
{
    if (!err)
        return -1;
    *err = (struct nsp_error){.code = code};
    copy_cut(err->object, sizeof err->object, object);
    va_list args;
    va_start(args, format);
    vsnprintf(err->msg, sizeof err->msg, format, args);
    va_end(args);
    return -1;
}

int nsp_fail_errno(struct nsp_error *err, enum nsp_error_code code, int sys_errno, const char *op,
                   const char *object)
{
    if (!err)
        return -1;
    *err = (struct nsp_error){.code = code, .sys_errno = sys_errno};
    copy_cut(err->op, sizeof err->op, op);
    copy_cut(err->object, sizeof err->object, object);
    const char *reason = strerrordesc_np(sys_errno);
    if (!reason)
        reason = "unknown error";
    if (err->object[0])
        snprintf(err->msg, sizeof err->msg, "%s: %.120s: %s", err->op, err->object, reason);
    else
        snprintf(err->msg, sizeof err->msg, "%s: %s", err->op, reason);
    return -1;
}

const char *nsp_error_name(enum nsp_error_code code)
{
    return row_of(code)->name;
}

int nsp_error_rpc_code(enum nsp_error_code code)
{
    return row_of(code)->rpc_code;
}

bool nsp_error_retryable(enum nsp_error_code code)
{
    return row_of(code)->retryable;
}

const char *nsp_error_text(enum nsp_error_code code)
{
    return row_of(code)->text;
}

enum nsp_error_code nsp_error_by_name(const char *name)
{
    for (int code = NSP_E_NONE + 1; code < NSP_E_COUNT; code++)
        if (strcmp(rows[code].name, name) == 0)
            return (enum nsp_error_code)code;
    return NSP_E_NONE;
}

const char *nsp_errno_name(int sys_errno)
{
    if (sys_errno == 0)
        return "";
    const char *name = strerrorname_np(sys_errno);
    return name ? name : "E?";
}
