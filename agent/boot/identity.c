#include "agent/boot/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/machine/systemfile.h"
#include "agent/os/random.h"
#include "protocol/cleanup.h"

#define BLOCK_BEGIN "# nullspace-agent: begin\n"
#define BLOCK_END "# nullspace-agent: end\n"

enum { PATH_BYTES = 512, FILE_BYTES = 64 * 1024, HOSTNAME_MAX = 64, MACHINE_ID_BYTES = 16 };

/* A file's text; cannot grow beyond its array. */
struct text {
    size_t length;
    bool is_cut;
    char bytes[FILE_BYTES];
};

static void add(struct text *text, const char *bytes, size_t length)
{
    size_t room = sizeof text->bytes - text->length;
    text->is_cut = text->is_cut || length > room;
    size_t taken = length < room ? length : room;
    memcpy(text->bytes + text->length, bytes, taken);
    text->length += taken;
}

static void add_line(struct text *text, const char *a, const char *b, const char *c)
{
    const char *const words[] = {a, b, c};
    bool is_first = true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!words[i] || !words[i][0])
            continue;
        if (!is_first)
            add(text, " ", 1);
        add(text, words[i], strlen(words[i]));
        is_first = false;
    }
    add(text, "\n", 1);
}

/* A missing file is an empty one. */
static int load(const char *path, struct text *text, struct nsp_error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    ssize_t got = fd < 0 ? -1 : 0;
    while (fd >= 0 && text->length < sizeof text->bytes &&
           (got = read(fd, text->bytes + text->length, sizeof text->bytes - text->length)) > 0)
        text->length += (size_t)got;
    if (got < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, fd < 0 ? "open" : "read", path);
    text->is_cut = text->length == sizeof text->bytes;
    return 0;
}

static int store(const struct identity_request *request, const char *name, const struct text *text,
                 struct nsp_error *err)
{
    char path[PATH_BYTES], fallback[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", request->etc, name);
    snprintf(fallback, sizeof fallback, "%s/%s", request->fallback, name);
    if (text->is_cut)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, path, "the file is longer than %d bytes",
                           FILE_BYTES - 1);
    return systemfile_write(path, fallback, text->bytes, text->length, err);
}

/* Without the earlier block, if there is one and it has an end. */
static void cut_block(struct text *text)
{
    char *begin = memmem(text->bytes, text->length, BLOCK_BEGIN, strlen(BLOCK_BEGIN));
    if (!begin)
        return;
    size_t after = text->length - (size_t)(begin - text->bytes);
    char *end = memmem(begin, after, BLOCK_END, strlen(BLOCK_END));
    if (!end)
        return;
    end += strlen(BLOCK_END);
    size_t rest = text->length - (size_t)(end - text->bytes);
    memmove(begin, end, rest);
    text->length = (size_t)(begin - text->bytes) + rest;
}

/* Whether a line that is no comment has the word, from its second one on. */
static bool names(const struct text *text, const char *word)
{
    const char *at = text->bytes, *end = at + text->length;
    size_t length = strlen(word);
    unsigned column = 0;
    bool is_comment = false;
    while (at < end) {
        size_t span = 0;
        while (at + span < end && !strchr(" \t\n#", at[span]))
            span++;
        if (span > 0 && !is_comment && column++ > 0 && span == length &&
            memcmp(at, word, length) == 0)
            return true;
        at += span;
        if (at == end)
            break;
        is_comment = *at == '\n' ? false : is_comment || *at == '#';
        column = *at == '\n' ? 0 : column;
        at++;
    }
    return false;
}

static void add_block(struct text *text, const struct identity_request *request, bool has_localhost)
{
    char full[HOSTNAME_MAX * 2 + 2] = "";
    if (text->length > 0 && text->bytes[text->length - 1] != '\n')
        add(text, "\n", 1);
    add(text, BLOCK_BEGIN, strlen(BLOCK_BEGIN));
    if (!has_localhost) {
        add_line(text, "127.0.0.1", "localhost", NULL);
        add_line(text, "::1", "localhost", "ip6-localhost ip6-loopback");
    }
    if (request->hostname) {
        if (request->domain)
            snprintf(full, sizeof full, "%s.%s", request->hostname, request->domain);
        add_line(text, "127.0.1.1", full, request->hostname);
    }
    for (char *const *line = request->hosts; line && *line; line++)
        add_line(text, *line, NULL, NULL);
    add(text, BLOCK_END, strlen(BLOCK_END));
}

