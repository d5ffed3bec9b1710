#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/json_check.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

static const char *const accepted[] = {
    "{}",
    " \t\r\n{ } \n",
    "{\"a\":1}",
    "{ \"a\" : [ 1 , -2 , 3.5e-7 , true , false , null , \"x\" , { } , [ ] ] }",
    "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"}",
    "{\"a\":\"h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\x7F\"}",
    "{\"\":0}",
    "{\"a\":{\"a\":{\"a\":1}},\"A\":2}",
    "{\"a\":[{\"k\":1},{\"k\":1}]}",
    "{\"a\":0,\"b\":-0,\"c\":0.0,\"d\":0e5,\"e\":1E+2,\"f\":1e-400}",
    "{\"a\":1.7976931348623157e308}",
    "{\"a\":-17976931348623157e292}",
    "{\"a\":0.00017976931348623157e312}",
    "{\"a\":0e999999999999}",
    "{\"a\":9007199254740993}",
};
enum { ACCEPTED = sizeof accepted / sizeof *accepted };

START_TEST(well_formed_messages_are_accepted)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_json_check(accepted[_i], strlen(accepted[_i]), &err) == 0, "%s: %s",
                  accepted[_i], err.msg);
}
END_TEST

START_TEST(every_prefix_of_a_message_is_refused)
{
    const char *text = accepted[_i];
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] != '}')
        length--;
    for (size_t n = 0; n < length; n++) {
        /* Of its own size, so that reading beyond it is seen. */
        char *copy = malloc(n + 1);
        char *exact = copy + 1;
        memcpy(exact, text, n);
        struct nsp_error err = NSP_ERROR_INIT;
        ck_assert_int_eq(nsp_json_check(exact, n, &err), -1);
        ck_assert_int_eq(err.code, NSP_E_PARSE);
        free(copy);
    }
}
END_TEST

