#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rpc/json.h"
#include "agent/rpc/params.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

struct everything {
    bool flag;
    int64_t number, small;
    const char *text, *path, *label;
    struct param_bytes bytes;
    int choice, signal;
    struct param_strings arguments, variables;
    struct param_limits limits;
};

static const char *const choices[] = {"null", "pipe", NULL};

#define FIELD(name_, type_, ...)                                                                   \
    {                                                                                              \
        .name = #name_, .type = type_, .offset = offsetof(struct everything, name_), __VA_ARGS__   \
    }
static const struct param_field fields[] = {
    FIELD(flag, PARAM_BOOL, .fallback = 1),
    FIELD(number, PARAM_INT, .min = INT64_MIN, .fallback = -77),
    FIELD(small, PARAM_INT, .min = 1, .max = 9, .fallback = -1),
    FIELD(text, PARAM_STRING, .min = 1, .max = 5),
    FIELD(path, PARAM_PATH, .min = 1),
    FIELD(label, PARAM_LABEL, ),
    FIELD(bytes, PARAM_BYTES, .max = 1000),
    FIELD(choice, PARAM_ENUM, .choices = choices, .fallback = 1),
    FIELD(signal, PARAM_SIGNAL, .min = 1, .fallback = SIGTERM),
    FIELD(arguments, PARAM_ARGUMENTS, .min = 1),
    FIELD(variables, PARAM_VARIABLES, ),
    FIELD(limits, PARAM_LIMITS, ),
};
enum { FIELDS = sizeof fields / sizeof *fields };

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
    return params_decode(fields, FIELDS, sizeof(struct everything), document, json_root(document),
                         &params, &err);
}

static const struct everything *accept(const char *text)
{
    int result = decode(text);
    ck_assert_msg(result == 0, "%s: %s", text, err.msg);
    return params_struct(params);
}

static void refuse(const char *text, const char *field)
{
    ck_assert_msg(decode(text) == -1, "%s", text);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_msg(strcmp(err.object, field) == 0, "%s: object is %s", text, err.object);
    ck_assert_str_ne(err.msg, "");
    ck_assert_ptr_null(params);
}

START_TEST(absent_fields_have_their_fallback)
{
    const struct everything *got = accept("{}");
    ck_assert(got->flag);
    ck_assert_int_eq(got->number, -77);
    ck_assert_int_eq(got->small, -1);
    ck_assert_ptr_null(got->text);
    ck_assert_ptr_null(got->path);
    ck_assert_ptr_null(got->label);
    ck_assert_ptr_null(got->bytes.data);
    ck_assert_int_eq(got->choice, 1);
    ck_assert_int_eq(got->signal, SIGTERM);
    ck_assert_ptr_null(got->arguments.items);
    ck_assert_ptr_null(got->variables.items);
    ck_assert_uint_eq(got->limits.count, 0);
}
END_TEST

START_TEST(no_object_is_an_empty_one)
{
    ck_assert_int_eq(
        params_decode(fields, FIELDS, sizeof(struct everything), NULL, NULL, &params, &err), 0);
    ck_assert_int_eq(((const struct everything *)params_struct(params))->number, -77);
}
END_TEST

START_TEST(no_table_accepts_nothing)
{
    ck_assert_int_eq(params_decode(NULL, 0, 0, NULL, NULL, &params, &err), 0);
    params_free(params);
    params = NULL;
    ck_assert_int_eq(json_parse("{\"a\":1}", 7, &document, NULL), 0);
    ck_assert_int_eq(params_decode(NULL, 0, 0, document, json_root(document), &params, &err), -1);
    ck_assert_str_eq(err.object, "a");
}
END_TEST

START_TEST(booleans)
{
    ck_assert(!accept("{\"flag\":false}")->flag);
    refuse("{\"flag\":0}", "flag");
    refuse("{\"flag\":\"true\"}", "flag");
    refuse("{\"flag\":null}", "flag");
}
END_TEST

START_TEST(integers)
{
    ck_assert_int_eq(accept("{\"number\":-5}")->number, -5);
    ck_assert_int_eq(accept("{\"number\":\"9223372036854775807\"}")->number, INT64_MAX);
    ck_assert_int_eq(accept("{\"small\":9}")->small, 9);
    refuse("{\"number\":1.5}", "number");
    refuse("{\"number\":1e30}", "number");
    refuse("{\"number\":\"x\"}", "number");
    refuse("{\"number\":true}", "number");
    refuse("{\"number\":[1]}", "number");
    refuse("{\"small\":0}", "small");
    refuse("{\"small\":\"10\"}", "small");
    ck_assert_str_eq(err.msg, "small is 10, but must be 1 to 9");
}
END_TEST

