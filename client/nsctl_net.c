#include "client/nsctl_net.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/nsctl_report.h"
#include "protocol/buf.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

/* Names come from the guest: control characters never reach a terminal. */
static void print_padded(const char *text, int width)
{
    int length = 0;
    for (; *text; text++, length++)
        putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
    for (; length < width; length++)
        putchar(' ');
    putchar(' ');
}

static void print_interface(const struct nsp_json *interface)
{
    print_padded(nsp_json_text(interface, "name", "?"), 15);
    print_padded(nsp_json_bool(interface, "up", false) ? nsp_json_text(interface, "state", "?")
                                                       : "down",
                 14);
    printf("%5" PRIu64 " ", nsp_json_u64(interface, "mtu", 0));
    print_padded(nsp_json_text(interface, "mac", "-"), 17);
    printf("%12" PRIu64 " %12" PRIu64, nsp_json_u64(interface, "rx_bytes", 0),
           nsp_json_u64(interface, "tx_bytes", 0));
    const struct nsp_json *address = nsp_json_first(nsp_json_get(interface, "addresses"));
    for (; address; address = nsp_json_next(address)) {
        putchar(' ');
        print_padded(nsp_json_text(address, "address", "?"), 0);
    }
    putchar('\n');
}

static void print_route(const struct nsp_json *route)
{
    print_padded(nsp_json_text(route, "to", "?"), 23);
    print_padded(nsp_json_text(route, "via", "-"), 23);
    print_padded(nsp_json_text(route, "interface", "-"), 15);
    printf("%10" PRIu64 " ", nsp_json_u64(route, "metric", 0));
    print_padded(nsp_json_text(route, "type", "?"), 11);
    print_padded(nsp_json_text(route, "protocol", "?"), 0);
    putchar('\n');
}

/* Calls, and prints each element of the answer's list below a title; with --json the answer. */
static int show_list(struct nsctl *ctl, const char *method, const char *list, const char *title,
                     void (*print)(const struct nsp_json *item))
{
    struct nsp_error error = NSP_ERROR_INIT;
    AUTO_FREE char *text = NULL;
    struct nsp_json *json = NULL;
    if (nsp_call_run(ctl->client, method, NULL, NSP_CALL_REPEAT, &text, &error) < 0)
        return nsctl_report_error(ctl, &error);
    if (ctl->settings.json)
        return nsctl_report_line(text);
    if (nsp_json_parse(text, strlen(text), &json, &error) < 0)
        return nsctl_report_error(ctl, &error);
    puts(title);
    const struct nsp_json *item = nsp_json_first(nsp_json_get(json, list));
    for (; item; item = nsp_json_next(item))
        print(item);
    nsp_json_free(json);
    return fflush(stdout) == 0 ? NSCTL_OK : NSCTL_ERROR;
}

static int show(struct nsctl *ctl)
{
    int status =
        show_list(ctl, "net.interfaces", "interfaces",
                  "INTERFACE       STATE            MTU MAC                   RX-BYTES     "
                  "TX-BYTES ADDRESSES",
                  print_interface);
    if (status != NSCTL_OK)
        return status;
    if (!ctl->settings.json)
        putchar('\n');
    return show_list(ctl, "net.routes", "routes",
                     "DESTINATION             VIA                     INTERFACE           METRIC "
                     "TYPE        PROTOCOL",
                     print_route);
}

/* ---- apply -------------------------------------------------------------------------------- */

static int read_file(FILE *file, const char *name, struct nsp_buf *target, struct nsp_error *err)
{
    char piece[4096];
    size_t length;
    while ((length = fread(piece, 1, sizeof piece, file)) > 0)
        if (nsp_buf_append(target, piece, length, err) < 0)
            return -1;
    if (ferror(file))
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "read", name);
    return 0;
}

/* "-": standard input. */
static int read_named(const char *name, struct nsp_buf *target, struct nsp_error *err)
{
    if (strcmp(name, "-") == 0)
        return read_file(stdin, "standard input", target, err);
    FILE *file = fopen(name, "re");
    if (!file)
        return nsp_fail_errno(err, errno == ENOENT ? NSP_E_NOT_FOUND : NSP_E_SYSTEM, errno, "open",
                              name);
    int status = read_file(file, name, target, err);
    fclose(file);
    return status;
}

static void print_change(const struct nsp_json *change)
{
    const struct nsp_json *failure = nsp_json_get(change, "error");
    struct nsp_error error = NSP_ERROR_INIT;
    if (failure) {
        nsp_json_error(failure, &error);
        fflush(stdout);
        nsctl_report_note("%s", error.msg);
        return;
    }
    print_padded(nsp_json_text(change, "action", "?"), 16);
    print_padded(nsp_json_text(change, "interface", "-"), 15);
    print_padded(nsp_json_text(change, "value", ""), 0);
    putchar('\n');
}

static int apply_buffer(struct nsctl *ctl, struct nsp_buf *buffer, struct nsp_error *err)
{
    AUTO_FREE char *text = NULL;
    struct nsp_json *json = NULL;
    /* What passes this check has no NUL inside. */
    size_t length = nsp_buf_length(buffer);
    if (nsp_buf_append(buffer, "", 1, err) < 0 ||
        nsp_json_parse((const char *)nsp_buf_bytes(buffer), length, &json, err) < 0)
        return nsctl_report_error(ctl, err);
    nsp_json_free(json);
    const char *params = (const char *)nsp_buf_bytes(buffer);
    if (nsp_call_run(ctl->client, "net.configure", params, NSP_CALL_REPEAT, &text, err) < 0 ||
        nsp_json_parse(text, strlen(text), &json, err) < 0)
        return nsctl_report_error(ctl, err);
    uint64_t failed = nsp_json_u64(json, "failed", 0);
    const struct nsp_json *change = nsp_json_first(nsp_json_get(json, "changes"));
    for (; change && !ctl->settings.json; change = nsp_json_next(change))
        print_change(change);
    nsp_json_free(json);
    if (ctl->settings.json && nsctl_report_line(text) != NSCTL_OK)
        return NSCTL_ERROR;
    return fflush(stdout) == 0 && failed == 0 ? NSCTL_OK : NSCTL_ERROR;
}

static int apply(struct nsctl *ctl, const char *name)
{
    struct nsp_error error = NSP_ERROR_INIT;
    struct nsp_buf params;
    nsp_buf_init(&params, NSP_LIMIT_JSON_MESSAGE);
    int status;
    if (read_named(name, &params, &error) < 0)
        status = nsctl_report_error(ctl, &error);
    else
        status = apply_buffer(ctl, &params, &error);
    nsp_buf_done(&params);
    return status;
}

int nsctl_net(struct nsctl *ctl)
{
    const struct nsctl_settings *settings = &ctl->settings;
    struct nsp_error error = NSP_ERROR_INIT;
    if (settings->word_count == 0)
        return show(ctl);
    if (settings->word_count == 2 && strcmp(settings->words[0], "apply") == 0)
        return apply(ctl, settings->words[1]);
    nsp_fail(&error, NSP_E_INVALID_PARAMS, "it is `nsctl net` or `nsctl net apply FILE`");
    return nsctl_report_error(ctl, &error);
}
