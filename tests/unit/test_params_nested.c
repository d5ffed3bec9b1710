/* Objects inside objects: their tables, their memory, and the paths that errors name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rpc/json.h"
#include "agent/rpc/params.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

struct leaf {
    int64_t number;
    const char *text;
    bool flag;
};

struct branch {
    const char *name;
    struct param_objects leaves;
    struct param_strings words, variables;
    struct param_limits limits;
    const char *label;
};

struct tree {
    const struct branch *one;
    struct param_objects many;
    struct param_objects few;
};

#define FIELD(struct_, name_, type_, ...)                                                          \
    {                                                                                              \
        .name = #name_, .type = PARAM_##type_, .offset = offsetof(struct struct_, name_),          \
        __VA_ARGS__                                                                                \
    }
static const struct param_field leaf_fields[] = {
    FIELD(leaf, number, INT, .flags = PARAM_REQUIRED, .min = 1, .max = 9),
    FIELD(leaf, text, STRING, .max = 4),
    FIELD(leaf, flag, BOOL, .fallback = 1),
};
static const struct param_table leaf_table = PARAM_TABLE(struct leaf, leaf_fields);

static const struct param_field branch_fields[] = {
    FIELD(branch, name, STRING),     FIELD(branch, leaves, OBJECTS, .max = 3, .table = &leaf_table),
    FIELD(branch, words, ARGUMENTS), FIELD(branch, variables, VARIABLES),
    FIELD(branch, limits, LIMITS),   FIELD(branch, label, LABEL),
};
static const struct param_table branch_table = PARAM_TABLE(struct branch, branch_fields);

static const struct param_field tree_fields[] = {
    FIELD(tree, one, OBJECT, .table = &branch_table),
    FIELD(tree, many, OBJECTS, .table = &branch_table),
    FIELD(tree, few, OBJECTS, .min = 1, .max = 2, .table = &leaf_table),
};
static const struct param_table tree_table = PARAM_TABLE(struct tree, tree_fields);

static struct json_document *document;
static struct params *params;
static struct nsp_error err;

static void teardown(void)
{
    params_free(params);
    params = NULL;
    json_free(document);
    document = NULL;
}

static int decode(const char *text)
{
    teardown();
    err = NSP_ERROR_INIT;
    ck_assert_msg(json_parse(text, strlen(text), &document, &err) == 0, "%s: %s", text, err.msg);
    return params_decode(tree_table.fields, tree_table.count, tree_table.size, document,
                         json_root(document), &params, &err);
}

static const struct tree *accept(const char *text)
{
    int result = decode(text);
    ck_assert_msg(result == 0, "%s: %s", text, err.msg);
    return params_struct(params);
}

START_TEST(an_absent_object_is_null_and_an_absent_list_empty)
{
    const struct tree *tree = accept("{}");
    ck_assert_ptr_null(tree->one);
    ck_assert_ptr_null(tree->many.items);
    ck_assert_uint_eq(tree->many.count, 0);
}
END_TEST

START_TEST(an_empty_object_has_the_fallbacks_of_its_table)
{
    const struct tree *tree = accept("{\"one\":{},\"many\":[]}");
    ck_assert_ptr_nonnull(tree->one);
    ck_assert_ptr_null(tree->one->name);
    ck_assert_ptr_null(tree->one->leaves.items);
    ck_assert_ptr_nonnull(tree->many.items);
    ck_assert_uint_eq(tree->many.count, 0);
    tree = accept("{\"few\":[{\"number\":1}]}");
    ck_assert(((const struct leaf *)tree->few.items)->flag);
}
END_TEST

START_TEST(objects_of_a_list_lie_side_by_side)
{
    const struct tree *tree = accept("{\"many\":[{\"name\":\"a\",\"leaves\":[{\"number\":1},"
                                     "{\"number\":\"2\",\"text\":\"two\",\"flag\":false}]},"
                                     "{\"name\":\"b\"}],\"few\":[{\"number\":3}]}");
    const struct branch *many = tree->many.items;
    ck_assert_uint_eq(tree->many.count, 2);
    ck_assert_str_eq(many[0].name, "a");
    ck_assert_str_eq(many[1].name, "b");
    ck_assert_uint_eq(many[1].leaves.count, 0);
    const struct leaf *leaves = many[0].leaves.items;
    ck_assert_uint_eq(many[0].leaves.count, 2);
    ck_assert_int_eq(leaves[0].number, 1);
    ck_assert(leaves[0].flag);
    ck_assert_ptr_null(leaves[0].text);
    ck_assert_int_eq(leaves[1].number, 2);
    ck_assert(!leaves[1].flag);
    ck_assert_str_eq(leaves[1].text, "two");
    ck_assert_int_eq(((const struct leaf *)tree->few.items)[0].number, 3);
}
END_TEST

START_TEST(every_type_works_in_an_inner_object)
{
    const struct branch *one =
        accept("{\"one\":{\"label\":7,\"words\":[\"x\",{\"b64\":\"/w==\"}],\"variables\":"
               "{\"A\":\"1\"},\"limits\":{\"core\":{\"soft\":1,\"hard\":\"unlimited\"}},"
               "\"name\":\"n\",\"leaves\":[]}}")
            ->one;
    ck_assert_str_eq(one->label, "7");
    ck_assert_str_eq(one->words.items[1], "\xFF");
    ck_assert_str_eq(one->variables.items[0], "A=1");
    ck_assert_uint_eq(one->limits.items[0].hard, UINT64_MAX);
    ck_assert_str_eq(one->name, "n");
}
END_TEST

static const struct {
    const char *text, *object, *msg;
} refused[] = {
    {"{\"one\":1}", "one", "one must be an object, not a number"},
    {"{\"one\":[]}", "one", "one must be an object, not an array"},
    {"{\"one\":null}", "one", "one must be an object, not null"},
    {"{\"many\":{}}", "many", "many must be an array, not an object"},
    {"{\"many\":[{},1]}", "many[1]", "many[1] must be an object, not a number"},
    {"{\"many\":[[]]}", "many[0]", "many[0] must be an object, not an array"},
    {"{\"one\":{\"nope\":1}}", "one.nope", "unknown parameter one.nope"},
    {"{\"one\":{\"few\":1}}", "one.few", "unknown parameter one.few"},
    {"{\"many\":[{},{\"leaves\":[{\"number\":1},{\"number\":10}]}]}", "many[1].leaves[1].number",
     "many[1].leaves[1].number is 10, but must be 1 to 9"},
    {"{\"many\":[{\"leaves\":[{\"text\":\"a\"}]}]}", "many[0].leaves[0].number",
     "parameter many[0].leaves[0].number is missing"},
    {"{\"many\":[{\"leaves\":[{\"number\":1,\"text\":5}]}]}", "many[0].leaves[0].text",
     "many[0].leaves[0].text must be a string, not a number"},
    {"{\"many\":[{\"name\":\"a\"},{\"words\":[\"a\",2]}]}", "many[1].words[1]",
     "many[1].words[1] must be a string or {\"b64\"}, not a number"},
    {"{\"one\":{\"variables\":{\"A\":\"\",\"a.b\":1}}}", "one.variables.a.b",
     "one.variables.a.b must be a string or {\"b64\"}, not a number"},
    {"{\"one\":{\"limits\":{\"core\":1}}}", "one.limits.core",
     "one.limits.core must be {soft, hard}, soft not above hard: integers or \"unlimited\""},
    {"{\"one\":{\"label\":null}}", "one.label", "one.label must be the id of a request"},
    {"{\"few\":[]}", "few", "few has 0 elements, but must have 1 to 2"},
    {"{\"few\":[{\"number\":1},{\"number\":1},{\"number\":1}]}", "few",
     "few has 3 elements, but must have 1 to 2"},
    {"{\"one\":{\"leaves\":[{},{},{},{}]}}", "one.leaves",
     "one.leaves has 4 elements, but must have 0 to 3"},
    {"{\"one\":{},\"nope\":1}", "nope", "unknown parameter nope"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(an_error_names_the_whole_path)
{
    ck_assert_int_eq(decode(refused[_i].text), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, refused[_i].object);
    ck_assert_str_eq(err.msg, refused[_i].msg);
    ck_assert_ptr_null(params);
}
END_TEST

START_TEST(a_long_path_is_cut_not_overrun)
{
    char text[1024], name[600];
    memset(name, 'n', sizeof name);
    snprintf(text, sizeof text, "{\"many\":[{\"%.*s\":1}]}", (int)sizeof name, name);
    ck_assert_int_eq(decode(text), -1);
    ck_assert_uint_eq(strlen(err.object), sizeof err.object - 1);
    ck_assert_int_eq(strncmp(err.object, "many[0].nnn", 11), 0);
}
END_TEST

/* As many as there can be, so that the block is measured for the worst case. */
START_TEST(a_list_is_bounded_by_its_type)
{
    enum { MOST = 1024, SIZE = 16 * (MOST + 2) };
    char *text = malloc(SIZE);
    for (int extra = 0; extra <= 1; extra++) {
        size_t length = (size_t)snprintf(text, SIZE, "{\"many\":[{}");
        for (int i = 1; i < MOST + extra; i++)
            length += (size_t)snprintf(text + length, SIZE - length, ",{\"leaves\":[]}");
        snprintf(text + length, SIZE - length, "]}");
        ck_assert_int_eq(decode(text), extra ? -1 : 0);
        if (!extra)
            ck_assert_uint_eq(((const struct tree *)params_struct(params))->many.count, MOST);
    }
    ck_assert_str_eq(err.object, "many");
    free(text);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("params_nested");
    TCase *tests = tcase_create("params_nested");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, an_absent_object_is_null_and_an_absent_list_empty);
    tcase_add_test(tests, an_empty_object_has_the_fallbacks_of_its_table);
    tcase_add_test(tests, objects_of_a_list_lie_side_by_side);
    tcase_add_test(tests, every_type_works_in_an_inner_object);
    tcase_add_loop_test(tests, an_error_names_the_whole_path, 0, REFUSED);
    tcase_add_test(tests, a_long_path_is_cut_not_overrun);
    tcase_add_test(tests, a_list_is_bounded_by_its_type);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
