#include "agent/boot/config_command.h"

#include <stdbool.h>
#include <stdio.h>

#include "agent/boot/config.h"

enum { STATUS_WRONG = 1, STATUS_UNUSABLE = 2 };

int config_command_run(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : CONFIG_PATH;
    struct config_document *document;
    struct nsp_error err = NSP_ERROR_INIT;
    if (argc > 2 || path[0] == '-') {
        fputs("Usage: nullspace-agent check-config [FILE]\n", stderr);
        return STATUS_UNUSABLE;
    }
    if (config_read(path, &document, &err) == 0) {
        config_free(document);
        printf("%s: ok\n", path);
        return fflush(stdout) == 0 ? 0 : STATUS_UNUSABLE;
    }
    fprintf(stderr, "%s: %s\n", path, err.msg);
    bool is_unreadable =
        err.code == NSP_E_NOT_FOUND || err.code == NSP_E_PERMISSION || err.code == NSP_E_SYSTEM;
    return is_unreadable ? STATUS_UNUSABLE : STATUS_WRONG;
}
