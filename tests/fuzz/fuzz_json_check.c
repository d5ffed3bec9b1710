/* The strict check of JSON: what it lets through must be text, an object, and something that the
 * parser behind it understands in the same way; what it refuses has a reason. */
#include <string.h>

#include "agent/rpc/json.h"
#include "protocol/json_check.h"
#include "protocol/limits.h"
#include "tests/fuzz/fuzz.h"

/* Counts the values below, and looks at each. */
static size_t walk(const struct json_document *document, const struct json *value, unsigned depth)
{
    size_t values = 1, members = 0, length = 0;
    const char *text = NULL;

    FUZZ_CHECK(depth <= NSP_LIMIT_JSON_DEPTH);
    json_raw(document, value, &text, &length);
    FUZZ_CHECK(text && length > 0);
    if (json_type(value) == JSON_STRING)
        FUZZ_CHECK(nsp_json_is_text(json_string(value), strlen(json_string(value))));
    for (const struct json *at = json_first(value); at; at = json_next(at)) {
        if (json_type(value) == JSON_OBJECT)
            FUZZ_CHECK(json_member(value, json_name(at)) == at);
        values += walk(document, at, depth + 1);
        members++;
    }
    FUZZ_CHECK(members == json_count(value));
    return values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct nsp_error err = NSP_ERROR_INIT;
    struct json_document *document = NULL;

    if (nsp_json_check(text, size, &err) < 0) {
        FUZZ_CHECK(err.code == NSP_E_PARSE || err.code == NSP_E_EXHAUSTED);
        FUZZ_CHECK(err.msg[0] != '\0');
        FUZZ_CHECK(json_parse(text, size, &document, NULL) < 0 && !document);
        return 0;
    }
    FUZZ_CHECK(err.code == NSP_E_NONE);
    FUZZ_CHECK(size <= NSP_LIMIT_JSON_MESSAGE && nsp_json_is_text(data, size));
    FUZZ_CHECK(json_parse(text, size, &document, &err) == 0);
    FUZZ_CHECK(json_type(json_root(document)) == JSON_OBJECT);
    FUZZ_CHECK(walk(document, json_root(document), 1) <= NSP_LIMIT_JSON_NODES);
    json_free(document);
    return 0;
}
