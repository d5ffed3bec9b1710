#include "client/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/writer.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

static struct nsp_json *json;

static void teardown(void)
{
    nsp_json_free(json);
    json = NULL;
}

static void parse(const char *text)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_json_parse(text, strlen(text), &json, &err) == 0, "%s", err.msg);
}

START_TEST(what_the_strict_check_refuses_is_refused)
{
    static const char *const texts[] = {"[1]", "{\"a\":1,\"a\":2}", "{", "{\"a\":\"\\u0000\"}", ""};
    struct nsp_error err = NSP_ERROR_INIT;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ck_assert_int_eq(nsp_json_parse(texts[i], strlen(texts[i]), &json, &err), -1);
        ck_assert_int_eq(err.code, NSP_E_PARSE);
        ck_assert_ptr_null(json);
    }
}
END_TEST

START_TEST(getters_take_what_fits_and_otherwise_the_fallback)
{
    parse("{\"s\":\"x\",\"n\":12,\"d\":\"18446744073709551615\",\"m\":-3,\"e\":\"-9\",\"f\":1.5,"
          "\"t\":true,\"z\":null,\"big\":1e300,\"bad\":\"12x\"}");
    ck_assert_str_eq(nsp_json_text(json, "s", "f"), "x");
    ck_assert_str_eq(nsp_json_text(json, "n", "f"), "f");
    ck_assert_str_eq(nsp_json_text(json, "S", "f"), "f");
    ck_assert_uint_eq(nsp_json_u64(json, "n", 1), 12);
    ck_assert_uint_eq(nsp_json_u64(json, "d", 1), UINT64_MAX);
    ck_assert_uint_eq(nsp_json_u64(json, "m", 1), 1);
    ck_assert_uint_eq(nsp_json_u64(json, "f", 1), 1);
    ck_assert_uint_eq(nsp_json_u64(json, "big", 1), 1);
    ck_assert_uint_eq(nsp_json_u64(json, "bad", 1), 1);
    ck_assert_int_eq(nsp_json_int(json, "m", 1), -3);
    ck_assert_int_eq(nsp_json_int(json, "e", 1), -9);
    ck_assert_int_eq(nsp_json_int(json, "d", 1), 1);
    ck_assert_int_eq(nsp_json_int(json, "big", 1), 1);
    ck_assert(nsp_json_bool(json, "t", false));
    ck_assert(nsp_json_bool(json, "z", true));
    ck_assert_ptr_null(nsp_json_get(NULL, "x"));
    ck_assert_ptr_null(nsp_json_first(NULL));
}
END_TEST

START_TEST(bytes_come_as_text_or_base64)
{
    struct nsp_buf bytes;
    struct nsp_error err = NSP_ERROR_INIT;
    nsp_buf_init(&bytes, 16);
    parse("{\"a\":\"text\",\"b\":{\"b64\":\"/"
          "w==\"},\"c\":{\"b64\":\"\"},\"d\":3,\"e\":{\"b64\":\"?\"},"
          "\"f\":\"0123456789abcdef\"}");
    ck_assert_int_eq(nsp_json_bytes(nsp_json_get(json, "a"), &bytes, NULL), 0);
    ck_assert_int_eq(nsp_json_bytes(nsp_json_get(json, "b"), &bytes, NULL), 0);
    ck_assert_int_eq(nsp_json_bytes(nsp_json_get(json, "c"), &bytes, NULL), 0);
    ck_assert_uint_eq(nsp_buf_length(&bytes), 5);
    ck_assert_mem_eq(nsp_buf_bytes(&bytes), "text\xff", 5);
    ck_assert_int_eq(nsp_json_bytes(nsp_json_get(json, "d"), &bytes, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_int_eq(nsp_json_bytes(nsp_json_get(json, "e"), &bytes, &err), -1);
    ck_assert_int_eq(nsp_json_bytes(nsp_json_get(json, "f"), &bytes, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    nsp_buf_done(&bytes);
}
END_TEST

START_TEST(an_error_object_becomes_a_value)
{
    struct nsp_error err = NSP_ERROR_INIT;
    parse("{\"code\":-32016,\"message\":\"m\",\"data\":{\"name\":\"SYSTEM\",\"errno\":\"ENOSPC\","
          "\"op\":\"write\",\"object\":\"o\"}}");
    nsp_json_error(json, &err);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(err.sys_errno, ENOSPC);
    ck_assert_str_eq(err.op, "write");
    ck_assert_str_eq(err.object, "o");
    ck_assert_str_eq(err.msg, "m");
    nsp_json_error(NULL, &err);
    ck_assert_int_eq(err.code, NSP_E_INTERNAL);
}
END_TEST

/* ---- writer ------------------------------------------------------------------------------- */

START_TEST(the_writer_makes_json_that_is_acceptable)
{
    struct nsp_writer writer;
    char *text = NULL;
    struct nsp_error error = {.code = NSP_E_STATE, .msg = "m"};
    nsp_writer_init(&writer, 4096);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "quote\"", "line\n\x01\\");
    nsp_writer_open(&writer, "list", '[');
    nsp_writer_bytes(&writer, NULL, "a\0b", 3);
    nsp_writer_bytes(&writer, NULL, "", 0);
    nsp_writer_close(&writer, ']');
    nsp_writer_u64(&writer, "max", UINT64_MAX);
    nsp_writer_int(&writer, "min", INT64_MIN);
    nsp_writer_bool(&writer, "yes", true);
    nsp_writer_null(&writer, "none");
    nsp_writer_open(&writer, "empty", '{');
    nsp_writer_close(&writer, '}');
    nsp_writer_error(&writer, "error", &error);
    nsp_writer_close(&writer, '}');
    ck_assert_int_eq(nsp_writer_take(&writer, &text, NULL), 0);
    ck_assert_ptr_nonnull(
        strstr(text, "\"max\":\"18446744073709551615\",\"min\":-9223372036854775808"));
    ck_assert_ptr_nonnull(strstr(text, "\"list\":[{\"b64\":\"YQBi\"},\"\"]"));
    ck_assert_ptr_nonnull(strstr(text, "\"none\":null,\"empty\":{},\"error\":{\"code\":"));
    parse(text);
    ck_assert_str_eq(nsp_json_text(json, "quote\"", ""), "line\n\x01\\");
    free(text);
}
END_TEST

START_TEST(the_writer_fails_at_its_ceiling_once_and_for_all)
{
    struct nsp_writer writer;
    struct nsp_error err = NSP_ERROR_INIT;
    char *text = NULL;
    nsp_writer_init(&writer, 16);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "a", "0123456789abcdef");
    nsp_writer_u64(&writer, "b", 1);
    nsp_writer_close(&writer, '}');
    ck_assert_int_eq(nsp_writer_take(&writer, &text, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_ptr_null(text);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/json");
    TCase *reading = tcase_create("read");
    tcase_add_checked_fixture(reading, NULL, teardown);
    tcase_add_test(reading, what_the_strict_check_refuses_is_refused);
    tcase_add_test(reading, getters_take_what_fits_and_otherwise_the_fallback);
    tcase_add_test(reading, bytes_come_as_text_or_base64);
    tcase_add_test(reading, an_error_object_becomes_a_value);
    suite_add_tcase(suite, reading);
    TCase *writing = tcase_create("write");
    tcase_add_checked_fixture(writing, NULL, teardown);
    tcase_add_test(writing, the_writer_makes_json_that_is_acceptable);
    tcase_add_test(writing, the_writer_fails_at_its_ceiling_once_and_for_all);
    suite_add_tcase(suite, writing);
    return suite;
}

UNIT_MAIN(suite)
