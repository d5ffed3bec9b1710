#include <stdio.h>
#include <string.h>

#include "agent/rpc/dispatch.h"
#include "protocol/limits.h"
#include "tests/support/fake_stream.c"
#include "tests/support/unit.h"

static struct dispatch *dispatch;
static struct stream *stream;
static unsigned handled;

struct add_params {
    int64_t a, b;
};

static const struct param_field add_fields[] = {
    {.name = "a",
     .type = PARAM_INT,
     .offset = offsetof(struct add_params, a),
     .flags = PARAM_REQUIRED,
     .min = -1000,
     .max = 1000},
    {.name = "b", .type = PARAM_INT, .offset = offsetof(struct add_params, b), .fallback = 1},
};

static void on_add(void *arg, struct call *call, const void *params)
{
    const struct add_params *add = params;
    struct reply *reply = reply_new();
    ck_assert_ptr_eq(arg, &handled);
    handled++;
    reply_int(reply, "sum", add->a + add->b);
    call_reply(call, reply);
}

static void on_done(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    handled++;
    call_reply(call, reply_new());
}

static const struct method methods[] = {
    {.name = "test.done", .handler = on_done},
    {.name = "add",
     .fields = add_fields,
     .field_count = 2,
     .params_size = sizeof(struct add_params),
     .handler = on_add},
    {.name = "greet", .flags = METHOD_BEFORE_HELLO, .handler = on_done},
    {.name = "change", .flags = METHOD_CHANGES, .handler = on_done},
    {.name = "text", .flags = METHOD_TEXT_ONLY, .handler = on_done},
};
enum { METHODS = sizeof methods / sizeof *methods };

static void setup(void)
{
    handled = 0;
    ck_assert_int_eq(dispatch_new(&dispatch, NULL), 0);
    ck_assert_int_eq(dispatch_add(dispatch, methods, METHODS, &handled, NULL), 0);
    stream = fake_stream_new(false);
}

static void teardown(void)
{
    fake_stream_free(stream);
    dispatch_free(dispatch);
}

static void renew(bool is_text)
{
    fake_stream_free(stream);
    stream = fake_stream_new(is_text);
}

static void request(const char *text)
{
    dispatch_request(dispatch, stream, text, strlen(text));
}

static void assert_error(const char *name, const char *object)
{
    char member[128];
    snprintf(member, sizeof member, "\"object\":\"%s\"", object);
    ck_assert_msg(fake_stream_failed_as(stream, name), "%s",
                  stream->response ? stream->response : "no answer");
    ck_assert_msg(!object[0] || fake_stream_said(stream, member), "%s", stream->response);
}

static void assert_result(const char *text)
{
    ck_assert_uint_eq(stream->responses, 1);
    ck_assert(!stream->is_error);
    ck_assert_str_eq(stream->response, text);
}

START_TEST(a_request_reaches_its_handler)
{
    request("{\"method\":\"add\",\"params\":{\"a\":2,\"b\":3}}");
    assert_result("{\"sum\":5}");
    ck_assert_uint_eq(handled, 1);
    ck_assert_ptr_null(stream->label);
    ck_assert_uint_eq(stream->deadline_ms, 0);
}
END_TEST

START_TEST(the_whole_envelope_is_accepted)
{
    request("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"deadline_ms\":250,\"method\":\"add\","
            "\"params\":{\"a\":2}}");
    assert_result("{\"sum\":3}");
    ck_assert_uint_eq(stream->deadline_ms, 250);
    ck_assert_ptr_null(stream->label);
}
END_TEST

START_TEST(text_mode_keeps_the_id)
{
    renew(true);
    request("{\"params\":{\"a\":2},\"id\":\"\\u0041\",\"method\":\"add\"}");
    assert_result("{\"sum\":3}");
    ck_assert_str_eq(stream->label, "\"A\"");
}
END_TEST

START_TEST(text_mode_needs_an_id)
{
    renew(true);
    request("{\"method\":\"add\",\"params\":{\"a\":2}}");
    assert_error("INVALID_REQUEST", "id");
    ck_assert_uint_eq(handled, 0);
}
END_TEST

START_TEST(errors_of_text_mode_carry_the_id)
{
    renew(true);
    request("{\"nope\":1,\"id\":12}");
    assert_error("INVALID_REQUEST", "nope");
    ck_assert_str_eq(stream->label, "12");
}
END_TEST

