/* Parameters: one field of every type. What is decoded must keep the bounds that the table states.
 */
#include <string.h>

#include "agent/rpc/json.h"
#include "agent/rpc/params.h"
#include "protocol/json_check.h"
#include "tests/fuzz/fuzz.h"

enum { INT_MIN_VALUE = -5, INT_MAX_VALUE = 70000, TEXT_MAX = 20, LIST_MAX = 5 };

struct leaf {
    int64_t number;
    const char *name;
};

struct branch {
    const char *name;
    struct param_objects deep; /* struct leaf */
};

struct decoded {
    bool flag;
    int64_t number;
    const char *text;
    struct param_bytes bytes;
    const char *path;
    int choice;
    struct param_strings arguments;
    struct param_strings variables;
    struct param_limits limits;
    int signal;
    const struct branch *one;
    struct param_objects many; /* struct leaf */
};

static const char *const choices[] = {"leader", "group", "tree", NULL};

#define MEMBER(struct_, name_, type_)                                                              \
    .name = #name_, .type = type_, .offset = offsetof(struct struct_, name_)
#define FIELD(name_, type_) MEMBER(decoded, name_, type_)

static const struct param_field leaf_fields[] = {
    {MEMBER(leaf, number, PARAM_INT), .flags = PARAM_REQUIRED, .min = 1, .max = 9},
    {MEMBER(leaf, name, PARAM_STRING)},
};
static const struct param_table leaf_table = PARAM_TABLE(struct leaf, leaf_fields);

static const struct param_field branch_fields[] = {
    {MEMBER(branch, name, PARAM_STRING)},
    {MEMBER(branch, deep, PARAM_OBJECTS), .max = LIST_MAX, .table = &leaf_table},
};
static const struct param_table branch_table = PARAM_TABLE(struct branch, branch_fields);

static const struct param_field fields[] = {
    {FIELD(flag, PARAM_BOOL), .fallback = 1},
    {FIELD(number, PARAM_INT), .min = INT_MIN_VALUE, .max = INT_MAX_VALUE, .fallback = 7},
    {FIELD(text, PARAM_STRING), .min = 1, .max = TEXT_MAX},
    {FIELD(bytes, PARAM_BYTES), .max = TEXT_MAX},
    {FIELD(path, PARAM_PATH), .min = 1},
    {FIELD(choice, PARAM_ENUM), .choices = choices, .fallback = 1},
    {FIELD(arguments, PARAM_ARGUMENTS), .min = 1, .max = LIST_MAX},
    {FIELD(variables, PARAM_VARIABLES), .max = LIST_MAX},
    {FIELD(limits, PARAM_LIMITS)},
    {FIELD(signal, PARAM_SIGNAL), .fallback = 15},
    {FIELD(one, PARAM_OBJECT), .table = &branch_table},
    {FIELD(many, PARAM_OBJECTS), .max = LIST_MAX, .table = &leaf_table},
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields };

static void check_strings(const struct param_strings *strings, bool are_variables)
{
    if (!strings->items) {
        FUZZ_CHECK(strings->count == 0);
        return;
    }
    FUZZ_CHECK(strings->count <= LIST_MAX && strings->items[strings->count] == NULL);
    for (size_t i = 0; i < strings->count; i++) {
        FUZZ_CHECK(strings->items[i] != NULL);
        if (are_variables)
            FUZZ_CHECK(strchr(strings->items[i], '=') > strings->items[i]);
    }
}

static void check_leaves(const struct param_objects *objects)
{
    const struct leaf *leaves = objects->items;
    FUZZ_CHECK(objects->count <= LIST_MAX && (leaves || objects->count == 0));
    for (size_t i = 0; i < objects->count; i++) {
        FUZZ_CHECK(leaves[i].number >= 1 && leaves[i].number <= 9);
        if (leaves[i].name)
            FUZZ_CHECK(nsp_json_is_text(leaves[i].name, strlen(leaves[i].name)));
    }
}

static void check_decoded(const struct decoded *decoded)
{
    FUZZ_CHECK(decoded->number >= INT_MIN_VALUE && decoded->number <= INT_MAX_VALUE);
    if (decoded->text) {
        size_t length = strlen(decoded->text);
        FUZZ_CHECK(length >= 1 && length <= TEXT_MAX && nsp_json_is_text(decoded->text, length));
    }
    if (decoded->bytes.data)
        FUZZ_CHECK(decoded->bytes.length <= TEXT_MAX &&
                   decoded->bytes.data[decoded->bytes.length] == '\0');
    if (decoded->path)
        FUZZ_CHECK(decoded->path[0] != '\0');
    FUZZ_CHECK(decoded->choice >= 0 && decoded->choice < 3);
    check_strings(&decoded->arguments, false);
    check_strings(&decoded->variables, true);
    for (size_t i = 0; i < decoded->limits.count; i++)
        FUZZ_CHECK(decoded->limits.items[i].name[0] != '\0');
    FUZZ_CHECK(decoded->signal >= 0 && decoded->signal <= 64);
    check_leaves(&decoded->many);
    if (decoded->one)
        check_leaves(&decoded->one->deep);
}

static void check_label(const struct json_document *document)
{
    const struct json *id = json_member(json_root(document), "id");
    char label[64];
    size_t length = sizeof label;

    if (id && params_label(document, id, label, sizeof label, &length))
        FUZZ_CHECK(length > 0 && length <= sizeof label);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct json_document *document = NULL;
    struct params *params = NULL;

    if (json_parse((const char *)data, size, &document, NULL) < 0)
        return 0;
    check_label(document);
    if (params_decode(fields, FIELD_COUNT, sizeof(struct decoded), document, json_root(document),
                      &params, &err) == 0) {
        check_decoded(params_struct(params));
        params_free(params);
    } else {
        FUZZ_CHECK(err.code == NSP_E_INVALID_PARAMS || err.code == NSP_E_EXHAUSTED);
        FUZZ_CHECK(err.msg[0] != '\0' && !params);
    }
    json_free(document);
    return 0;
}
