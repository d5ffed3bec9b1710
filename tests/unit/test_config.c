/* The configuration file: reading, places of errors, and the manual page and example about it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/boot/config_command.h"
#include "agent/boot/config_table.h"
#include "agent/machine/power.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

static struct config_document *document;
static struct nsp_error err;
static char directory[] = "/tmp/test_config.XXXXXX";
static char path[64], answer[256];

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/agent.json", directory);
}

static void teardown(void)
{
    config_free(document);
    unlink(path);
    rmdir(directory);
}

static int parse(const char *text)
{
    config_free(document);
    document = NULL;
    err = NSP_ERROR_INIT;
    return config_parse(text, strlen(text), &document, &err);
}

static void write_file(const char *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, length), (ssize_t)length);
    close(fd);
}

static char *read_source(const char *name)
{
    enum { SIZE = 65536 };
    char file[512];
    const char *source = getenv("SOURCE_DIR");
    snprintf(file, sizeof file, "%s/%s", source ? source : ".", name);
    char *text = calloc(1, SIZE);
    FILE *stream = fopen(file, "re");
    ck_assert_msg(stream, "%s", file);
    ck_assert_uint_lt(fread(text, 1, SIZE, stream), SIZE);
    fclose(stream);
    return text;
}

static void assert_defaults(const struct config *config)
{
    ck_assert_ptr_null(config->listen.items);
    ck_assert_ptr_null(config->workspace);
    ck_assert_int_eq(config->log_level, -1);
    ck_assert_int_eq(config->ring_budget, 0);
    ck_assert_ptr_null(config->network);
    ck_assert_uint_eq(config->mounts.count, 0);
    ck_assert(config->grow_root && config->clock_from_host);
    ck_assert(!config->mount_tmp && !config->insecure_bind && !config->shutdown_when_idle);
    ck_assert_int_eq(config->announce_port, 0);
    ck_assert_int_eq(config->shutdown_grace_ms, -1);
    ck_assert_int_eq(config->shutdown_variant, -1);
    ck_assert_uint_eq(config->services.count, 0);
}

START_TEST(no_file_and_an_empty_object_are_the_same)
{
    ck_assert_int_eq(config_default(&document, &err), 0);
    assert_defaults(config_get(document));
    ck_assert_int_eq(parse("{}"), 0);
    assert_defaults(config_get(document));
}
END_TEST

START_TEST(every_member_is_read)
{
    ck_assert_msg(
        parse("{\"listen\":[\"vsock:1\"],\"token_file\":\"/t\",\"insecure_bind\":true,"
              "\"any_cid\":true,\"workspace\":\"/w\",\"ring_budget\":65536,\"log_level\":\"warn\","
              "\"hostname\":\"h\",\"domain\":\"d.e\",\"hosts\":[\"::1\\ta b\"],"
              "\"sysctl\":{\"net.ipv4.conf.eth0/1.rp_filter\":\"1\"},\"modules\":[\"a-b_c\"],"
              "\"environment\":{\"A\":\"1\"},\"network\":{\"links\":[{\"name\":\"eth0\"}]},"
              "\"mounts\":[{\"source\":\"/a\",\"target\":\"/b..c\",\"options\":\"ro,bind\"}],"
              "\"mount_tmp\":true,\"grow_root\":false,\"announce_port\":1025,"
              "\"shutdown_grace_ms\":0,\"shutdown_variant\":\"reboot\","
              "\"shutdown_when_idle\":true,\"clock_from_host\":false,"
              "\"services\":[{\"name\":\"s\",\"argv\":[\"x\",\"y\"],\"environment\":{\"B\":\"2\"},"
              "\"cwd\":\"/c\",\"restart\":\"on-failure\",\"restart_delay_ms\":5,"
              "\"restart_max\":3,\"on_exit\":\"poweroff\",\"wait\":true},"
              "{\"name\":\"t\",\"command\":\"true\"}]}") == 0,
        "%s", err.msg);
    const struct config *config = config_get(document);
    ck_assert_str_eq(config->listen.items[0], "vsock:1");
    ck_assert_str_eq(config->token_file, "/t");
    ck_assert(config->insecure_bind && config->any_cid);
    ck_assert_int_eq(config->log_level, LOG_WARN);
    ck_assert_str_eq(config->hosts.items[0], "::1\ta b");
    ck_assert_str_eq(config->sysctl.items[0], "net.ipv4.conf.eth0/1.rp_filter=1");
    ck_assert_str_eq(config->modules.items[0], "a-b_c");
    ck_assert_str_eq(config->environment.items[0], "A=1");
    ck_assert_str_eq(((const struct network_link *)config->network->links.items)->name, "eth0");
    const struct config_mount *mount = config->mounts.items;
    ck_assert_str_eq(mount->target, "/b..c");
    ck_assert(!mount->type && !mount->required);
    ck_assert(config->mount_tmp && !config->grow_root && !config->clock_from_host);
    ck_assert_int_eq(config->announce_port, 1025);
    ck_assert_int_eq(config->shutdown_grace_ms, 0);
    ck_assert_int_eq(config->shutdown_variant, POWER_VARIANT_REBOOT);
    const struct config_service *services = config->services.items;
    ck_assert_uint_eq(config->services.count, 2);
    ck_assert_str_eq(services[0].argv.items[1], "y");
    ck_assert_ptr_null(services[0].command);
    ck_assert_str_eq(services[0].environment.items[0], "B=2");
    ck_assert_int_eq(services[0].restart, CONFIG_RESTART_ON_FAILURE);
    ck_assert_int_eq(services[0].restart_delay_ms, 5);
    ck_assert_int_eq(services[0].on_exit, CONFIG_EXIT_POWEROFF);
    ck_assert_ptr_null(services[1].argv.items);
    ck_assert_int_eq(services[1].restart, CONFIG_RESTART_NEVER);
    ck_assert_int_eq(services[1].restart_delay_ms, 1000);
    ck_assert(services[0].wait && !services[1].wait);
}
END_TEST

/* Variants and levels are the numbers of their own enums, by the names that those have. */
START_TEST(choices_mean_what_their_enums_say)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const variants[] = {"auto", "poweroff", "reboot"};
    char text[64];
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        enum log_level level;
        snprintf(text, sizeof text, "{\"log_level\":\"%s\"}", levels[i]);
        ck_assert_int_eq(parse(text), 0);
        ck_assert_int_eq(log_level_by_name(levels[i], &level), 0);
        ck_assert_int_eq(config_get(document)->log_level, (int)level);
    }
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        enum power_variant variant;
        snprintf(text, sizeof text, "{\"shutdown_variant\":\"%s\"}", variants[i]);
        ck_assert_int_eq(parse(text), 0);
        ck_assert_int_eq(power_variant_by_name(variants[i], &variant), 0);
        ck_assert_int_eq(config_get(document)->shutdown_variant, (int)variant);
    }
}
END_TEST

