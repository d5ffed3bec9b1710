/* What a configuration may not say: each with the place that the error names. */
#include <stdio.h>
#include <string.h>

#include "agent/boot/config.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

static struct config_document *document;
static struct nsp_error err;

static void teardown(void)
{
    config_free(document);
    document = NULL;
}

static int parse(const char *text)
{
    teardown();
    err = NSP_ERROR_INIT;
    return config_parse(text, strlen(text), &document, &err);
}

#define MOUNT(members) "{\"mounts\":[{\"target\":\"/a\",\"type\":\"tmpfs\"},\n{" members "}]}"
#define SERVICE(members)                                                                           \
    "{\"services\":[{\"name\":\"first\",\"command\":\"true\"},\n{" members "}]}"
#define NAMED(members) SERVICE("\"name\":\"s\"," members)

static const struct {
    const char *text, *object, *msg;
} refused[] = {
    {"{\"workspace\":\"w\"}", "workspace", "line 1: workspace is no absolute path: w"},
    {"{\"hostname\":\"a b\"}", "hostname", "line 1: hostname is no name of a host: a b"},
    {"{\"hostname\":\"\"}", "hostname", "line 1: hostname has 0 bytes, but must have 1 to 64"},
    {"{\"domain\":\"a..b\"}", "domain", "line 1: domain is no domain name: a..b"},
    {"{\"log_level\":\"loud\"}", "log_level",
     "line 1: log_level must be one of debug info warn error"},
    {"{\"shutdown_variant\":\"halt\"}", "shutdown_variant",
     "line 1: shutdown_variant must be one of auto poweroff reboot"},
    {"{\"shutdown_grace_ms\":-1}", "shutdown_grace_ms",
     "line 1: shutdown_grace_ms is -1, but must be 0 to 3600000"},
    {"{\"announce_port\":4294967295}", "announce_port",
     "line 1: announce_port is 4294967295, but must be 0 to 4294967294"},
    {"{\"hosts\":[\"::1 a\",\n\"::1\"]}", "hosts[1]",
     "line 2: hosts[1] is no line \"ADDRESS NAME...\": ::1"},
    {"{\"hosts\":[\"a ::1\"]}", "hosts[0]",
     "line 1: hosts[0] is no line \"ADDRESS NAME...\": a ::1"},
    {"{\"hosts\":[\"\"]}", "hosts[0]", "line 1: hosts[0] is no line \"ADDRESS NAME...\": "},
    {"{\"sysctl\":{\"a.b\":\"\",\n\"a/../b\":\"1\"}}", "sysctl.a/../b",
     "line 2: sysctl.a/../b is no name below /proc/sys"},
    {"{\"sysctl\":{\"/a\":\"1\"}}", "sysctl./a", "line 1: sysctl./a is no name below /proc/sys"},
    {"{\"sysctl\":{\"a.\":\"1\"}}", "sysctl.a.", "line 1: sysctl.a. is no name below /proc/sys"},
    {"{\"sysctl\":{\"a b\":\"1\"}}", "sysctl.a b", "line 1: sysctl.a b is no name below /proc/sys"},
    {"{\"sysctl\":{\"a\":1}}", "sysctl.a",
     "line 1: sysctl.a must be a string or {\"b64\"}, not a number"},
    {"{\"modules\":[\"a/b\"]}", "modules[0]", "line 1: modules[0] is no name of a module: a/b"},
    {"{\"modules\":[\"\"]}", "modules[0]", "line 1: modules[0] is no name of a module: "},
    {"{\"environment\":{\"A=B\":\"1\"}}", "environment",
     "line 1: environment has a name that is empty or contains ="},
    {MOUNT("\"target\":\"b\",\"type\":\"tmpfs\""), "mounts[1].target",
     "line 2: mounts[1].target is no absolute path without ..: b"},
    {MOUNT("\"target\":\"/b/../c\",\"type\":\"tmpfs\""), "mounts[1].target",
     "line 2: mounts[1].target is no absolute path without ..: /b/../c"},
    {MOUNT("\"target\":\"/b/..\",\"type\":\"tmpfs\""), "mounts[1].target",
     "line 2: mounts[1].target is no absolute path without ..: /b/.."},
    {MOUNT("\"target\":\"/b\",\"options\":\"binding,robind\""), "mounts[1]",
     "line 2: mounts[1] needs a type, or the option bind"},
    {MOUNT("\"target\":\"/b\",\"options\":\"ro,rbind\""), "mounts[1]",
     "line 2: mounts[1] needs a source to bind"},
    {SERVICE("\"command\":\"true\""), "services[1].name",
     "line 2: parameter services[1].name is missing"},
    {SERVICE("\"name\":\"a b\",\"command\":\"true\""), "services[1].name",
     "line 2: services[1].name has other characters than A-Z a-z 0-9 . _ -: a b"},
    {SERVICE("\"name\":\"first\",\"command\":\"true\""), "services[1].name",
     "line 2: services[1].name is that of another service as well: first"},
    {NAMED("\"wait\":false"), "services[1]", "line 2: services[1] needs either argv or command"},
    {NAMED("\"argv\":[\"a\"],\"command\":\"b\""), "services[1]",
     "line 2: services[1] needs either argv or command"},
    {NAMED("\"argv\":[]"), "services[1].argv",
     "line 2: services[1].argv has 0 elements, but must have 1 to 4096"},
    {NAMED("\"argv\":[\"\"]"), "services[1].argv[0]", "line 2: services[1].argv[0] is empty"},
    {NAMED("\"command\":\"b\",\"cwd\":\"c\""), "services[1].cwd",
     "line 2: services[1].cwd is no absolute path: c"},
    {NAMED("\"command\":\"b\",\"restart\":\"yes\""), "services[1].restart",
     "line 2: services[1].restart must be one of never on-failure always"},
    {NAMED("\"command\":\"b\",\"on_exit\":\"halt\""), "services[1].on_exit",
     "line 2: services[1].on_exit must be one of nothing poweroff reboot"},
    {NAMED("\"command\":\"b\",\"restart\":\"always\",\n\"wait\":true"), "services[1].wait",
     "line 3: services[1].wait would be for ever: the service never ends for good"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(what_cannot_be_is_refused_with_its_line_and_path)
{
    ck_assert_msg(parse(refused[_i].text) == -1, "%s", refused[_i].text);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, refused[_i].object);
    ck_assert_str_eq(err.msg, refused[_i].msg);
}
END_TEST

static const char *const accepted[] = {
    "{\"sysctl\":{\"net/ipv4/conf/eth0.1/rp_filter\":\"a\\tb\",\"vm.x-y_z\":\"\"}}",
    "{\"hosts\":[\"  10.0.0.1  a\\tb.c  \"]}",
    "{\"mounts\":[{\"source\":\"/a\",\"target\":\"/\",\"options\":\"bind\"},"
    "{\"target\":\"/...\",\"type\":\"tmpfs\"}]}",
    "{\"services\":[{\"name\":\"a.b_c-1\",\"argv\":[\"x\",\"\"]}]}",
    "{\"services\":[{\"name\":\"a\",\"command\":\"x\",\"restart\":\"always\",\"restart_max\":1,"
    "\"wait\":true}]}",
};
enum { ACCEPTED = sizeof accepted / sizeof *accepted };

START_TEST(what_looks_odd_but_can_be_is_accepted)
{
    ck_assert_msg(parse(accepted[_i]) == 0, "%s: %s", accepted[_i], err.msg);
}
END_TEST

START_TEST(id_and_keys_of_every_service_fit)
{
    char text[256], name[NSP_LIMIT_ID + 1];
    memset(name, 'n', sizeof name);
    int longest = CONFIG_SERVICE_NAME_MAX;
    ck_assert_uint_le((size_t)longest + strlen("service..4294967295"), NSP_LIMIT_ID);
    snprintf(text, sizeof text, "{\"services\":[{\"name\":\"%.*s\",\"command\":\"a\"}]}", longest,
             name);
    ck_assert_msg(parse(text) == 0, "%s", err.msg);
    snprintf(text, sizeof text, "{\"services\":[{\"name\":\"%.*s\",\"command\":\"a\"}]}",
             longest + 1, name);
    ck_assert_int_eq(parse(text), -1);
    ck_assert_str_eq(err.object, "services[0].name");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("config_check");
    TCase *tests = tcase_create("config_check");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_loop_test(tests, what_cannot_be_is_refused_with_its_line_and_path, 0, REFUSED);
    tcase_add_loop_test(tests, what_looks_odd_but_can_be_is_accepted, 0, ACCEPTED);
    tcase_add_test(tests, id_and_keys_of_every_service_fit);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