static const struct {
    const char *text;
    const char *reason;
} refused[] = {
    {"", "not an object at byte 0"},
    {"[]", "not an object"},
    {"1", "not an object"},
    {"\"a\"", "not an object"},
    {"\xEF\xBB\xBF{}", "byte order mark"},
    {"{}x", "follows the message at byte 2"},
    {"{}{}", "follows the message"},
    {"{\"a\":1,}", "a key is missing at byte 7"},
    {"{,}", "a key is missing"},
    {"{a:1}", "a key is missing"},
    {"{'a':1}", "a key is missing"},
    {"{\"a\" 1}", "a colon is missing"},
    {"{\"a\":}", "a value is missing"},
    {"{\"a\":1 \"b\":2}", "a comma or } is missing"},
    {"{\"a\":[1 2]}", "a comma or ] is missing"},
    {"{\"a\":[1,]}", "a value is missing"},
    {"{\"a\":[1}", "a comma or ] is missing"},
    {"{\"a\":1]", "a comma or } is missing"},
    {"{\"a\":nul}", "unknown word"},
    {"{\"a\":True}", "a value is missing"},
    {"{\"a\":trues}", "a comma or } is missing"},
    {"{\"a\":NaN}", "a value is missing"},
    {"{\"a\":/**/1}", "a value is missing"},
    {"{\"a\":01}", "leading zero"},
    {"{\"a\":-01}", "leading zero"},
    {"{\"a\":+1}", "a value is missing"},
    {"{\"a\":.5}", "a value is missing"},
    {"{\"a\":1.}", "a digit is missing"},
    {"{\"a\":-}", "a digit is missing"},
    {"{\"a\":1e}", "a digit is missing"},
    {"{\"a\":1e+}", "a digit is missing"},
    {"{\"a\":0x10}", "a comma or } is missing"},
    {"{\"a\":1e309}", "number out of range"},
    {"{\"a\":-1e309}", "number out of range"},
    {"{\"a\":1.7976931348623159e308}", "number out of range"},
    {"{\"a\":17976931348623158e292}", "number out of range"},
    {"{\"a\":1e99999999999999999999}", "number out of range"},
    {"{\"a\":0.0000000000000000000000000000000000000000000000000000000000001}", NULL},
    {"{\"a\":0.00000000000000000000000000000000000000000000000000000000000001}",
     "number out of range"},
    {"{\"a\":\"x}", "unterminated string"},
    {"{\"a\":\"\n\"}", "control character"},
    {"{\"a\":\"\x01\"}", "control character"},
    {"{\"a\":\"\\x\"}", "bad escape"},
    {"{\"a\":\"\\", "bad escape"},
    {"{\"a\":\"\\u12G4\"}", "bad \\u escape"},
    {"{\"a\":\"\\u12\"}", "bad \\u escape"},
    {"{\"a\":\"\\u0000\"}", "\\u0000"},
    {"{\"a\\u0000b\":1}", "\\u0000"},
    {"{\"a\":\"\\uD800\"}", "unpaired surrogate"},
    {"{\"a\":\"\\uD800x\"}", "unpaired surrogate"},
    {"{\"a\":\"\\uD800\\n\"}", "unpaired surrogate"},
    {"{\"a\":\"\\uD800\\u0041\"}", "unpaired surrogate"},
    {"{\"a\":\"\\uD800\\uD800\"}", "unpaired surrogate"},
    {"{\"a\":\"\\uDC00\"}", "unpaired surrogate"},
    {"{\"a\":\"\xFF\"}", "ill-formed UTF-8"},
    {"{\"a\":\"\xC3\"}", "ill-formed UTF-8"},
    {"{\"a\":\"\xED\xA0\x80\"}", "ill-formed UTF-8"},
    {"{\"\xC0\x80\":1}", "ill-formed UTF-8"},
    {"{\"a\":1,\"a\":2}", "duplicate key at byte 8"},
    {"{\"x\":{\"a\":1,\"b\":2,\"a\":3}}", "duplicate key"},
    {"{\"a\":1,\"\\u0061\":2}", "duplicate key"},
    {"{\"\\u00e9\":1,\"\xC3\xA9\":2}", "duplicate key"},
    {"{\"\\uD83D\\uDE00\":1,\"\xF0\x9F\x98\x80\":2}", "duplicate key"},
    {"{\"/\":1,\"\\/\":2}", "duplicate key"},
    {"{\"\\n\":1,\"\\u000a\":2}", "duplicate key"},
    {"{\"\":1,\"\":2}", "duplicate key"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(everything_else_is_refused_with_its_reason)
{
    struct nsp_error err = NSP_ERROR_INIT;
    int result = nsp_json_check(refused[_i].text, strlen(refused[_i].text), &err);
    if (!refused[_i].reason) {
        ck_assert_int_eq(result, 0);
        return;
    }
    ck_assert_msg(result == -1, "%s", refused[_i].text);
    ck_assert_int_eq(err.code, NSP_E_PARSE);
    ck_assert_msg(strstr(err.msg, refused[_i].reason), "%s: %s", refused[_i].text, err.msg);
}
END_TEST

START_TEST(a_nul_byte_is_refused)
{
    ck_assert_int_eq(nsp_json_check("{}\0", 3, NULL), -1);
    ck_assert_int_eq(nsp_json_check("{\"a\0\":1}", 8, NULL), -1);
}
END_TEST

/* {"a":[[[...]]]} with so many levels in all. */
static size_t nested(char *target, unsigned levels)
{
    char *at = target;
    memcpy(at, "{\"a\":", 5);
    at += 5;
    for (unsigned i = 1; i < levels; i++)
        *at++ = '[';
    if (levels == 1)
        *at++ = '0';
    for (unsigned i = 1; i < levels; i++)
        *at++ = ']';
    *at++ = '}';
    return (size_t)(at - target);
}

START_TEST(depth_is_bounded)
{
    char text[256];
    struct nsp_error err = NSP_ERROR_INIT;
    size_t length = nested(text, NSP_LIMIT_JSON_DEPTH);
    ck_assert_int_eq(nsp_json_check(text, length, NULL), 0);
    length = nested(text, NSP_LIMIT_JSON_DEPTH + 1);
    ck_assert_int_eq(nsp_json_check(text, length, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "json_depth");
}
END_TEST

START_TEST(values_are_bounded)
{
    enum { VALUES = NSP_LIMIT_JSON_NODES };
    char *text = malloc(2 * VALUES + 16);
    struct nsp_error err = NSP_ERROR_INIT;
    /* The object and the array are two of them. */
    for (int extra = 0; extra <= 1; extra++) {
        size_t length = 0;
        memcpy(text, "{\"a\":[", 6);
        length = 6;
        for (int i = 0; i < VALUES - 2 + extra; i++) {
            text[length++] = '0';
            text[length++] = ',';
        }
        memcpy(text + length - 1, "]}", 2);
        length++;
        ck_assert_int_eq(nsp_json_check(text, length, &err), extra ? -1 : 0);
    }
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "json_nodes");
    free(text);
}
END_TEST

START_TEST(the_size_is_bounded)
{
    char *text = malloc(NSP_LIMIT_JSON_MESSAGE + 1);
    struct nsp_error err = NSP_ERROR_INIT;
    memset(text, ' ', NSP_LIMIT_JSON_MESSAGE + 1);
    memcpy(text, "{}", 2);
    ck_assert_int_eq(nsp_json_check(text, NSP_LIMIT_JSON_MESSAGE, NULL), 0);
    ck_assert_int_eq(nsp_json_check(text, NSP_LIMIT_JSON_MESSAGE + 1, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "json_message");
    free(text);
}
END_TEST

/* An object of so many keys k0, k1, ...; the last one repeats the one given, unless negative. */
static size_t many_keys(char *target, int keys, int repeated)
{
    size_t length = 0;
    target[length++] = '{';
    for (int i = 0; i < keys; i++) {
        int name = i == keys - 1 && repeated >= 0 ? repeated : i;
        length += (size_t)snprintf(target + length, 64, "\"k%d\":{\"k1\":0},", name);
    }
    target[length - 1] = '}';
    return length;
}

START_TEST(a_duplicate_is_found_among_few_and_many_keys)
{
    static const int counts[] = {2, 16, 17, 127, 128, 129, 600, 20000};
    char *text = malloc(1 << 20);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int keys = counts[i];
        struct nsp_error err = NSP_ERROR_INIT;
        size_t length = many_keys(text, keys, -1);
        ck_assert_int_eq(nsp_json_check(text, length, NULL), 0);
        for (int repeated = 0; repeated < keys - 1; repeated += keys / 2) {
            length = many_keys(text, keys, repeated);
            ck_assert_int_eq(nsp_json_check(text, length, &err), -1);
            ck_assert_int_eq(err.code, NSP_E_PARSE);
            ck_assert_ptr_nonnull(strstr(err.msg, "duplicate key"));
        }
    }
    free(text);
}
END_TEST

START_TEST(keys_of_the_outer_object_survive_inner_ones)
{
    char text[8192];
    size_t length = 0;
    length += (size_t)snprintf(text, sizeof text, "{\"a\":{");
    for (int i = 0; i < 200; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "\"k%d\":0%s", i,
                                   i < 199 ? "," : "},\"b\":1,");
    size_t open = length;
    length += (size_t)snprintf(text + length, sizeof text - length, "\"k5\":1}");
    ck_assert_int_eq(nsp_json_check(text, length, NULL), 0);
    length = open + (size_t)snprintf(text + open, sizeof text - open, "\"a\":1}");
    ck_assert_int_eq(nsp_json_check(text, length, NULL), -1);
}
END_TEST

START_TEST(the_place_of_a_fault_comes_apart_from_its_reason)
{
    static const struct {
        const char *text, *reason;
        size_t offset;
    } faults[] = {
        {"{\"a\":1", "a comma or } is missing", 6},
        {"{\"a\":1,\n \"a\":2}", "duplicate key", 10},
        {"", "the message is not an object", 0},
        {"{\"a\": nope}", "unknown word", 6},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct nsp_error err = NSP_ERROR_INIT;
        size_t offset = SIZE_MAX;
        const char *text = faults[i].text;
        ck_assert_int_eq(nsp_json_check_place(text, strlen(text), &offset, &err), -1);
        ck_assert_int_eq(err.code, NSP_E_PARSE);
        ck_assert_str_eq(err.msg, faults[i].reason);
        ck_assert_uint_eq(offset, faults[i].offset);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("json_check");
    TCase *tests = tcase_create("json_check");
    tcase_add_loop_test(tests, well_formed_messages_are_accepted, 0, ACCEPTED);
    tcase_add_loop_test(tests, every_prefix_of_a_message_is_refused, 0, ACCEPTED);
    tcase_add_loop_test(tests, everything_else_is_refused_with_its_reason, 0, REFUSED);
    tcase_add_test(tests, a_nul_byte_is_refused);
    tcase_add_test(tests, depth_is_bounded);
    tcase_add_test(tests, values_are_bounded);
    tcase_add_test(tests, the_size_is_bounded);
    tcase_add_test(tests, a_duplicate_is_found_among_few_and_many_keys);
    tcase_add_test(tests, keys_of_the_outer_object_survive_inner_ones);
    tcase_add_test(tests, the_place_of_a_fault_comes_apart_from_its_reason);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
