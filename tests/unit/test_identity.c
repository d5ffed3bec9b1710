/* Who the guest is, in directories and namespaces of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/boot/identity.h"
#include "tests/support/unit.h"

static char top[64], etc[80], fallback[80];
static struct nsp_error err;
static struct identity_request request;

static char *in(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", etc, name);
    return path;
}

/* Host name and mounts are the test's own from now on; false where that is not allowed. */
static bool isolate(void)
{
    return unshare(CLONE_NEWUTS | CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}
#define NEEDS_ISOLATION()                                                                          \
    do {                                                                                           \
        if (!isolate())                                                                            \
            UNIT_SKIP("may not make namespaces");                                                  \
    } while (0)

static void setup(void)
{
    snprintf(top, sizeof top, "/tmp/identity.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    snprintf(etc, sizeof etc, "%s/etc", top);
    snprintf(fallback, sizeof fallback, "%s/run", top);
    ck_assert_int_eq(mkdir(etc, 0755), 0);
    ck_assert_int_eq(mkdir(fallback, 0755), 0);
    request = (struct identity_request){.etc = etc, .fallback = fallback};
    err = NSP_ERROR_INIT;
}

static void teardown(void)
{
    static const char *const names[] = {"hosts", "hostname", "machine-id"};
    umount2(etc, MNT_DETACH);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        umount2(in(names[i]), MNT_DETACH);
        unlink(in(names[i]));
        snprintf(path, sizeof path, "%s/%s", fallback, names[i]);
        unlink(path);
    }
    rmdir(etc);
    rmdir(fallback);
    ck_assert_int_eq(rmdir(top), 0);
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(in(name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static const char *content(const char *name)
{
    static char text[4096];
    FILE *file = fopen(in(name), "r");
    ck_assert_msg(file != NULL, "%s: %s", name, strerror(errno));
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void apply(void)
{
    ck_assert_msg(identity_apply(&request, &err) == 0, "%s", err.msg);
}

#define BEGIN "# nullspace-agent: begin\n"
#define END "# nullspace-agent: end\n"

/* hosts */

START_TEST(without_hosts_there_is_localhost)
{
    apply();
    ck_assert_str_eq(content("hosts"),
                     BEGIN "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n" END);
}
END_TEST

START_TEST(what_is_there_stays)
{
    static const char text[] = "127.0.0.1\tlocalhost other\n10.0.0.1 gateway";
    put("hosts", text);
    apply();
    ck_assert_str_eq(content("hosts"), text);
    request.hosts = (char *[]){(char[]){"10.0.0.2 db db.local"}, NULL};
    apply();
    ck_assert_str_eq(content("hosts"), "127.0.0.1\tlocalhost other\n10.0.0.1 gateway\n" BEGIN
                                       "10.0.0.2 db db.local\n" END);
}
END_TEST

START_TEST(a_comment_is_no_localhost)
{
    put("hosts", "# 127.0.0.1 localhost\nlocalhost 127.0.0.1\n127.0.0.1 localhost4 # localhost\n");
    apply();
    ck_assert_ptr_nonnull(strstr(content("hosts"), BEGIN "127.0.0.1 localhost\n"));
}
END_TEST

START_TEST(an_earlier_block_is_replaced)
{
    put("hosts", "127.0.0.1 localhost\n" BEGIN "10.0.0.2 old\n" END "10.0.0.3 mine\n");
    request.hosts = (char *[]){(char[]){"10.0.0.2 new"}, NULL};
    apply();
    apply();
    ck_assert_str_eq(content("hosts"),
                     "127.0.0.1 localhost\n10.0.0.3 mine\n" BEGIN "10.0.0.2 new\n" END);
    request.hosts = NULL;
    apply();
    ck_assert_str_eq(content("hosts"), "127.0.0.1 localhost\n10.0.0.3 mine\n");
}
END_TEST

START_TEST(a_block_without_end_is_not_ours)
{
    put("hosts", "127.0.0.1 localhost\n" BEGIN "10.0.0.2 old\n");
    apply();
    ck_assert_str_eq(content("hosts"), "127.0.0.1 localhost\n" BEGIN "10.0.0.2 old\n");
}
END_TEST

START_TEST(a_file_that_is_too_long_is_left_alone)
{
    FILE *file = fopen(in("hosts"), "w");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < 70000; i++)
        fputc('#', file);
    fclose(file);
    ck_assert_int_eq(identity_apply(&request, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    struct stat status;
    ck_assert_int_eq(stat(in("hosts"), &status), 0);
    ck_assert_int_eq(status.st_size, 70000);
    ck_assert_uint_eq(strlen(content("machine-id")), 33);
}
END_TEST

/* machine-id */

static void assert_machine_id(void)
{
    const char *id = content("machine-id");
    ck_assert_uint_eq(strlen(id), 33);
    ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 32);
    ck_assert_int_eq(id[32], '\n');
}

START_TEST(a_machine_id_is_made_where_there_is_none)
{
    char first[64];
    apply();
    assert_machine_id();
    snprintf(first, sizeof first, "%s", content("machine-id"));
    apply();
    ck_assert_str_eq(content("machine-id"), first);
    put("machine-id", "");
    apply();
    assert_machine_id();
    ck_assert_str_ne(content("machine-id"), first);
    put("machine-id", "\n");
    apply();
    assert_machine_id();
    put("machine-id", "uninitialized\n");
    apply();
    assert_machine_id();
}
END_TEST

START_TEST(a_machine_id_that_is_there_stays)
{
    put("machine-id", "0123456789abcdef0123456789abcdef\n");
    apply();
    ck_assert_str_eq(content("machine-id"), "0123456789abcdef0123456789abcdef\n");
}
END_TEST

START_TEST(a_read_only_root_is_covered)
{
    NEEDS_ISOLATION();
    put("machine-id", "");
    put("hosts", "127.0.0.1 localhost\n");
    request.hosts = (char *[]){(char[]){"10.0.0.2 db"}, NULL};
    ck_assert_int_eq(mount(etc, etc, NULL, MS_BIND, NULL), 0);
    ck_assert_int_eq(mount(NULL, etc, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    apply();
    assert_machine_id();
    ck_assert_ptr_nonnull(strstr(content("hosts"), "10.0.0.2 db\n"));
    ck_assert_int_eq(umount2(in("machine-id"), 0), 0);
    ck_assert_str_eq(content("machine-id"), "");
    ck_assert_int_eq(umount2(in("hosts"), 0), 0);
}
END_TEST

/* Host name */

START_TEST(the_host_name_is_set_and_written)
{
    char name[65], domain[65];
    NEEDS_ISOLATION();
    request.hostname = "guest-1";
    request.domain = "example.org";
    apply();
    ck_assert_int_eq(gethostname(name, sizeof name), 0);
    ck_assert_int_eq(getdomainname(domain, sizeof domain), 0);
    ck_assert_str_eq(name, "guest-1");
    ck_assert_str_eq(domain, "example.org");
    ck_assert_str_eq(content("hostname"), "guest-1\n");
    ck_assert_ptr_nonnull(strstr(content("hosts"), "\n127.0.1.1 guest-1.example.org guest-1\n"));
    request.hostname = "guest-2";
    request.domain = NULL;
    apply();
    ck_assert_str_eq(content("hostname"), "guest-2\n");
    ck_assert_ptr_nonnull(strstr(content("hosts"), "\n127.0.1.1 guest-2\n"));
    ck_assert_ptr_null(strstr(content("hosts"), "guest-1"));
}
END_TEST

START_TEST(the_name_of_the_image_counts_when_nothing_is_configured)
{
    char name[65];
    NEEDS_ISOLATION();
    put("hostname", "# the template's\n\n  template-7  # trailing\n");
    apply();
    ck_assert_int_eq(gethostname(name, sizeof name), 0);
    ck_assert_str_eq(name, "template-7");
    ck_assert_str_eq(content("hostname"), "# the template's\n\n  template-7  # trailing\n");
    put("hostname", "# nothing\n");
    apply();
    ck_assert_int_eq(gethostname(name, sizeof name), 0);
    ck_assert_str_eq(name, "template-7");
}
END_TEST

START_TEST(a_name_that_does_not_fit_is_refused_and_the_rest_is_done)
{
    char longest[66];
    NEEDS_ISOLATION();
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    request.hostname = longest;
    ck_assert_int_eq(identity_apply(&request, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_int_eq(access(in("hostname"), F_OK), -1);
    assert_machine_id();
    request.hostname = "";
    ck_assert_int_eq(identity_apply(&request, NULL), -1);
    request.hostname = longest + 1;
    apply();
    request.domain = longest;
    ck_assert_int_eq(identity_apply(&request, &err), -1);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("identity");
    TCase *tests = tcase_create("identity");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, without_hosts_there_is_localhost);
    tcase_add_test(tests, what_is_there_stays);
    tcase_add_test(tests, a_comment_is_no_localhost);
    tcase_add_test(tests, an_earlier_block_is_replaced);
    tcase_add_test(tests, a_block_without_end_is_not_ours);
    tcase_add_test(tests, a_file_that_is_too_long_is_left_alone);
    tcase_add_test(tests, a_machine_id_is_made_where_there_is_none);
    tcase_add_test(tests, a_machine_id_that_is_there_stays);
    tcase_add_test(tests, a_read_only_root_is_covered);
    tcase_add_test(tests, the_host_name_is_set_and_written);
    tcase_add_test(tests, the_name_of_the_image_counts_when_nothing_is_configured);
    tcase_add_test(tests, a_name_that_does_not_fit_is_refused_and_the_rest_is_done);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
