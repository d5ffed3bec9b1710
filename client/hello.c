#include "client/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/call.h"
#include "client/writer.h"
#include "protocol/cleanup.h"
#include "protocol/json_check.h"
#include "protocol/limits.h"

enum {
    TOKEN_SIZE = 4096,
    KEEPALIVE_MIN = 1000,
    KEEPALIVE_MAX = 3600 * 1000,
};

/* The first line; a line end is not part of a token. */
static int read_token(const char *path, char *ret_token, struct nsp_error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", path);
    char text[TOKEN_SIZE + 1];
    size_t length = 0;
    ssize_t n;
    do {
        n = read(fd, text + length, sizeof text - length);
        if (n < 0 && errno != EINTR)
            return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "read", path);
        length += n > 0 ? (size_t)n : 0;
    } while (n != 0 && length < sizeof text);
    size_t end = 0;
    while (end < length && text[end] != '\n' && text[end] != '\r')
        end++;
    if (end == 0 || end > TOKEN_SIZE - 1 || !nsp_json_is_text(text, end))
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, path, "%s holds no token", path);
    memcpy(ret_token, text, end);
    ret_token[end] = '\0';
    return 0;
}

static uint64_t unix_time_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int nsp_hello_request(const char *name, const char *token, const char *token_file, bool is_host,
                      char **ret_text, struct nsp_error *err)
{
    char from_file[TOKEN_SIZE];
    if (token_file) {
        if (read_token(token_file, from_file, err) < 0)
            return -1;
        token = from_file;
    }
    AUTO_FREE char *params = NULL;
    struct nsp_writer writer;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "client", name);
    if (token)
        nsp_writer_text(&writer, "token", token);
    if (is_host)
        nsp_writer_u64(&writer, "time_ns", unix_time_ns());
    nsp_writer_close(&writer, '}');
    if (nsp_writer_take(&writer, &params, err) < 0)
        return -1;
    return nsp_call_request_text("hello", params, 0, ret_text, err);
}

static uint64_t between(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static void read_result(const struct nsp_json *result, struct nsp_hello_answer *answer)
{
    const struct nsp_json *limits = nsp_json_get(result, "limits");
    const struct nsp_json *keepalive = nsp_json_get(result, "keepalive");
    answer->public = (struct nsp_hello){
        .protocol = nsp_json_text(result, "protocol", ""),
        .agent = nsp_json_text(result, "agent", ""),
        .version = nsp_json_text(result, "version", ""),
        .boot_id = nsp_json_text(result, "boot_id", ""),
        .generation = nsp_json_u64(result, "generation", 0),
        .json = answer->text,
    };
    answer->credit = between(nsp_json_u64(limits, "initial_credit", NSP_LIMIT_INITIAL_CREDIT),
                             NSP_LIMIT_FRAME_PAYLOAD, 64 * (uint64_t)NSP_LIMIT_INITIAL_CREDIT);
    answer->idle_ms = between(nsp_json_u64(keepalive, "idle_ms", NSP_LIMIT_KEEPALIVE_IDLE),
                              KEEPALIVE_MIN, KEEPALIVE_MAX);
    answer->dead_ms = between(nsp_json_u64(keepalive, "dead_ms", NSP_LIMIT_KEEPALIVE_DEAD),
                              KEEPALIVE_MIN, KEEPALIVE_MAX);
}

int nsp_hello_read(const char *text, size_t length, struct nsp_hello_answer *ret_answer,
                   struct nsp_error *err)
{
    struct nsp_hello_answer answer = {0};
    if (nsp_json_parse(text, length, &answer.json, err) < 0)
        return nsp_fail(err, NSP_E_PROTOCOL, "the agent's answer to hello is not acceptable JSON");
    const struct nsp_json *result = nsp_json_get(answer.json, "result");
    if (!nsp_json_is_object(result)) {
        struct nsp_error refusal = NSP_ERROR_INIT;
        nsp_json_error(nsp_json_get(answer.json, "error"), &refusal);
        nsp_hello_done(&answer);
        if (err)
            *err = refusal;
        return -1;
    }
    answer.text = nsp_json_print(result, false);
    if (!answer.text) {
        nsp_hello_done(&answer);
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the answer to hello");
    }
    read_result(result, &answer);
    *ret_answer = answer;
    return 0;
}

void nsp_hello_done(struct nsp_hello_answer *answer)
{
    nsp_json_free(answer->json);
    free(answer->text);
    *answer = (struct nsp_hello_answer){0};
}
