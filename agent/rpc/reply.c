/* The text is written as it comes. `closers` has a bit a level: 1 for an object, 0 for an array;
 * `begun` has a bit a level: 1 once something stands in it, so that a comma is due.
 */
#include "agent/rpc/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base64.h"
#include "protocol/buf.h"
#include "protocol/error_json.h"
#include "protocol/json_check.h"
#include "protocol/json_text.h"
#include "protocol/limits.h"

enum {
    /* What the envelope around the object may take, with the longest id. */
    ENVELOPE_BYTES = 1024,
    ENVELOPE_NODES = 8,
    ENVELOPE_LEVELS = 1,
    ERROR_NODES = 8,
    LEVELS = NSP_LIMIT_JSON_DEPTH - ENVELOPE_LEVELS,
};
_Static_assert(LEVELS <= 64, "a level has a bit");
_Static_assert(ENVELOPE_BYTES > NSP_LIMIT_REQUEST_ID + 256, "the longest id fits");

static const int64_t exact_integers = INT64_C(1) << 53;

struct reply {
    struct nsp_buf text;
    unsigned depth;
    size_t nodes;
    uint64_t closers, begun;
    bool failed, finished;
    struct nsp_error failure;
};

struct reply *reply_new(void)
{
    struct reply *reply = malloc(sizeof *reply);
    if (!reply)
        return NULL;
    *reply = (struct reply){.depth = 1, .closers = 1};
    nsp_buf_init(&reply->text, NSP_LIMIT_JSON_MESSAGE - ENVELOPE_BYTES);
    if (nsp_buf_append(&reply->text, "{", 1, &reply->failure) < 0)
        reply->failed = true;
    return reply;
}

void reply_free(struct reply *reply)
{
    if (!reply)
        return;
    nsp_buf_done(&reply->text);
    free(reply);
}

static void fail_limit(struct reply *reply, const char *limit)
{
    reply->failed = true;
    nsp_fail_on(&reply->failure, NSP_E_EXHAUSTED, limit, "the answer is larger than %s allows",
                limit);
}

static uint8_t *reserve(struct reply *reply, size_t length)
{
    uint8_t *room;
    if (reply->failed)
        return NULL;
    if (length > reply->text.ceiling - nsp_buf_length(&reply->text)) {
        fail_limit(reply, "json_message");
        return NULL;
    }
    if (nsp_buf_reserve(&reply->text, length, &room, &reply->failure) < 0) {
        reply->failed = true;
        return NULL;
    }
    return room;
}

static void put(struct reply *reply, const char *text, size_t length)
{
    uint8_t *room = reserve(reply, length);
    if (!room)
        return;
    memcpy(room, text, length);
    nsp_buf_commit(&reply->text, length);
}

static void put_string(struct reply *reply, const void *bytes, size_t n)
{
    size_t length = nsp_json_text_length(bytes, n);
    uint8_t *room = reserve(reply, length);
    if (!room)
        return;
    nsp_buf_commit(&reply->text, nsp_json_text_write((char *)room, bytes, n));
}

static void put_base64(struct reply *reply, const void *bytes, size_t n)
{
    put(reply, "{\"b64\":\"", 8);
    uint8_t *room = reserve(reply, nsp_base64_encoded_length(n));
    if (!room)
        return;
    nsp_buf_commit(&reply->text, nsp_base64_encode((char *)room, bytes, n));
    put(reply, "\"}", 2);
}

/* The comma and the name before a value. False when there is nothing to write to. */
static bool begin(struct reply *reply, const char *name, size_t nodes)
{
    if (!reply || reply->failed)
        return false;
    reply->nodes += nodes;
    if (reply->nodes > NSP_LIMIT_JSON_NODES - ENVELOPE_NODES) {
        fail_limit(reply, "json_nodes");
        return false;
    }
    uint64_t level = UINT64_C(1) << (reply->depth - 1);
    if (reply->begun & level)
        put(reply, ",", 1);
    reply->begun |= level;
    if (reply->closers & level) {
        put_string(reply, name, strlen(name));
        put(reply, ":", 1);
    }
    return !reply->failed;
}

void reply_bool(struct reply *reply, const char *name, bool value)
{
    if (!begin(reply, name, 1))
        return;
    if (value)
        put(reply, "true", 4);
    else
        put(reply, "false", 5);
}

static void put_number(struct reply *reply, const char *digits, int length, bool exact)
{
    if (exact)
        put(reply, digits, (size_t)length);
    else
        put_string(reply, digits, (size_t)length);
}

void reply_int(struct reply *reply, const char *name, int64_t value)
{
    char digits[24];
    if (!begin(reply, name, 1))
        return;
    int length = snprintf(digits, sizeof digits, "%lld", (long long)value);
    put_number(reply, digits, length, value >= -exact_integers && value <= exact_integers);
}

void reply_u64(struct reply *reply, const char *name, uint64_t value)
{
    char digits[24];
    if (!begin(reply, name, 1))
        return;
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    put_number(reply, digits, length, value <= (uint64_t)exact_integers);
}

void reply_text(struct reply *reply, const char *name, const char *text)
{
    if (!text)
        reply_null(reply, name);
    else if (begin(reply, name, 1))
        put_string(reply, text, strlen(text));
}

void reply_bytes(struct reply *reply, const char *name, const void *bytes, size_t length)
{
    bool is_text = nsp_json_is_text(bytes, length);
    if (!begin(reply, name, is_text ? 1 : 2))
        return;
    if (!is_text && reply->depth >= LEVELS)
        fail_limit(reply, "json_depth");
    else if (is_text)
        put_string(reply, bytes, length);
    else
        put_base64(reply, bytes, length);
}

void reply_null(struct reply *reply, const char *name)
{
    if (begin(reply, name, 1))
        put(reply, "null", 4);
}

void reply_error(struct reply *reply, const char *name, const struct nsp_error *err)
{
    char text[NSP_ERROR_JSON_SIZE];
    if (!begin(reply, name, ERROR_NODES))
        return;
    if (reply->depth + 2 > LEVELS) {
        fail_limit(reply, "json_depth");
        return;
    }
    size_t length = nsp_error_json(err, text, sizeof text);
    put(reply, text, length);
}

static void open_level(struct reply *reply, const char *name, bool is_object)
{
    if (!begin(reply, name, 1))
        return;
    if (reply->depth >= LEVELS) {
        fail_limit(reply, "json_depth");
        return;
    }
    uint64_t level = UINT64_C(1) << reply->depth++;
    reply->closers = is_object ? reply->closers | level : reply->closers & ~level;
    reply->begun &= ~level;
    put(reply, is_object ? "{" : "[", 1);
}

void reply_open_object(struct reply *reply, const char *name)
{
    open_level(reply, name, true);
}

void reply_open_array(struct reply *reply, const char *name)
{
    open_level(reply, name, false);
}

void reply_close(struct reply *reply)
{
    if (!reply || reply->failed || reply->depth <= 1)
        return;
    uint64_t level = UINT64_C(1) << --reply->depth;
    put(reply, reply->closers & level ? "}" : "]", 1);
}

int reply_finish(struct reply *reply, const char **ret_text, size_t *ret_length,
                 struct nsp_error *err)
{
    if (!reply)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the answer");
    while (!reply->failed && reply->depth > 1)
        reply_close(reply);
    if (!reply->finished) {
        put(reply, "}", 1);
        reply->finished = true;
    }
    if (reply->failed) {
        if (err)
            *err = reply->failure;
        return -1;
    }
    *ret_text = (const char *)nsp_buf_bytes(&reply->text);
    *ret_length = nsp_buf_length(&reply->text);
    return 0;
}
