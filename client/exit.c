#include "client/exit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    STATUS_TIMED_OUT = 124,
    STATUS_ERROR = 125,
    STATUS_NOT_EXECUTABLE = 126,
    STATUS_NOT_FOUND = 127,
    STATUS_SIGNAL = 128,
};

void nsp_exit_read(const struct nsp_json *json, struct nsp_exit *ret_exit)
{
    struct nsp_exit ended = {.exited = nsp_json_is_object(json)};
    if (ended.exited) {
        ended.signal = (int)nsp_json_int(json, "signal", 0);
        ended.code = (int)nsp_json_int(json, "code", -1);
        ended.core = nsp_json_bool(json, "core", false);
        ended.timed_out = nsp_json_bool(json, "timed_out", false);
        ended.wall_ms = nsp_json_u64(json, "wall_ms", 0);
        ended.user_ms = nsp_json_u64(json, "user_ms", 0);
        ended.system_ms = nsp_json_u64(json, "system_ms", 0);
        ended.max_rss_kib = nsp_json_u64(json, "max_rss_kib", 0);
        ended.exited_at_ms = nsp_json_int(json, "exited_at_ms", 0);
        snprintf(ended.name, sizeof ended.name, "%s", nsp_json_text(json, "signal_name", ""));
    }
    *ret_exit = ended;
}

int nsp_exit_status(const struct nsp_exit *exit)
{
    if (!exit->exited)
        return STATUS_ERROR;
    if (exit->timed_out)
        return STATUS_TIMED_OUT;
    if (exit->signal > 0)
        return STATUS_SIGNAL + exit->signal;
    return exit->code >= 0 ? exit->code & 0xff : STATUS_ERROR;
}

int nsp_exit_status_of_error(const struct nsp_error *err)
{
    if (err->code != NSP_E_SPAWN)
        return STATUS_ERROR;
    /* Only what the program itself is to blame for: a missing cwd is chdir's ENOENT. */
    bool program = strcmp(err->op, "execve") == 0 || strcmp(err->op, "interpreter") == 0;
    if (!program)
        return STATUS_ERROR;
    switch (err->sys_errno) {
    case ENOENT:
    case ENOTDIR:
        /* The program is there; what its first line names is not. */
        return strcmp(err->op, "interpreter") == 0 ? STATUS_NOT_EXECUTABLE : STATUS_NOT_FOUND;
    case EACCES:
    case ENOEXEC:
    case EISDIR:
    case EPERM:
    case ETXTBSY:
    case ELIBBAD:
    case ELOOP:
        return STATUS_NOT_EXECUTABLE;
    default:
        return STATUS_ERROR;
    }
}
