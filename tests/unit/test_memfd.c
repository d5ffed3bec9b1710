#include "agent/os/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/unit.h"

enum { SIZE = 8192 };

START_TEST(it_has_its_size_for_ever)
{
    struct nsp_error err;
    int fd = -1;
    ck_assert_int_eq(memfd_new("test", SIZE, &fd, &err), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(memfd_check(fd, SIZE, &err), 0);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(ftruncate(fd, 2 * SIZE), -1);
    ck_assert_int_eq(memfd_check(fd, SIZE, &err), 0);
    close(fd);
}
END_TEST

START_TEST(another_size_and_no_file_are_refused)
{
    struct nsp_error err;
    int fd = -1;
    ck_assert_int_eq(memfd_new("test", SIZE, &fd, &err), 0);
    ck_assert_int_eq(memfd_check(fd, SIZE + 1, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_UNSUPPORTED);
    close(fd);
    ck_assert_int_eq(memfd_check(fd, SIZE, &err), -1);
    ck_assert_int_eq(err.sys_errno, EBADF);
}
END_TEST

START_TEST(writers_of_before_go_on_and_new_ones_are_refused)
{
    struct nsp_error err;
    int fd = -1;
    ck_assert_int_eq(memfd_new("test", SIZE, &fd, &err), 0);
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    memfd_forbid_new_writers(fd);
    memcpy(memory, "still", sizeof "still");
    ck_assert_int_eq(write(fd, "x", 1), -1);
    ck_assert_ptr_eq(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    const char *reader = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(reader, MAP_FAILED);
    ck_assert_str_eq(reader, "still");
    close(fd);
}
END_TEST

START_TEST(no_descriptor_left_is_exhausted)
{
    struct rlimit before, none;
    struct nsp_error err;
    int fd = -1;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(memfd_new("test", SIZE, &fd, &err), -1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0); /* sanitizers want to look around */
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_int_eq(err.sys_errno, EMFILE);
    ck_assert_int_eq(fd, -1);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("memfd");
    TCase *memory = tcase_create("memory");
    tcase_add_test(memory, it_has_its_size_for_ever);
    tcase_add_test(memory, another_size_and_no_file_are_refused);
    tcase_add_test(memory, writers_of_before_go_on_and_new_ones_are_refused);
    tcase_add_test(memory, no_descriptor_left_is_exhausted);
    suite_add_tcase(all, memory);
    return all;
}

UNIT_MAIN(suite)
