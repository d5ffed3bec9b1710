/* Which file system is on a device: superblocks made by hand. */
#include "agent/machine/root.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/private_mounts.h"
#include "tests/support/unit.h"

enum { DEVICE_BYTES = 1 << 20 };

static char path[64];
static int device;

static void make_device(void)
{
    snprintf(path, sizeof path, "/tmp/test_root.%d", (int)getpid());
    device = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(device, 0);
    ck_assert_int_eq(ftruncate(device, DEVICE_BYTES), 0);
}

static void remove_device(void)
{
    close(device);
    unlink(path);
}

static void put(off_t offset, const char *magic, size_t length)
{
    ck_assert_int_eq(pwrite(device, magic, length, offset), (ssize_t)length);
}

static const struct {
    const char *type;
    off_t offset;
    const char *magic;
    size_t length;
} known[] = {
    {"squashfs", 0, "hsqs", 4},
    {"xfs", 0, "XFSB", 4},
    {"erofs", 0x400, "\xe2\xe1\xf5\xe0", 4},
    {"ext4", 0x438, "\x53\xef", 2},
    {"btrfs", 0x10040, "_BHRfS_M", 8},
};

START_TEST(each_file_system_is_known_by_its_superblock)
{
    put(known[_i].offset, known[_i].magic, known[_i].length);
    ck_assert_pstr_eq(root_file_system(path), known[_i].type);
}
END_TEST

START_TEST(a_magic_that_is_cut_or_elsewhere_is_none)
{
    put(known[_i].offset + 1, known[_i].magic, known[_i].length);
    ck_assert_ptr_null(root_file_system(path));
    put(known[_i].offset, known[_i].magic, known[_i].length);
    ck_assert_int_eq(ftruncate(device, known[_i].offset + (off_t)known[_i].length - 1), 0);
    ck_assert_ptr_null(root_file_system(path));
}
END_TEST

START_TEST(an_empty_device_and_none_at_all_have_no_file_system)
{
    ck_assert_ptr_null(root_file_system(path));
    ck_assert_int_eq(ftruncate(device, 0), 0);
    ck_assert_ptr_null(root_file_system(path));
    ck_assert_ptr_null(root_file_system("/nonexistent"));
    ck_assert_ptr_null(root_file_system("/tmp"));
}
END_TEST

static void assert_refused(const struct root_options *options, enum nsp_error_code code,
                           const char *object)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(root_switch(options, &err), -1);
    ck_assert_int_eq(err.code, code);
    ck_assert_str_eq(err.object, object);
    ck_assert_int_eq(access("/marker", F_OK), 0); /* nothing has moved */
}

START_TEST(a_device_that_does_not_come_or_has_nothing_on_it_leaves_the_initramfs)
{
    if (!private_mounts_enter_empty())
        UNIT_SKIP("no mount namespace here");
    ck_assert(root_is_initramfs());
    ck_assert_int_eq(mkdir("/marker", 0755), 0);
    assert_refused(&(struct root_options){.device = "/dev/nothing", .wait_ms = 20}, NSP_E_NOT_FOUND,
                   "/dev/nothing");
    int fd = open("/empty", O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    assert_refused(&(struct root_options){.device = "/empty"}, NSP_E_UNSUPPORTED, "/empty");
    assert_refused(&(struct root_options){.device = "/empty", .type = "nosuchfs"},
                   NSP_E_UNSUPPORTED, "/empty");
}
END_TEST

static void note_type(void *arg, const char *type)
{
    snprintf(arg, 16, "%s", type);
}

START_TEST(the_new_root_takes_over_the_mounts_and_the_old_files_are_removed)
{
    static const char *const places[] = {"/sys", "/dev", "/run"}; /* beside /proc */
    char prepared[16] = "";
    struct nsp_error err = NSP_ERROR_INIT;
    if (!private_mounts_enter_empty())
        UNIT_SKIP("no mount namespace here");
    ck_assert_int_eq(mkdir("/marker", 0755), 0);
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        ck_assert_int_eq(mkdir(places[i], 0755), 0);
        ck_assert_int_eq(mount("test", places[i], "tmpfs", 0, NULL), 0);
    }
    ck_assert_int_eq(mkdir("/run/kept", 0755), 0);
    const struct root_options options = {
        .device = "tmpfs", .options = "size=1m", .prepare = note_type, .arg = prepared};
    int result = root_switch(&options, &err);
    ck_assert_msg(result == 0, "%s: %s", err.object, err.msg);
    ck_assert_str_eq(prepared, "tmpfs");
    ck_assert_int_eq(access("/marker", F_OK), -1);
    ck_assert_int_eq(access("/run/kept", F_OK), 0);
    ck_assert_int_eq(access("/proc/self/exe", F_OK), 0);
    ck_assert_int_eq(mkdir("/writable", 0755), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("root");
    TCase *superblock = tcase_create("superblock");
    TCase *change = tcase_create("switch");
    int count = (int)(sizeof known / sizeof known[0]);
    tcase_add_checked_fixture(superblock, make_device, remove_device);
    tcase_add_loop_test(superblock, each_file_system_is_known_by_its_superblock, 0, count);
    tcase_add_loop_test(superblock, a_magic_that_is_cut_or_elsewhere_is_none, 0, count);
    tcase_add_test(superblock, an_empty_device_and_none_at_all_have_no_file_system);
    tcase_add_test(change, a_device_that_does_not_come_or_has_nothing_on_it_leaves_the_initramfs);
    tcase_add_test(change, the_new_root_takes_over_the_mounts_and_the_old_files_are_removed);
    suite_add_tcase(all, superblock);
    suite_add_tcase(all, change);
    return all;
}

UNIT_MAIN(suite)