static int write_hosts(const struct identity_request *request, struct text *text,
                       struct nsp_error *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/hosts", request->etc);
    if (load(path, text, err) < 0)
        return -1;
    cut_block(text);
    bool has_localhost = names(text, "localhost");
    if (!has_localhost || request->hostname || (request->hosts && request->hosts[0]))
        add_block(text, request, has_localhost);
    return store(request, "hosts", text, err);
}

/* The image's own: the first line of hostname(5) that is no comment. */
static int take_hostname(const struct identity_request *request, struct text *text,
                         struct nsp_error *err)
{
    char path[PATH_BYTES], name[HOSTNAME_MAX + 1];
    snprintf(path, sizeof path, "%s/hostname", request->etc);
    if (load(path, text, err) < 0)
        return -1;
    const char *at = text->bytes, *end = at + text->length;
    while (at < end && strchr(" \t\n#", *at)) {
        const char *next = *at == '#' ? memchr(at, '\n', (size_t)(end - at)) : at + 1;
        at = next ? next : end;
    }
    size_t length = 0;
    while (at + length < end && length < HOSTNAME_MAX && !strchr(" \t\n#", at[length]))
        length++;
    if (length == 0)
        return 0;
    memcpy(name, at, length);
    name[length] = '\0';
    if (sethostname(name, length) < 0)
        return nsp_fail_errno(err, errno == EPERM ? NSP_E_PERMISSION : NSP_E_SYSTEM, errno,
                              "sethostname", name);
    return 0;
}

static int set_hostname(const struct identity_request *request, struct text *text,
                        struct nsp_error *err)
{
    const char *name = request->hostname;
    if (!name)
        return take_hostname(request, text, err);
    size_t length = strlen(name);
    if (length == 0 || length > HOSTNAME_MAX ||
        (request->domain && strlen(request->domain) > HOSTNAME_MAX))
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "hostname",
                           "host name and domain have 1 to %d bytes each", HOSTNAME_MAX);
    if (sethostname(name, length) < 0)
        return nsp_fail_errno(err, errno == EPERM ? NSP_E_PERMISSION : NSP_E_SYSTEM, errno,
                              "sethostname", name);
    if (request->domain && setdomainname(request->domain, strlen(request->domain)) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "setdomainname", request->domain);
    add_line(text, name, NULL, NULL);
    return store(request, "hostname", text, err);
}

static int make_machine_id(const struct identity_request *request, struct text *text,
                           struct nsp_error *err)
{
    static const char unset[] = "uninitialized\n";
    char path[PATH_BYTES], id[MACHINE_ID_BYTES * 2 + 1];
    snprintf(path, sizeof path, "%s/machine-id", request->etc);
    if (load(path, text, err) < 0)
        return -1;
    bool is_set = text->length > 1 && (text->length < strlen(unset) - 1 ||
                                       memcmp(text->bytes, unset, strlen(unset) - 1) != 0);
    if (is_set)
        return 0;
    if (random_hex(id, MACHINE_ID_BYTES, err) < 0)
        return -1;
    text->length = 0;
    add_line(text, id, NULL, NULL);
    return store(request, "machine-id", text, err);
}

int identity_apply(const struct identity_request *request, struct nsp_error *err)
{
    static int (*const parts[])(const struct identity_request *request, struct text *text,
                                struct nsp_error *err) = {set_hostname, write_hosts,
                                                          make_machine_id};
    int result = 0;
    AUTO_FREE struct text *text = malloc(sizeof *text);
    if (!text)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for a file of the system");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct nsp_error problem = NSP_ERROR_INIT;
        text->length = 0;
        text->is_cut = false;
        if (parts[i](request, text, &problem) < 0 && result == 0) {
            result = -1;
            if (err)
                *err = problem;
        }
    }
    return result;
}
