#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/os/hostinfo.h"
#include "tests/support/unit.h"

START_TEST(the_boot_id_is_a_uuid)
{
    char id[HOSTINFO_BOOT_ID_SIZE];
    ck_assert_int_eq(hostinfo_boot_id(id, NULL), 0);
    ck_assert_uint_eq(strlen(id), 36);
    ck_assert_uint_eq(strspn(id, "0123456789abcdef-"), 36);
    ck_assert_int_eq(id[8], '-');
}
END_TEST

START_TEST(missing_features_are_a_set_of_the_known_ones)
{
    ck_assert_uint_lt(hostinfo_missing(), 1u << HOSTINFO_FEATURE_COUNT);
    ck_assert_str_eq(hostinfo_feature_name(HOSTINFO_CLONE3), "clone3");
    ck_assert_str_eq(hostinfo_feature_name(HOSTINFO_CGROUP2), "cgroup2");
}
END_TEST

START_TEST(probing_leaves_nothing_open)
{
    uint64_t before = hostinfo_descriptors();
    hostinfo_missing();
    ck_assert_uint_eq(hostinfo_descriptors(), before);
}
END_TEST

START_TEST(descriptors_are_counted)
{
    uint64_t before = hostinfo_descriptors();
    ck_assert_uint_gt(before, 0);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_uint_eq(hostinfo_descriptors(), before + 1);
    close(fd);
}
END_TEST

START_TEST(resident_memory_is_told_in_kib)
{
    uint64_t before = hostinfo_resident_kib();
    ck_assert_uint_gt(before, 100);
    size_t size = 32 << 20;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ck_assert_uint_gt(hostinfo_resident_kib(), before + 16 * 1024);
    munmap(memory, size);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("hostinfo");
    TCase *tests = tcase_create("hostinfo");
    tcase_add_test(tests, the_boot_id_is_a_uuid);
    tcase_add_test(tests, missing_features_are_a_set_of_the_known_ones);
    tcase_add_test(tests, probing_leaves_nothing_open);
    tcase_add_test(tests, descriptors_are_counted);
    tcase_add_test(tests, resident_memory_is_told_in_kib);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