START_TEST(strings)
{
    ck_assert_str_eq(accept("{\"text\":\"\\u00e9\"}")->text, "\xC3\xA9");
    refuse("{\"text\":\"\"}", "text");
    refuse("{\"text\":\"123456\"}", "text");
    refuse("{\"text\":{\"b64\":\"YQ==\"}}", "text");
    refuse("{\"text\":5}", "text");
    ck_assert_str_eq(err.msg, "text must be a string, not a number");
}
END_TEST

START_TEST(bytes_come_as_text_or_base64)
{
    const struct everything *got = accept("{\"bytes\":\"abc\"}");
    ck_assert_uint_eq(got->bytes.length, 3);
    ck_assert_str_eq(got->bytes.data, "abc");
    got = accept("{\"bytes\":{\"b64\":\"AP/+\"}}");
    ck_assert_uint_eq(got->bytes.length, 3);
    ck_assert_mem_eq(got->bytes.data, "\0\xFF\xFE\0", 4);
    got = accept("{\"bytes\":\"\"}");
    ck_assert_ptr_nonnull(got->bytes.data);
    ck_assert_uint_eq(got->bytes.length, 0);
    refuse("{\"bytes\":{\"b64\":\"AP/\"}}", "bytes");
    refuse("{\"bytes\":{\"b64\":5}}", "bytes");
    refuse("{\"bytes\":{\"b65\":\"\"}}", "bytes");
    refuse("{\"bytes\":{}}", "bytes");
    refuse("{\"bytes\":{\"b64\":\"\",\"x\":1}}", "bytes");
    refuse("{\"bytes\":[\"b64\"]}", "bytes");
}
END_TEST

START_TEST(a_length_counts_bytes_after_decoding)
{
    char text[2048], encoded[1401];
    memset(encoded, 'A', sizeof encoded - 1);
    encoded[sizeof encoded - 1] = '\0';
    snprintf(text, sizeof text, "{\"bytes\":{\"b64\":\"%.1332s\"}}", encoded);
    ck_assert_uint_eq(accept(text)->bytes.length, 999);
    snprintf(text, sizeof text, "{\"bytes\":{\"b64\":\"%.1336s\"}}", encoded);
    refuse(text, "bytes");
}
END_TEST

START_TEST(paths_hold_no_nul_and_are_bounded)
{
    char text[NSP_LIMIT_PATH + 64], path[NSP_LIMIT_PATH + 2];
    ck_assert_str_eq(accept("{\"path\":\"/a/b\"}")->path, "/a/b");
    ck_assert_str_eq(accept("{\"path\":{\"b64\":\"L/8=\"}}")->path, "/\xFF");
    refuse("{\"path\":{\"b64\":\"LwBh\"}}", "path");
    refuse("{\"path\":\"\"}", "path");
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    snprintf(text, sizeof text, "{\"path\":\"%s\"}", path);
    refuse(text, "path");
    path[sizeof path - 2] = '\0';
    snprintf(text, sizeof text, "{\"path\":\"%s\"}", path);
    ck_assert_uint_eq(strlen(accept(text)->path), NSP_LIMIT_PATH);
}
END_TEST

START_TEST(enumerations)
{
    ck_assert_int_eq(accept("{\"choice\":\"null\"}")->choice, 0);
    refuse("{\"choice\":\"Pipe\"}", "choice");
    ck_assert_str_eq(err.msg, "choice must be one of null pipe");
    refuse("{\"choice\":null}", "choice");
    refuse("{\"choice\":1}", "choice");
}
END_TEST

START_TEST(signals_come_by_name_or_number)
{
    ck_assert_int_eq(accept("{\"signal\":\"KILL\"}")->signal, SIGKILL);
    ck_assert_int_eq(accept("{\"signal\":\"SIGUSR1\"}")->signal, SIGUSR1);
    ck_assert_int_eq(accept("{\"signal\":\"RTMIN+1\"}")->signal, SIGRTMIN + 1);
    ck_assert_int_eq(accept("{\"signal\":\"9\"}")->signal, 9);
    ck_assert_int_eq(accept("{\"signal\":64}")->signal, 64);
    refuse("{\"signal\":\"NOPE\"}", "signal");
    refuse("{\"signal\":0}", "signal");
    refuse("{\"signal\":65}", "signal");
    refuse("{\"signal\":1.5}", "signal");
    refuse("{\"signal\":-1}", "signal");
    refuse("{\"signal\":true}", "signal");
}
END_TEST

