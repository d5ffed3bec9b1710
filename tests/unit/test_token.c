#include "agent/transport/token.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/unit.h"

static char directory[64], path[128];

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/test_token.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/token", directory);
}

static void tear_down(void)
{
    unlink(path);
    /* Fails when a temporary file was left. */
    ck_assert_int_eq(rmdir(directory), 0);
}

static void put(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

START_TEST(token_is_read_without_its_newline)
{
    struct token token;
    put("0123456789abcdef\n", 0600);
    ck_assert_int_eq(token_read(path, &token, NULL), 0);
    ck_assert_uint_eq(token.length, 16);
    ck_assert(token_equal(&token, "0123456789abcdef"));
    put("0123456789abcdef", 0400);
    ck_assert_int_eq(token_read(path, &token, NULL), 0);
    ck_assert(token_equal(&token, "0123456789abcdef"));
}
END_TEST

START_TEST(token_of_the_largest_size_is_read)
{
    char text[TOKEN_MAX + 2];
    struct token token;
    memset(text, 'k', TOKEN_MAX);
    text[TOKEN_MAX] = '\n';
    text[TOKEN_MAX + 1] = '\0';
    put(text, 0600);
    ck_assert_int_eq(token_read(path, &token, NULL), 0);
    text[TOKEN_MAX] = '\0';
    ck_assert(token_equal(&token, text));
    text[TOKEN_MAX] = 'k';
    ck_assert(!token_equal(&token, text));
    put(text, 0600);
    ck_assert_int_eq(token_read(path, &token, NULL), -1);
}
END_TEST

static const char *const bad_tokens[] = {
    "", "\n", "short\n", "0123456789 abcdef\n", "0123456789abcdef\n\n", "0123456789abcdef\xc3\xa4",
};

START_TEST(unfit_content_is_refused_and_not_told)
{
    struct token token = {.length = 3};
    struct nsp_error err = NSP_ERROR_INIT;
    put(bad_tokens[_i], 0600);
    ck_assert_int_eq(token_read(path, &token, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, path);
    ck_assert_ptr_null(strstr(err.msg, "0123456789"));
    ck_assert_uint_eq(token.length, 3);
}
END_TEST

START_TEST(file_that_others_can_open_is_refused)
{
    struct token token;
    struct nsp_error err = NSP_ERROR_INIT;
    put("0123456789abcdef\n", 0640);
    ck_assert_int_eq(token_read(path, &token, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PERMISSION);
}
END_TEST

START_TEST(missing_file_is_not_found)
{
    struct token token;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(token_read(path, &token, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_NOT_FOUND);
}
END_TEST

START_TEST(created_token_is_random_private_and_readable_back)
{
    struct token first, second, back;
    struct stat status;
    mode_t before = umask(0);
    ck_assert_int_eq(token_create(path, &first, NULL), 0);
    ck_assert_uint_eq(first.length, 64);
    for (size_t i = 0; i < first.length; i++)
        ck_assert(isxdigit((unsigned char)first.text[i]));
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    umask(0777);
    ck_assert_int_eq(token_create(path, &second, NULL), 0);
    umask(before);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_mem_ne(first.text, second.text, 64);
    ck_assert_int_eq(token_read(path, &back, NULL), 0);
    ck_assert_mem_eq(back.text, second.text, 64);
}
END_TEST

START_TEST(unwritable_place_is_a_system_error)
{
    struct token token;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(token_create("/proc/none/token", &token, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
    ck_assert_str_eq(err.op, "open");
    /* A directory cannot be replaced by a file. */
    char taken[160];
    snprintf(taken, sizeof taken, "%s/taken", directory);
    ck_assert_int_eq(mkdir(taken, 0700), 0);
    ck_assert_int_eq(token_create(taken, &token, &err), -1);
    ck_assert_str_eq(err.op, "rename");
    ck_assert_int_eq(rmdir(taken), 0);
}
END_TEST

START_TEST(only_the_same_text_is_equal)
{
    struct token token;
    put("0123456789abcdef\n", 0600);
    ck_assert_int_eq(token_read(path, &token, NULL), 0);
    ck_assert(!token_equal(&token, NULL));
    ck_assert(!token_equal(&token, ""));
    ck_assert(!token_equal(&token, "0123456789abcde"));
    ck_assert(!token_equal(&token, "0123456789abcdeg"));
    ck_assert(!token_equal(&token, "0123456789abcdeff"));
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("token");
    TCase *tcase = tcase_create("token");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, token_is_read_without_its_newline);
    tcase_add_test(tcase, token_of_the_largest_size_is_read);
    tcase_add_loop_test(tcase, unfit_content_is_refused_and_not_told, 0,
                        sizeof bad_tokens / sizeof *bad_tokens);
    tcase_add_test(tcase, file_that_others_can_open_is_refused);
    tcase_add_test(tcase, missing_file_is_not_found);
    tcase_add_test(tcase, created_token_is_random_private_and_readable_back);
    tcase_add_test(tcase, unwritable_place_is_a_system_error);
    tcase_add_test(tcase, only_the_same_text_is_equal);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
