#include "agent/machine/kmsg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/unit.h"

static struct kmsg_record record;

static int parse(const char *text)
{
    return kmsg_parse(text, strlen(text), &record);
}

START_TEST(a_record_has_priority_sequence_time_and_text)
{
    ck_assert_int_eq(parse("5,335,1257761,-;virtio_blk virtio1: [vda] new size: 536870912\n"
                           " SUBSYSTEM=virtio\n DEVICE=+virtio:virtio1\n"),
                     0);
    ck_assert_uint_eq(record.priority, 5);
    ck_assert_uint_eq(record.sequence, 335);
    ck_assert_uint_eq(record.time_us, 1257761);
    ck_assert_str_eq(record.text, "virtio_blk virtio1: [vda] new size: 536870912");
    ck_assert_uint_eq(record.length, strlen(record.text));
}
END_TEST

START_TEST(the_facility_is_left_out)
{
    ck_assert_int_eq(parse("30,7,1,-;systemd[1]: started; and more\n"), 0);
    ck_assert_uint_eq(record.priority, 6);
    ck_assert_str_eq(record.text, "systemd[1]: started; and more");
}
END_TEST

START_TEST(fields_to_come_are_passed_over)
{
    ck_assert_int_eq(parse("6,339,5140900,c,caller=T1,new;continued\n"), 0);
    ck_assert_str_eq(record.text, "continued");
    ck_assert_int_eq(parse("6,339,5140900,;\n"), 0);
    ck_assert_str_eq(record.text, "");
}
END_TEST

START_TEST(escapes_are_bytes_and_control_characters_do_not_get_through)
{
    ck_assert_int_eq(parse("6,1,2,-;gr\\xc3\\xbcn \\x5c \\x1b[1m \\x09tab \\q \\xg1 \\x\n"), 0);
    ck_assert_str_eq(record.text, "gr\xc3\xbcn \\ ?[1m \ttab \\q \\xg1 \\x");
    ck_assert_int_eq(parse("6,1,2,-;\\x00end\\xF"), 0);
    ck_assert_str_eq(record.text, "?end\\xF");
}
END_TEST

START_TEST(a_long_text_is_cut)
{
    char text[3000];
    int head = snprintf(text, sizeof text, "6,1,2,-;");
    memset(text + head, 'x', sizeof text - (size_t)head);
    ck_assert_int_eq(kmsg_parse(text, sizeof text, &record), 0);
    ck_assert_uint_eq(record.length, KMSG_TEXT_MAX);
    ck_assert_uint_eq(strlen(record.text), KMSG_TEXT_MAX);
}
END_TEST

START_TEST(what_is_no_record_is_refused)
{
    static const char *const bad[] = {
        "",
        "\n",
        "6",
        "6,1,2;no flags",
        ",1,2,-;x",
        "6,,2,-;x",
        "6,1,,-",
        "-1,1,2,-;x",
        "6,1,2,-\n; after",
        "6 ,1,2,-;x",
        "6,1,2,-",
        "6,18446744073709551616,2,-;x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(parse(bad[i]) == -1, "%s", bad[i]);
    ck_assert_int_eq(parse("6,18446744073709551615,2,-;largest"), 0);
    ck_assert_uint_eq(record.sequence, UINT64_MAX);
}
END_TEST

START_TEST(lines_of_a_snapshot_have_priority_time_and_text)
{
    const char text[] = "<4>[    1.234567] first\n<14>second\n[12345.000001] third\n\n[x] fourth";
    static const struct {
        unsigned priority;
        uint64_t time_us;
        const char *text;
    } expected[] = {{4, 1234567, "first"},
                    {6, 0, "second"},
                    {6, UINT64_C(12345000001), "third"},
                    {6, 0, ""},
                    {6, 0, "[x] fourth"}};
    size_t at = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        size_t used = kmsg_parse_line(text + at, sizeof text - 1 - at, &record);
        ck_assert_uint_gt(used, 0);
        ck_assert_uint_eq(record.priority, expected[i].priority);
        ck_assert_uint_eq(record.time_us, expected[i].time_us);
        ck_assert_str_eq(record.text, expected[i].text);
        at += used;
    }
    ck_assert_uint_eq(at, sizeof text - 1);
    ck_assert_uint_eq(kmsg_parse_line(text + at, 0, &record), 0);
}
END_TEST

START_TEST(the_kernels_log_is_read_without_holes)
{
    struct kmsg *kmsg = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    if (kmsg_open(&kmsg, &err) < 0)
        UNIT_SKIP("the kernel's log cannot be read here");
    if (kmsg_fd(kmsg) < 0) {
        kmsg_free(kmsg);
        UNIT_SKIP("there is no /dev/kmsg here");
    }
    uint64_t first = 0, last = 0;
    unsigned records = 0;
    while (records < 500 && kmsg_read(kmsg, &record)) {
        if (records++ == 0)
            first = record.sequence;
        else
            ck_assert_uint_gt(record.sequence, last);
        last = record.sequence;
    }
    ck_assert_uint_gt(records, 0);
    kmsg_rewind(kmsg);
    ck_assert(kmsg_read(kmsg, &record));
    ck_assert_uint_ge(record.sequence, first);
    kmsg_free(kmsg);
}
END_TEST

START_TEST(a_snapshot_has_no_sequences_and_ends)
{
    struct kmsg *kmsg = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    if (kmsg_open_snapshot(&kmsg, &err) < 0) {
        ck_assert(err.code == NSP_E_PERMISSION || err.code == NSP_E_NOT_FOUND);
        UNIT_SKIP("syslog(2) is not permitted here");
    }
    ck_assert_int_eq(kmsg_fd(kmsg), -1);
    while (kmsg_read(kmsg, &record)) {
        ck_assert_uint_eq(record.sequence, 0);
        ck_assert_uint_gt(record.length, 0);
    }
    ck_assert(!kmsg_read(kmsg, &record));
    kmsg_free(kmsg);
}
END_TEST

/* In a process of its own: nobody may read the kernel's log there, unless everybody may. */
static int open_unprivileged(void)
{
    struct kmsg *kmsg = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    if (setgid(65534) < 0 || setuid(65534) < 0)
        return 2;
    if (kmsg_open(&kmsg, &err) == 0) {
        kmsg_free(kmsg);
        return 2;
    }
    return err.code == NSP_E_PERMISSION && err.sys_errno == EPERM ? 0 : 1;
}

START_TEST(without_permission_the_error_says_so)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(open_unprivileged());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2)
        UNIT_SKIP("needs root, and a kernel with dmesg_restrict");
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("kmsg");
    TCase *tests = tcase_create("kmsg");
    tcase_add_test(tests, a_record_has_priority_sequence_time_and_text);
    tcase_add_test(tests, the_facility_is_left_out);
    tcase_add_test(tests, fields_to_come_are_passed_over);
    tcase_add_test(tests, escapes_are_bytes_and_control_characters_do_not_get_through);
    tcase_add_test(tests, a_long_text_is_cut);
    tcase_add_test(tests, what_is_no_record_is_refused);
    tcase_add_test(tests, lines_of_a_snapshot_have_priority_time_and_text);
    tcase_add_test(tests, the_kernels_log_is_read_without_holes);
    tcase_add_test(tests, a_snapshot_has_no_sequences_and_ends);
    tcase_add_test(tests, without_permission_the_error_says_so);
    suite_add_tcase(all, tests);
    return all;
}

UNIT_MAIN(suite)
