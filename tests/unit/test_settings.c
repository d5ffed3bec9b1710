/* What holds in the end: command line, configuration file, default. */
#include "agent/boot/settings.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/unit.h"

static struct settings settings;
static struct options options;
static struct nsp_error err;
static char directory[] = "/tmp/test_settings.XXXXXX";
static char path[64];

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/agent.json", directory);
    options = options_default;
    options.config = path;
    err = NSP_ERROR_INIT;
}

static void teardown(void)
{
    unlink(path);
    rmdir(directory);
}

static void write_file(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static const char everything[] =
    "{\"listen\":[\"unix:/f1\",\"unix:/f2\"],\"token_file\":\"/ft\",\"workspace\":\"/fw\","
    "\"log_level\":\"error\",\"insecure_bind\":true,\"any_cid\":true,\"ring_budget\":1048576}";

START_TEST(the_file_counts_where_the_command_line_says_nothing)
{
    write_file(everything);
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_uint_eq(settings.listen_count, 2);
    ck_assert_str_eq(settings.listen[1], "unix:/f2");
    ck_assert_ptr_null(settings.listen[2]);
    ck_assert_str_eq(settings.token_file, "/ft");
    ck_assert_str_eq(settings.workspace, "/fw");
    ck_assert_int_eq(settings.log_level, LOG_ERROR);
    ck_assert(settings.insecure_bind && settings.any_cid);
    ck_assert_uint_eq(settings.ring_budget, 1048576);
    ck_assert_int_eq(settings.config_error.code, NSP_E_NONE);
    settings_done(&settings);
}
END_TEST

START_TEST(the_command_line_counts_before_the_file)
{
    write_file(everything);
    options.listen[0] = "unix:/own";
    options.listen_count = 1;
    options.token_file = "/t";
    options.workspace = "/w";
    options.log_level = LOG_DEBUG;
    options.ring_budget = 4096;
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_uint_eq(settings.listen_count, 1);
    ck_assert_str_eq(settings.listen[0], "unix:/own");
    ck_assert_ptr_null(settings.listen[1]);
    ck_assert_str_eq(settings.token_file, "/t");
    ck_assert_str_eq(settings.workspace, "/w");
    ck_assert_int_eq(settings.log_level, LOG_DEBUG);
    ck_assert_uint_eq(settings.ring_budget, 4096);
    settings_done(&settings);
}
END_TEST

START_TEST(a_default_that_is_given_counts_before_the_file_too)
{
    write_file("{\"listen\":[\"unix:/f\"],\"workspace\":\"/fw\",\"log_level\":\"error\","
               "\"shutdown_grace_ms\":700,\"shutdown_variant\":\"reboot\"}");
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_uint_eq(settings.grace_ms, 700);
    ck_assert_int_eq(settings.variant, POWER_VARIANT_REBOOT);
    settings_done(&settings);
    options.workspace = "/workspace";
    options.log_level = LOG_INFO;
    options.shutdown_grace_ms = 5000;
    options.variant = POWER_VARIANT_OFF;
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_str_eq(settings.workspace, "/workspace");
    ck_assert_int_eq(settings.log_level, LOG_INFO);
    ck_assert_uint_eq(settings.grace_ms, UINT32_MAX);
    ck_assert_int_eq(settings.variant, POWER_VARIANT_AUTO);
    settings_done(&settings);
}
END_TEST

START_TEST(the_default_counts_where_nobody_says_anything)
{
    write_file("{\"listen\":[\"unix:/f\"]}");
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_ptr_null(settings.token_file);
    ck_assert_str_eq(settings.workspace, "/workspace");
    ck_assert_int_eq(settings.log_level, LOG_INFO);
    ck_assert(!settings.insecure_bind && !settings.any_cid);
    ck_assert_uint_eq(settings.ring_budget, 0);
    ck_assert_uint_eq(settings.grace_ms, UINT32_MAX);
    settings_done(&settings);
}
END_TEST

START_TEST(only_a_guest_has_a_default_address)
{
    write_file("{}");
    ck_assert_int_eq(settings_load(&options, &settings, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, "listen");
    options.role = ROLE_GUEST;
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_uint_eq(settings.listen_count, 1);
    ck_assert_str_eq(settings.listen[0], "vsock:1024");
    ck_assert_int_eq(settings.role, ROLE_GUEST);
    settings_done(&settings);
}
END_TEST

START_TEST(a_named_file_that_is_missing_is_an_error)
{
    options.listen[0] = "unix:/own";
    options.listen_count = 1;
    ck_assert_int_eq(settings_load(&options, &settings, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_NOT_FOUND);
}
END_TEST

START_TEST(a_file_with_a_mistake_is_an_error)
{
    options.listen[0] = "unix:/own";
    options.listen_count = 1;
    write_file("{\"listen\":");
    ck_assert_int_eq(settings_load(&options, &settings, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PARSE);
    write_file("{\"nonsense\":1}");
    ck_assert_int_eq(settings_load(&options, &settings, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
}
END_TEST

START_TEST(a_guest_comes_up_without_a_bad_or_missing_file_and_keeps_the_reason)
{
    options.role = ROLE_GUEST;
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_int_eq(settings.config_error.code, NSP_E_NOT_FOUND);
    ck_assert_ptr_nonnull(settings.config);
    settings_done(&settings);
    write_file("{\"nonsense\":1,\"listen\":[\"unix:/f\"]}");
    ck_assert_int_eq(settings_load(&options, &settings, &err), 0);
    ck_assert_int_eq(settings.config_error.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(settings.listen[0], "vsock:1024");
    settings_done(&settings);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("settings");
    TCase *order = tcase_create("order");
    tcase_add_checked_fixture(order, setup, teardown);
    tcase_add_test(order, the_file_counts_where_the_command_line_says_nothing);
    tcase_add_test(order, the_command_line_counts_before_the_file);
    tcase_add_test(order, a_default_that_is_given_counts_before_the_file_too);
    tcase_add_test(order, the_default_counts_where_nobody_says_anything);
    tcase_add_test(order, only_a_guest_has_a_default_address);
    tcase_add_test(order, a_named_file_that_is_missing_is_an_error);
    tcase_add_test(order, a_file_with_a_mistake_is_an_error);
    tcase_add_test(order, a_guest_comes_up_without_a_bad_or_missing_file_and_keeps_the_reason);
    suite_add_tcase(all, order);
    return all;
}

UNIT_MAIN(suite)
