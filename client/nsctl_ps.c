#include "client/nsctl_ps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/exit.h"
#include "client/json.h"
#include "client/nsctl_report.h"
#include "protocol/cleanup.h"

enum { COMMAND_MAX = 4096 };

/* The guest's clock may differ from ours: an age below zero is shown as 0. */
static void print_age(char *ret_text, size_t size, int64_t started_at_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t seconds = now.tv_sec - started_at_ms / 1000;
    if (seconds < 0)
        seconds = 0;
    if (seconds < 60)
        snprintf(ret_text, size, "%" PRId64 "s", seconds);
    else if (seconds < 3600)
        snprintf(ret_text, size, "%" PRId64 "m%02" PRId64 "s", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(ret_text, size, "%" PRId64 "h%02" PRId64 "m", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(ret_text, size, "%" PRId64 "d%02" PRId64 "h", seconds / 86400,
                 seconds / 3600 % 24);
}

static void print_exit(char *ret_text, size_t size, const struct nsp_json *json)
{
    struct nsp_exit ended;
    nsp_exit_read(json, &ended);
    if (!ended.exited)
        snprintf(ret_text, size, "-");
    else if (ended.timed_out)
        snprintf(ret_text, size, "timeout");
    else if (ended.signal > 0)
        snprintf(ret_text, size, "%s", ended.name);
    else
        snprintf(ret_text, size, "%d", ended.code);
}

/* Words are put in quotes when they would not be read as one; control characters never reach a
 * terminal. */
static void print_word(const uint8_t *bytes, size_t length)
{
    bool plain = length > 0;
    for (size_t i = 0; i < length; i++)
        plain = plain && bytes[i] > ' ' && bytes[i] != '\'' && bytes[i] != 0x7f;
    if (!plain)
        putchar('\'');
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] < ' ' || bytes[i] == 0x7f)
            printf("\\x%02x", bytes[i]);
        else if (bytes[i] == '\'')
            printf("'\\''");
        else
            putchar(bytes[i]);
    }
    if (!plain)
        putchar('\'');
}

static void print_command(const struct nsp_json *argv)
{
    const struct nsp_json *item = nsp_json_first(argv);
    for (; item; item = nsp_json_next(item)) {
        struct nsp_buf word;
        nsp_buf_init(&word, COMMAND_MAX);
        putchar(' ');
        if (nsp_json_bytes(item, &word, NULL) < 0)
            printf("...");
        else
            print_word(nsp_buf_bytes(&word), nsp_buf_length(&word));
        nsp_buf_done(&word);
    }
    putchar('\n');
}

static void print_process(const struct nsp_json *record)
{
    char age[32], ended[32];
    print_age(age, sizeof age, nsp_json_int(record, "started_at_ms", 0));
    print_exit(ended, sizeof ended, nsp_json_get(record, "exit"));
    printf("%-20s %7" PRId64 " %-8s %8s %-8s", nsp_json_text(record, "id", "?"),
           nsp_json_int(record, "pid", 0), nsp_json_text(record, "state", "?"), age, ended);
    print_command(nsp_json_get(record, "argv"));
}

/* The records of one answer, and where the next one begins: 0 when this was the last. */
static int print_page(const struct nsctl *ctl, const char *text, uint64_t *ret_next,
                      struct nsp_error *err)
{
    struct nsp_json *json = NULL;
    if (nsp_json_parse(text, strlen(text), &json, err) < 0)
        return -1;
    const struct nsp_json *record = nsp_json_first(nsp_json_get(json, "processes"));
    for (; record && !ctl->settings.json; record = nsp_json_next(record))
        if (ctl->settings.all || strcmp(nsp_json_text(record, "state", ""), "exited") != 0)
            print_process(record);
    *ret_next = nsp_json_u64(json, "next", 0);
    nsp_json_free(json);
    return 0;
}

int nsctl_ps(struct nsctl *ctl)
{
    struct nsp_error error = NSP_ERROR_INIT;
    uint64_t next = 0;
    if (!ctl->settings.json)
        printf("%-20s %7s %-8s %8s %-8s COMMAND\n", "ID", "PID", "STATE", "AGE", "EXIT");
    do {
        AUTO_FREE char *text = NULL;
        char params[64];
        snprintf(params, sizeof params, "{\"after\":%" PRIu64 "}", next);
        if (nsp_call_run(ctl->client, "process.list", params, NSP_CALL_REPEAT, &text, &error) < 0 ||
            print_page(ctl, text, &next, &error) < 0)
            return nsctl_report_error(ctl, &error);
        if (ctl->settings.json && nsctl_report_line(text) != NSCTL_OK)
            return NSCTL_ERROR;
    } while (next != 0);
    return fflush(stdout) == 0 ? NSCTL_OK : NSCTL_ERROR;
}