START_TEST(labels_are_the_json_text_of_an_id)
{
    ck_assert_str_eq(accept("{\"label\":\"a\\u0062\\\"\"}")->label, "\"ab\\\"\"");
    ck_assert_str_eq(accept("{\"label\": 12345678901234567890 }")->label, "12345678901234567890");
    ck_assert_str_eq(accept("{\"label\":-1.50e3}")->label, "-1.50e3");
    refuse("{\"label\":null}", "label");
    refuse("{\"label\":[1]}", "label");
    char text[512], label[NSP_LIMIT_REQUEST_ID];
    memset(label, 'x', sizeof label);
    snprintf(text, sizeof text, "{\"label\":\"%.*s\"}", NSP_LIMIT_REQUEST_ID - 2, label);
    ck_assert_uint_eq(strlen(accept(text)->label), NSP_LIMIT_REQUEST_ID);
    snprintf(text, sizeof text, "{\"label\":\"%.*s\"}", NSP_LIMIT_REQUEST_ID - 1, label);
    refuse(text, "label");
}
END_TEST

START_TEST(arguments_are_a_list_of_bytes)
{
    const struct everything *got =
        accept("{\"arguments\":[\"ls\",\"\",{\"b64\":\"/w==\"},\"\xC3\xA9\"]}");
    ck_assert_uint_eq(got->arguments.count, 4);
    ck_assert_str_eq(got->arguments.items[0], "ls");
    ck_assert_str_eq(got->arguments.items[1], "");
    ck_assert_str_eq(got->arguments.items[2], "\xFF");
    ck_assert_str_eq(got->arguments.items[3], "\xC3\xA9");
    ck_assert_ptr_null(got->arguments.items[4]);
    refuse("{\"arguments\":[]}", "arguments");
    refuse("{\"arguments\":\"ls\"}", "arguments");
    refuse("{\"arguments\":{\"0\":\"ls\"}}", "arguments");
    refuse("{\"arguments\":[\"ls\",1]}", "arguments[1]");
    refuse("{\"arguments\":[\"ls\",{\"b64\":\"AAAA\"}]}", "arguments[1]");
}
END_TEST

START_TEST(more_arguments_than_the_limit_are_refused)
{
    enum { SIZE = 4 * NSP_LIMIT_ARGUMENTS + 64 };
    char *text = malloc(SIZE);
    for (int extra = 0; extra <= 1; extra++) {
        int length = snprintf(text, SIZE, "{\"arguments\":[\"\"");
        for (int i = 1; i < NSP_LIMIT_ARGUMENTS + extra; i++)
            length += snprintf(text + length, (size_t)(SIZE - length), ",\"\"");
        snprintf(text + length, (size_t)(SIZE - length), "]}");
        if (extra)
            refuse(text, "arguments");
        else
            ck_assert_uint_eq(accept(text)->arguments.count, NSP_LIMIT_ARGUMENTS);
    }
    free(text);
}
END_TEST

START_TEST(variables_are_joined)
{
    const struct everything *got =
        accept("{\"variables\":{\"A\":\"1=2\",\"B\":\"\",\"C D\":{\"b64\":\"/w==\"}}}");
    ck_assert_uint_eq(got->variables.count, 3);
    ck_assert_str_eq(got->variables.items[0], "A=1=2");
    ck_assert_str_eq(got->variables.items[1], "B=");
    ck_assert_str_eq(got->variables.items[2], "C D=\xFF");
    ck_assert_ptr_null(got->variables.items[3]);
    got = accept("{\"variables\":{}}");
    ck_assert_uint_eq(got->variables.count, 0);
    ck_assert_ptr_nonnull(got->variables.items);
    refuse("{\"variables\":{\"\":\"x\"}}", "variables");
    refuse("{\"variables\":{\"A=B\":\"x\"}}", "variables");
    refuse("{\"variables\":{\"A\":null}}", "variables.A");
    refuse("{\"variables\":{\"A\":{\"b64\":\"AAAA\"}}}", "variables.A");
    refuse("{\"variables\":[\"A=1\"]}", "variables");
}
END_TEST

START_TEST(limits_are_pairs)
{
    const struct everything *got =
        accept("{\"limits\":{\"nofile\":{\"soft\":1024,\"hard\":\"4096\"},"
               "\"core\":{\"hard\":\"unlimited\",\"soft\":0}}}");
    ck_assert_uint_eq(got->limits.count, 2);
    ck_assert_str_eq(got->limits.items[0].name, "nofile");
    ck_assert_uint_eq(got->limits.items[0].soft, 1024);
    ck_assert_uint_eq(got->limits.items[0].hard, 4096);
    ck_assert_uint_eq(got->limits.items[1].soft, 0);
    ck_assert_uint_eq(got->limits.items[1].hard, UINT64_MAX);
}
END_TEST