static const struct {
    const char *text, *error, *object;
} refused[] = {
    {"", "PARSE", ""},
    {"{", "PARSE", ""},
    {"[]", "PARSE", ""},
    {"{\"method\":\"add\",\"method\":\"add\"}", "PARSE", ""},
    {"{}", "INVALID_REQUEST", "method"},
    {"{\"method\":1}", "INVALID_REQUEST", "method"},
    {"{\"method\":null}", "INVALID_REQUEST", "method"},
    {"{\"method\":\"add\",\"jsonrpc\":\"1.0\"}", "INVALID_REQUEST", "jsonrpc"},
    {"{\"method\":\"add\",\"jsonrpc\":2.0}", "INVALID_REQUEST", "jsonrpc"},
    {"{\"method\":\"add\",\"Params\":{}}", "INVALID_REQUEST", "Params"},
    {"{\"method\":\"add\",\"id\":null}", "INVALID_REQUEST", "id"},
    {"{\"method\":\"add\",\"id\":[1]}", "INVALID_REQUEST", "id"},
    {"{\"method\":\"add\",\"deadline_ms\":0}", "INVALID_REQUEST", "deadline_ms"},
    {"{\"method\":\"add\",\"deadline_ms\":-1}", "INVALID_REQUEST", "deadline_ms"},
    {"{\"method\":\"add\",\"deadline_ms\":1.5}", "INVALID_REQUEST", "deadline_ms"},
    {"{\"method\":\"add\",\"deadline_ms\":\"9223372036854775807\"}", "INVALID_REQUEST",
     "deadline_ms"},
    {"{\"method\":\"add\",\"params\":[1,2]}", "INVALID_PARAMS", "params"},
    {"{\"method\":\"add\",\"params\":null}", "INVALID_PARAMS", "params"},
    {"{\"method\":\"add\"}", "INVALID_PARAMS", "a"},
    {"{\"method\":\"add\",\"params\":{\"a\":1001}}", "INVALID_PARAMS", "a"},
    {"{\"method\":\"add\",\"params\":{\"a\":1,\"c\":1}}", "INVALID_PARAMS", "c"},
    {"{\"method\":\"greet\",\"params\":{\"c\":1}}", "INVALID_PARAMS", "c"},
    {"{\"method\":\"nope\"}", "METHOD_NOT_FOUND", "nope"},
    {"{\"method\":\"Add\"}", "METHOD_NOT_FOUND", "Add"},
    {"{\"method\":\"\"}", "METHOD_NOT_FOUND", ""},
    {"{\"method\":\"text\"}", "UNSUPPORTED", "text"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(a_bad_request_is_a_typed_error_that_names_what_is_wrong)
{
    request(refused[_i].text);
    assert_error(refused[_i].error, refused[_i].object);
    ck_assert_uint_eq(handled, 0);
}
END_TEST

START_TEST(a_long_id_is_refused)
{
    char text[1024], id[NSP_LIMIT_REQUEST_ID + 1];
    memset(id, '1', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    renew(true);
    snprintf(text, sizeof text, "{\"id\":\"%s\",\"method\":\"add\"}", id);
    request(text);
    assert_error("INVALID_REQUEST", "id");
    ck_assert_ptr_null(stream->label);
}
END_TEST

START_TEST(a_label_or_deadline_that_cannot_be_kept_fails_the_request)
{
    renew(true);
    stream->refuse_label = true;
    request("{\"id\":1,\"method\":\"test.done\"}");
    assert_error("EXHAUSTED", "");
    renew(true);
    stream->refuse_deadline = true;
    request("{\"id\":1,\"method\":\"test.done\",\"deadline_ms\":5}");
    assert_error("EXHAUSTED", "");
    ck_assert_uint_eq(handled, 0);
}
END_TEST

START_TEST(hello_comes_first_in_binary_mode)
{
    stream->greeted = false;
    request("{\"method\":\"add\",\"params\":{\"a\":1}}");
    assert_error("HELLO_REQUIRED", "add");
}
END_TEST

START_TEST(hello_comes_first_even_for_what_does_not_exist)
{
    stream->greeted = false;
    request("{\"method\":\"nope\"}");
    assert_error("HELLO_REQUIRED", "nope");
}
END_TEST

START_TEST(hello_itself_needs_none)
{
    stream->greeted = false;
    request("{\"method\":\"greet\"}");
    assert_result("{}");
}
END_TEST

START_TEST(text_mode_needs_hello_where_it_needs_a_token)
{
    renew(true);
    stream->needs_token = true;
    request("{\"id\":1,\"method\":\"add\",\"params\":{\"a\":1}}");
    assert_error("HELLO_REQUIRED", "add");
    renew(true);
    request("{\"id\":1,\"method\":\"add\",\"params\":{\"a\":1}}");
    assert_result("{\"sum\":2}");
}
END_TEST

START_TEST(changes_are_refused_while_the_gate_is_closed)
{
    dispatch_set_gate(dispatch, DISPATCH_FENCED);
    request("{\"method\":\"change\"}");
    assert_error("FENCED", "change");
    renew(false);
    dispatch_set_gate(dispatch, DISPATCH_SHUTTING_DOWN);
    request("{\"method\":\"change\"}");
    assert_error("SHUTTING_DOWN", "change");
    renew(false);
    request("{\"method\":\"add\",\"params\":{\"a\":1}}");
    assert_result("{\"sum\":2}");
    renew(false);
    dispatch_set_gate(dispatch, DISPATCH_OPEN);
    request("{\"method\":\"change\"}");
    assert_result("{}");
}
END_TEST

START_TEST(text_mode_may_call_its_own_methods)
{
    renew(true);
    request("{\"id\":1,\"method\":\"text\"}");
    assert_result("{}");
}
END_TEST

START_TEST(methods_come_sorted_by_name)
{
    size_t count = 0;
    while (dispatch_method(dispatch, count))
        count++;
    ck_assert_uint_eq(count, METHODS);
    for (size_t i = 1; i < count; i++)
        ck_assert_int_lt(
            strcmp(dispatch_method(dispatch, i - 1)->name, dispatch_method(dispatch, i)->name), 0);
}
END_TEST

START_TEST(a_name_that_is_taken_is_not_added)
{
    static const struct method more[] = {{.name = "new", .handler = on_done},
                                         {.name = "add", .handler = on_done}};
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(dispatch_add(dispatch, more, 2, NULL, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_ALREADY_EXISTS);
    ck_assert_str_eq(err.object, "add");
    request("{\"method\":\"new\"}");
    assert_error("METHOD_NOT_FOUND", "new");
}
END_TEST

START_TEST(a_table_with_too_many_fields_is_not_added)
{
    const struct method wide = {.name = "wide", .field_count = PARAM_FIELDS_MAX + 1};
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(dispatch_add(dispatch, &wide, 1, NULL, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INTERNAL);
    ck_assert_str_eq(err.object, "wide");
    const struct param_table inner = {.count = PARAM_FIELDS_MAX + 1};
    const struct param_field outer = {.name = "inner", .type = PARAM_OBJECT, .table = &inner};
    const struct method deep = {.name = "deep", .fields = &outer, .field_count = 1};
    ck_assert_int_eq(dispatch_add(dispatch, &deep, 1, NULL, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INTERNAL);
    ck_assert_str_eq(err.object, "deep");
}
END_TEST

START_TEST(a_dispatcher_without_methods_finds_none)
{
    dispatch_free(dispatch);
    ck_assert_int_eq(dispatch_new(&dispatch, NULL), 0);
    request("{\"method\":\"add\"}");
    assert_error("METHOD_NOT_FOUND", "add");
    ck_assert_ptr_null(dispatch_method(dispatch, 0));
    dispatch_free(NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("dispatch");
    TCase *requests = tcase_create("requests");
    tcase_add_checked_fixture(requests, setup, teardown);
    tcase_add_test(requests, a_request_reaches_its_handler);
    tcase_add_test(requests, the_whole_envelope_is_accepted);
    tcase_add_test(requests, text_mode_keeps_the_id);
    tcase_add_test(requests, text_mode_needs_an_id);
    tcase_add_test(requests, errors_of_text_mode_carry_the_id);
    tcase_add_loop_test(requests, a_bad_request_is_a_typed_error_that_names_what_is_wrong, 0,
                        REFUSED);
    tcase_add_test(requests, a_long_id_is_refused);
    tcase_add_test(requests, a_label_or_deadline_that_cannot_be_kept_fails_the_request);
    tcase_add_test(requests, hello_comes_first_in_binary_mode);
    tcase_add_test(requests, hello_comes_first_even_for_what_does_not_exist);
    tcase_add_test(requests, hello_itself_needs_none);
    tcase_add_test(requests, text_mode_needs_hello_where_it_needs_a_token);
    tcase_add_test(requests, changes_are_refused_while_the_gate_is_closed);
    tcase_add_test(requests, text_mode_may_call_its_own_methods);
    suite_add_tcase(suite, requests);

    TCase *tables = tcase_create("tables");
    tcase_add_checked_fixture(tables, setup, teardown);
    tcase_add_test(tables, methods_come_sorted_by_name);
    tcase_add_test(tables, a_name_that_is_taken_is_not_added);
    tcase_add_test(tables, a_table_with_too_many_fields_is_not_added);
    tcase_add_test(tables, a_dispatcher_without_methods_finds_none);
    suite_add_tcase(suite, tables);
    return suite;
}

UNIT_MAIN(suite)
