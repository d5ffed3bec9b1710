#include "client/start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/json.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

int nsp_start_random(char *ret_digits, size_t size, struct nsp_error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[NSP_START_KEY_SIZE / 2];
    size_t count = (size - 1) / 2;
    if (getrandom(bytes, count, 0) != (ssize_t)count)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "getrandom", NULL);
    for (size_t i = 0; i < count; i++) {
        ret_digits[2 * i] = digits[bytes[i] >> 4];
        ret_digits[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_digits[2 * count] = '\0';
    return 0;
}

static void write_bytes(struct nsp_writer *writer, const char *name, const char *value)
{
    if (value)
        nsp_writer_bytes(writer, name, value, strlen(value));
}

/* The key of a member must be text, so a name that is not UTF-8 is refused by the agent, by name.
 */
static void write_environment(struct nsp_writer *writer, const char *const *environment)
{
    if (!environment || !environment[0])
        return;
    nsp_writer_open(writer, "env", '{');
    for (size_t i = 0; environment[i]; i++) {
        const char *equals = strchr(environment[i], '=');
        size_t length = equals ? (size_t)(equals - environment[i]) : strlen(environment[i]);
        AUTO_FREE char *name = strndup(environment[i], length);
        if (!name) {
            nsp_fail(&writer->error, NSP_E_EXHAUSTED, "no memory for an environment");
            return;
        }
        write_bytes(writer, name, equals ? equals + 1 : "");
    }
    nsp_writer_close(writer, '}');
}

static void write_numbers(struct nsp_writer *writer, const struct nsp_start *start)
{
    if (start->ring_bytes > 0)
        nsp_writer_u64(writer, "ring_bytes", start->ring_bytes);
    if (start->timeout_ms > 0)
        nsp_writer_u64(writer, "timeout_ms", start->timeout_ms);
    if (start->drain_ms > 0)
        nsp_writer_u64(writer, "drain_ms", start->drain_ms);
    if (start->has_grace)
        nsp_writer_u64(writer, "grace_ms", start->grace_ms);
}

void nsp_start_write(struct nsp_writer *writer, const struct nsp_start *start, const char *key)
{
    if (start->argv) {
        nsp_writer_open(writer, "argv", '[');
        for (size_t i = 0; start->argv[i]; i++)
            write_bytes(writer, NULL, start->argv[i]);
        nsp_writer_close(writer, ']');
    }
    write_bytes(writer, "command", start->command);
    write_bytes(writer, "cwd", start->cwd);
    write_environment(writer, start->environment);
    if (start->clear_environment)
        nsp_writer_bool(writer, "clear_env", true);
    if (start->id)
        nsp_writer_text(writer, "id", start->id);
    nsp_writer_text(writer, "key", start->key ? start->key : key);
    nsp_writer_text(writer, "stdin", start->stdin_pipe ? "pipe" : "null");
    if (start->merge)
        nsp_writer_bool(writer, "merge", true);
    if (start->policy)
        nsp_writer_text(writer, "policy", start->policy);
    write_numbers(writer, start);
}