static const char *const bad_limits[] = {
    "[]",
    "{\"a\":1}",
    "{\"a\":{}}",
    "{\"a\":{\"soft\":1}}",
    "{\"a\":{\"soft\":1,\"max\":2}}",
    "{\"a\":{\"soft\":1,\"hard\":2,\"max\":3}}",
    "{\"a\":{\"soft\":-1,\"hard\":2}}",
    "{\"a\":{\"soft\":3,\"hard\":2}}",
    "{\"a\":{\"soft\":\"unlimited\",\"hard\":2}}",
    "{\"a\":{\"soft\":\"infinite\",\"hard\":2}}",
    "{\"a\":{\"soft\":1.5,\"hard\":2}}",
    "{\"a\":{\"soft\":null,\"hard\":2}}",
};
enum { BAD_LIMITS = sizeof bad_limits / sizeof *bad_limits };

START_TEST(other_limits_are_refused)
{
    char text[128];
    snprintf(text, sizeof text, "{\"limits\":%s}", bad_limits[_i]);
    refuse(text, _i == 0 ? "limits" : "limits.a");
}
END_TEST

START_TEST(limits_have_names)
{
    refuse("{\"limits\":{\"\":{\"soft\":0,\"hard\":0}}}", "limits");
    ck_assert_str_eq(err.msg, "limits has a name that is empty");
}
END_TEST

START_TEST(unknown_names_are_refused_by_name)
{
    refuse("{\"flag\":true,\"nope\":1}", "nope");
    ck_assert_str_eq(err.msg, "unknown parameter nope");
    refuse("{\"Flag\":true}", "Flag");
    refuse("{\"\":1}", "");
}
END_TEST

START_TEST(a_required_field_must_be_there)
{
    struct {
        int64_t a, b;
    } * got;
    const struct param_field needed[] = {
        {.name = "a", .type = PARAM_INT, .offset = 0},
        {.name = "b", .type = PARAM_INT, .offset = 8, .flags = PARAM_REQUIRED},
    };
    ck_assert_int_eq(json_parse("{\"a\":1}", 7, &document, NULL), 0);
    ck_assert_int_eq(
        params_decode(needed, 2, sizeof *got, document, json_root(document), &params, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, "b");
    ck_assert_str_eq(err.msg, "parameter b is missing");
    ck_assert_int_eq(params_decode(needed, 2, sizeof *got, NULL, NULL, &params, &err), -1);
    ck_assert_str_eq(err.object, "b");
}
END_TEST

START_TEST(everything_at_once_fits_its_block)
{
    const struct everything *got = accept(
        "{\"limits\":{\"a\":{\"soft\":1,\"hard\":2}},\"arguments\":[\"a\",\"b\",\"c\"],\"text\":"
        "\"xyz\",\"variables\":{\"N\":\"v\"},\"label\":7,\"bytes\":{\"b64\":\"YWJj\"},\"path\":"
        "\"/\",\"flag\":false,\"choice\":\"null\",\"signal\":1,\"number\":1,\"small\":2}");
    ck_assert_str_eq(got->limits.items[0].name, "a");
    ck_assert_str_eq(got->arguments.items[2], "c");
    ck_assert_str_eq(got->text, "xyz");
    ck_assert_str_eq(got->variables.items[0], "N=v");
    ck_assert_str_eq(got->label, "7");
    ck_assert_str_eq(got->bytes.data, "abc");
    ck_assert_str_eq(got->path, "/");
    ck_assert_int_eq(got->small, 2);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("params");
    TCase *tests = tcase_create("params");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, absent_fields_have_their_fallback);
    tcase_add_test(tests, no_object_is_an_empty_one);
    tcase_add_test(tests, no_table_accepts_nothing);
    tcase_add_test(tests, booleans);
    tcase_add_test(tests, integers);
    tcase_add_test(tests, strings);
    tcase_add_test(tests, bytes_come_as_text_or_base64);
    tcase_add_test(tests, a_length_counts_bytes_after_decoding);
    tcase_add_test(tests, paths_hold_no_nul_and_are_bounded);
    tcase_add_test(tests, enumerations);
    tcase_add_test(tests, signals_come_by_name_or_number);
    tcase_add_test(tests, labels_are_the_json_text_of_an_id);
    tcase_add_test(tests, arguments_are_a_list_of_bytes);
    tcase_add_test(tests, more_arguments_than_the_limit_are_refused);
    tcase_add_test(tests, variables_are_joined);
    tcase_add_test(tests, limits_are_pairs);
    tcase_add_loop_test(tests, other_limits_are_refused, 0, BAD_LIMITS);
    tcase_add_test(tests, limits_have_names);
    tcase_add_test(tests, unknown_names_are_refused_by_name);
    tcase_add_test(tests, a_required_field_must_be_there);
    tcase_add_test(tests, everything_at_once_fits_its_block);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