static const struct {
    const char *text, *msg;
} malformed[] = {
    {"", "line 1, column 1: the message is not an object"},
    {"\n\n []", "line 3, column 2: the message is not an object"},
    {"{\n  \"hostname\": \"a\"\n  \"domain\": \"b\"\n}",
     "line 3, column 3: a comma or } is missing"},
    {"{\"modules\": [\n\"\xC3\xA9\", x]}", "line 2, column 6: a value is missing"},
    {"{\"mount_tmp\": true,\n}", "line 2, column 1: a key is missing"},
    {"{\"a\": 1,\n \"a\": 2}", "line 2, column 3: duplicate key"},
    {"{} // no", "line 1, column 4: something follows the message"},
};
enum { MALFORMED = sizeof malformed / sizeof *malformed };

START_TEST(what_is_no_json_is_refused_with_line_and_column)
{
    ck_assert_int_eq(parse(malformed[_i].text), -1);
    ck_assert_int_eq(err.code, NSP_E_PARSE);
    ck_assert_str_eq(err.msg, malformed[_i].msg);
}
END_TEST

START_TEST(too_deep_a_text_is_refused)
{
    char text[128] = "{\"a\":";
    memset(text + 5, '[', 100);
    ck_assert_int_eq(parse(text), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_str_eq(err.object, "json_depth");
}
END_TEST

START_TEST(an_error_of_the_table_names_line_and_path)
{
    ck_assert_int_eq(parse("{\n\"hostname\": \"h\",\n\"nope\": 1}"), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, "nope");
    ck_assert_str_eq(err.msg, "line 3: unknown parameter nope");
    ck_assert_int_eq(parse("{\"network\": {\n\"links\": [\n{\"name\": \"lo\"},\n{\"mtu\":\n1}]}}"),
                     -1);
    ck_assert_str_eq(err.object, "network.links[1].mtu");
    ck_assert_str_eq(err.msg, "line 5: network.links[1].mtu is 1, but must be 68 to 65536");
    /* One that is missing has the line of the object that it is missing from. */
    ck_assert_int_eq(parse("{\"mounts\":\n[{\"target\": \"/a\", \"type\": \"tmpfs\"},\n\n {}]}"),
                     -1);
    ck_assert_str_eq(err.object, "mounts[1].target");
    ck_assert_str_eq(err.msg, "line 4: parameter mounts[1].target is missing");
    ck_assert_int_eq(parse("{\"sysctl\": {\n\"a.b\": \"1\",\n\"a.c\": 2}}"), -1);
    ck_assert_str_eq(err.object, "sysctl.a.c");
    ck_assert_str_eq(err.msg, "line 3: sysctl.a.c must be a string or {\"b64\"}, not a number");
}
END_TEST

START_TEST(an_error_of_the_network_names_line_and_path)
{
    ck_assert_int_eq(parse("{\"network\":\n {\"dns_servers\":\n  [\"10.0.0.1\",\n   \"x\"]}}"), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, "network.dns_servers[1]");
    ck_assert_str_eq(err.msg, "line 4: network.dns_servers[1] is no address: x");
}
END_TEST

START_TEST(a_file_is_read)
{
    write_file("{\"hostname\":\"h\"}", 16);
    ck_assert_int_eq(config_read(path, &document, &err), 0);
    ck_assert_str_eq(config_get(document)->hostname, "h");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_says_why)
{
    ck_assert_int_eq(config_read(path, &document, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_NOT_FOUND);
    ck_assert_str_eq(err.object, path);
    ck_assert_int_eq(config_read(directory, &document, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(config_read(path, &document, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_str_eq(err.msg, "this is no regular file");
}
END_TEST

START_TEST(a_file_has_a_size_limit)
{
    size_t size = NSP_LIMIT_JSON_MESSAGE + 1;
    char *text = malloc(size);
    memset(text, ' ', size);
    memcpy(text, "{}", 2);
    write_file(text, size - 1);
    ck_assert_int_eq(config_read(path, &document, &err), 0);
    write_file(text, size);
    config_free(document);
    document = NULL;
    ck_assert_int_eq(config_read(path, &document, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    free(text);
}
END_TEST

/* What the command prints to standard output is left in `answer`. */
static int run_command(int argc, char **argv)
{
    char file[80];
    snprintf(file, sizeof file, "%s/answer", directory);
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert(kept >= 0 && fd >= 0);
    dup2(fd, STDOUT_FILENO);
    int status = config_command_run(argc, argv);
    dup2(kept, STDOUT_FILENO);
    ssize_t length = pread(fd, answer, sizeof answer - 1, 0);
    ck_assert_int_ge(length, 0);
    answer[length] = '\0';
    close(kept);
    close(fd);
    unlink(file);
    return status;
}

START_TEST(the_command_tells_good_from_wrong_from_unusable)
{
    char *argv[] = {"check-config", path, "--help", NULL};
    char expected[128];
    write_file("{}", 2);
    ck_assert_int_eq(run_command(2, argv), 0);
    snprintf(expected, sizeof expected, "%s: ok\n", path);
    ck_assert_str_eq(answer, expected);
    write_file("[]", 2);
    ck_assert_int_eq(run_command(2, argv), 1);
    write_file("{\"x\":1}", 7);
    ck_assert_int_eq(run_command(2, argv), 1);
    unlink(path);
    ck_assert_int_eq(run_command(2, argv), 2);
    ck_assert_int_eq(run_command(3, argv), 2);
    argv[1] = "--help";
    ck_assert_int_eq(run_command(2, argv), 2);
}
END_TEST

/* The example and the manual page */

START_TEST(the_example_is_right)
{
    char *text = read_source("packaging/agent.json.example");
    ck_assert_msg(parse(text) == 0, "%s", err.msg);
    const struct config *config = config_get(document);
    ck_assert_uint_eq(config->network->links.count, 1);
    ck_assert_uint_gt(config->services.count, 0);
    free(text);
}
END_TEST

static bool has_field(const struct param_table *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++)
        if (strlen(table->fields[i].name) == length &&
            strncmp(table->fields[i].name, name, length) == 0)
            return true;
    return false;
}

/* Members are written `.BR name " (type...)"`. */
static void assert_section(const char *section, const char *end, const struct param_table *table)
{
    static const char tag[] = "\n.BR ";
    size_t described = 0;
    for (const char *at = strstr(section, tag); at && at < end; at = strstr(at, tag)) {
        at += sizeof tag - 1;
        size_t length = strcspn(at, " \n");
        if (strncmp(at + length, " \" (", 4) != 0)
            continue;
        ck_assert_msg(has_field(table, at, length), "%.*s is no member", (int)length, at);
        described++;
    }
    ck_assert_uint_eq(described, table->count);
    for (const struct param_field *field = table->fields; field < table->fields + table->count;
         field++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, "\n.BR %s \" (", field->name);
        const char *at = strstr(section, wanted);
        ck_assert_msg(at && at < end, "%s is not in the manual page", field->name);
    }
}

static void assert_described(const char *page, const char *heading, const char *table_path,
                             const struct param_table *table)
{
    char wanted[160];
    snprintf(wanted, sizeof wanted, "\n%s%s\n", heading, table_path);
    const char *section = strstr(page, wanted);
    ck_assert_msg(section, "the manual page has no %s%s", heading, table_path);
    const char *end = strstr(section + strlen(wanted), "\n.S");
    ck_assert_ptr_nonnull(end);
    assert_section(section, end, table);
    ck_assert_uint_le(table->count, PARAM_FIELDS_MAX);
    for (size_t i = 0; i < table->count; i++) {
        if (!table->fields[i].table)
            continue;
        snprintf(wanted, sizeof wanted, "%s%s%s", table_path, *table_path ? "." : "",
                 table->fields[i].name);
        assert_described(page, ".SS ", wanted, table->fields[i].table);
    }
}

START_TEST(the_manual_page_describes_every_member_and_no_other)
{
    char *page = read_source("packaging/man/nullspace-agent.json.5");
    assert_described(page, ".SH MEMBERS", "", &config_table);
    free(page);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("config");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, no_file_and_an_empty_object_are_the_same);
    tcase_add_test(tests, every_member_is_read);
    tcase_add_test(tests, choices_mean_what_their_enums_say);
    tcase_add_loop_test(tests, what_is_no_json_is_refused_with_line_and_column, 0, MALFORMED);
    tcase_add_test(tests, too_deep_a_text_is_refused);
    tcase_add_test(tests, an_error_of_the_table_names_line_and_path);
    tcase_add_test(tests, an_error_of_the_network_names_line_and_path);
    tcase_add_test(tests, a_file_is_read);
    tcase_add_test(tests, a_file_that_cannot_be_read_says_why);
    tcase_add_test(tests, a_file_has_a_size_limit);
    tcase_add_test(tests, the_command_tells_good_from_wrong_from_unusable);
    tcase_add_test(tests, the_example_is_right);
    tcase_add_test(tests, the_manual_page_describes_every_member_and_no_other);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
