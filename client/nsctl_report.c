#include "client/nsctl_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/error_json.h"

void nsctl_report_note(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "nsctl: %s\n", line);
}

int nsctl_report_error(const struct nsctl *ctl, const struct nsp_error *error)
{
    if (ctl->settings.json) {
        char text[NSP_ERROR_JSON_SIZE];
        nsp_error_json(error, text, sizeof text);
        printf("{\"error\":%s}\n", text);
        fflush(stdout);
    } else {
        nsctl_report_note("%s", error->msg[0] ? error->msg : nsp_error_text(error->code));
    }
    return NSCTL_ERROR;
}

int nsctl_report_line(const char *text)
{
    if (puts(text) >= 0 && fflush(stdout) == 0)
        return NSCTL_OK;
    nsctl_report_note("standard output: %s", strerrordesc_np(errno));
    return NSCTL_ERROR;
}
