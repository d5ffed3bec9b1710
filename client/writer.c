#include "client/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base64.h"
#include "protocol/cleanup.h"
#include "protocol/error_json.h"
#include "protocol/json_check.h"
#include "protocol/json_text.h"

void nsp_writer_init(struct nsp_writer *writer, size_t ceiling)
{
    *writer = (struct nsp_writer){.comma = false};
    nsp_buf_init(&writer->text, ceiling);
}

void nsp_writer_done(struct nsp_writer *writer)
{
    nsp_buf_done(&writer->text);
}

static void put(struct nsp_writer *writer, const void *bytes, size_t length)
{
    if (writer->error.code == NSP_E_NONE)
        (void)nsp_buf_append(&writer->text, bytes, length, &writer->error);
}

static void put_string(struct nsp_writer *writer, const char *text, size_t length)
{
    uint8_t *room = NULL;
    size_t escaped = nsp_json_text_length(text, length);
    if (writer->error.code == NSP_E_NONE &&
        nsp_buf_reserve(&writer->text, escaped, &room, &writer->error) == 0)
        nsp_buf_commit(&writer->text, nsp_json_text_write((char *)room, text, length));
}

static void begin(struct nsp_writer *writer, const char *name)
{
    if (writer->comma)
        put(writer, ",", 1);
    writer->comma = true;
    if (name) {
        put_string(writer, name, strlen(name));
        put(writer, ":", 1);
    }
}

void nsp_writer_open(struct nsp_writer *writer, const char *name, char bracket)
{
    begin(writer, name);
    put(writer, &bracket, 1);
    writer->comma = false;
}

void nsp_writer_close(struct nsp_writer *writer, char bracket)
{
    put(writer, &bracket, 1);
    writer->comma = true;
}

void nsp_writer_text(struct nsp_writer *writer, const char *name, const char *utf8)
{
    begin(writer, name);
    put_string(writer, utf8, strlen(utf8));
}

void nsp_writer_bytes(struct nsp_writer *writer, const char *name, const void *bytes, size_t length)
{
    begin(writer, name);
    if (nsp_json_is_text(bytes, length)) {
        put_string(writer, bytes, length);
        return;
    }
    static const char head[] = "{\"b64\":\"";
    uint8_t *room = NULL;
    put(writer, head, sizeof head - 1);
    size_t encoded = nsp_base64_encoded_length(length);
    if (writer->error.code == NSP_E_NONE &&
        nsp_buf_reserve(&writer->text, encoded, &room, &writer->error) == 0)
        nsp_buf_commit(&writer->text, nsp_base64_encode((char *)room, bytes, length));
    put(writer, "\"}", 2);
}

/* Beyond 2^53 a number of JSON is not exact everywhere: decimal strings, PROTOCOL.md section 4. */
#define EXACT_MAX (UINT64_C(1) << 53)

void nsp_writer_u64(struct nsp_writer *writer, const char *name, uint64_t value)
{
    char digits[24];
    const char *quote = value > EXACT_MAX ? "\"" : "";
    int length = snprintf(digits, sizeof digits, "%s%" PRIu64 "%s", quote, value, quote);
    nsp_writer_raw(writer, name, digits, (size_t)length);
}

void nsp_writer_int(struct nsp_writer *writer, const char *name, int64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, value);
    nsp_writer_raw(writer, name, digits, (size_t)length);
}

void nsp_writer_bool(struct nsp_writer *writer, const char *name, bool value)
{
    nsp_writer_raw(writer, name, value ? "true" : "false", value ? 4 : 5);
}

void nsp_writer_null(struct nsp_writer *writer, const char *name)
{
    nsp_writer_raw(writer, name, "null", 4);
}

void nsp_writer_raw(struct nsp_writer *writer, const char *name, const char *json, size_t length)
{
    begin(writer, name);
    put(writer, json, length);
}

void nsp_writer_error(struct nsp_writer *writer, const char *name, const struct nsp_error *error)
{
    char text[NSP_ERROR_JSON_SIZE];
    nsp_writer_raw(writer, name, text, nsp_error_json(error, text, sizeof text));
}

void nsp_writer_newline(struct nsp_writer *writer)
{
    put(writer, "\n", 1);
}

int nsp_writer_take(struct nsp_writer *writer, char **ret_text, struct nsp_error *err)
{
    put(writer, "", 1);
    if (writer->error.code != NSP_E_NONE) {
        if (err)
            *err = writer->error;
        nsp_writer_done(writer);
        return -1;
    }
    size_t length = nsp_buf_length(&writer->text);
    char *text = malloc(length);
    if (!text) {
        nsp_writer_done(writer);
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a message of %zu bytes", length);
    }
    memcpy(text, nsp_buf_bytes(&writer->text), length);
    nsp_writer_done(writer);
    *ret_text = text;
    return 0;
}
