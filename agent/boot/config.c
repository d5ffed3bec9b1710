/* Three passes over a file: is it JSON (the place of the first fault is known), does it fit the
 * table, is what it says possible. The last two name a member by its path; the text is walked once
 * more along it to find the line.
 */
#include "agent/boot/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/boot/config_check.h"
#include "agent/boot/config_table.h"
#include "agent/rpc/json.h"
#include "agent/rpc/json_path.h"
#include "protocol/cleanup.h"
#include "protocol/json_check.h"
#include "protocol/limits.h"

#define NETWORK_PREFIX "network."

struct config_document {
    struct params *params;
};

static int check_json(const char *text, size_t length, struct nsp_error *err)
{
    struct nsp_error reason = NSP_ERROR_INIT;
    size_t offset, line, column;
    if (nsp_json_check_place(text, length, &offset, &reason) == 0)
        return 0;
    if (reason.code != NSP_E_PARSE)
        return nsp_fail_on(err, reason.code, reason.object, "%s", reason.msg);
    json_path_position(text, offset, &line, &column);
    return nsp_fail(err, NSP_E_PARSE, "line %zu, column %zu: %s", line, column, reason.msg);
}

/* prefix: of the path that the cause has. */
static int fail_at_line(const struct json_document *document, const char *text, const char *prefix,
                        const struct nsp_error *cause, struct nsp_error *err)
{
    struct nsp_error object = NSP_ERROR_INIT;
    if (cause->code != NSP_E_INVALID_PARAMS)
        return nsp_fail_on(err, cause->code, cause->object, "%s", cause->msg);
    nsp_fail(&object, NSP_E_INVALID_PARAMS, "%s%s", prefix, cause->object);
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, object.msg, "line %zu: %s%s",
                       json_path_line(document, text, object.msg), prefix, cause->msg);
}

static int decode(const char *text, const struct json_document *document,
                  struct params **ret_params, struct nsp_error *err)
{
    struct nsp_error cause = NSP_ERROR_INIT;
    struct params *params;
    if (params_decode(config_table.fields, config_table.count, config_table.size, document,
                      json_root(document), &params, &cause) < 0)
        return fail_at_line(document, text, "", &cause, err);
    const struct config *config = params_struct(params);
    const char *prefix = "";
    int result = config_check(config, &cause);
    if (result == 0 && config->network) {
        prefix = NETWORK_PREFIX;
        result = network_check(config->network, &cause);
    }
    if (result == 0) {
        *ret_params = params;
        return 0;
    }
    params_free(params);
    return fail_at_line(document, text, prefix, &cause, err);
}

static int wrap(struct params *params, struct config_document **ret_document, struct nsp_error *err)
{
    struct config_document *document = malloc(sizeof *document);
    if (!document) {
        params_free(params);
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the configuration");
    }
    *document = (struct config_document){.params = params};
    *ret_document = document;
    return 0;
}

int config_parse(const char *text, size_t length, struct config_document **ret_document,
                 struct nsp_error *err)
{
    struct json_document *json;
    struct params *params;
    if (check_json(text, length, err) < 0 || json_parse(text, length, &json, err) < 0)
        return -1;
    int result = decode(text, json, &params, err);
    json_free(json);
    return result < 0 ? -1 : wrap(params, ret_document, err);
}

int config_default(struct config_document **ret_document, struct nsp_error *err)
{
    struct params *params;
    if (params_decode(config_table.fields, config_table.count, config_table.size, NULL, NULL,
                      &params, err) < 0)
        return -1;
    return wrap(params, ret_document, err);
}

static int fail_read(const char *call, const char *path, struct nsp_error *err)
{
    int number = errno;
    enum nsp_error_code code = NSP_E_SYSTEM;
    if (number == ENOENT || number == ENOTDIR)
        code = NSP_E_NOT_FOUND;
    else if (number == EACCES || number == EPERM)
        code = NSP_E_PERMISSION;
    return nsp_fail_errno(err, code, number, call, path);
}

/* capacity: one more than the file may have. */
static int read_all(int fd, const char *path, char *text, size_t capacity, size_t *ret_length,
                    struct nsp_error *err)
{
    size_t length = 0;
    while (length < capacity) {
        ssize_t count = read(fd, text + length, capacity - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail_read("read", path, err);
        if (count == 0) {
            *ret_length = length;
            return 0;
        }
        length += (size_t)count;
    }
    return nsp_fail_on(err, NSP_E_EXHAUSTED, path, "the file has more than %d bytes",
                       NSP_LIMIT_JSON_MESSAGE);
}

int config_read(const char *path, struct config_document **ret_document, struct nsp_error *err)
{
    enum { CAPACITY = NSP_LIMIT_JSON_MESSAGE + 1 };
    struct stat status;
    size_t length = 0;
    /* Not waiting: it could be a pipe, which is refused then. */
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail_read("open", path, err);
    if (fstat(fd, &status) < 0)
        return fail_read("fstat", path, err);
    if (!S_ISREG(status.st_mode))
        return nsp_fail_on(err, NSP_E_SYSTEM, path, "this is no regular file");
    AUTO_FREE char *text = malloc(CAPACITY);
    if (!text)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the configuration");
    if (read_all(fd, path, text, CAPACITY, &length, err) < 0)
        return -1;
    return config_parse(text, length, ret_document, err);
}

const struct config *config_get(const struct config_document *document)
{
    return params_struct(document->params);
}

void config_free(struct config_document *document)
{
    if (!document)
        return;
    params_free(document->params);
    free(document);
}
