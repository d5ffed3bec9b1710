#include "client/address.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/unit.h"

static struct nsp_address parse(const char *text)
{
    struct nsp_address address;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_address_parse(text, &address, &err) == 0, "%s", err.msg);
    return address;
}

static void refuse(const char *text)
{
    struct nsp_address address;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_address_parse(text, &address, &err) == -1, "accepted: %s", text);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_int_eq(strncmp(err.object, text, sizeof err.object - 1), 0);
}

START_TEST(unix_takes_the_whole_rest_as_path)
{
    struct nsp_address address = parse("unix:/run/a:b?token-file=x");
    ck_assert_int_eq(address.kind, NSP_ADDRESS_UNIX);
    ck_assert_str_eq(address.path, "/run/a:b?token-file=x");
    ck_assert_str_eq(address.token_file, "");
}
END_TEST

START_TEST(tcp_has_a_numeric_host_and_a_port)
{
    struct nsp_address address = parse("tcp:127.0.0.1:1024");
    ck_assert_int_eq(address.kind, NSP_ADDRESS_TCP);
    ck_assert_str_eq(address.host, "127.0.0.1");
    ck_assert_uint_eq(address.port, 1024);
}
END_TEST

START_TEST(tcp_takes_ipv6_with_and_without_brackets)
{
    ck_assert_str_eq(parse("tcp:[::1]:5").host, "::1");
    ck_assert_str_eq(parse("tcp:::1:5").host, "::1");
    ck_assert_uint_eq(parse("tcp:[::1]:65535").port, 65535);
}
END_TEST

START_TEST(tcp_names_a_token_file)
{
    struct nsp_address address = parse("tcp:127.0.0.1:9?token-file=/run/a:b");
    ck_assert_str_eq(address.token_file, "/run/a:b");
    ck_assert_uint_eq(address.port, 9);
}
END_TEST

START_TEST(hybrid_splits_at_the_last_colon)
{
    struct nsp_address address = parse("hybrid:/srv/vm:1/v.sock:1024");
    ck_assert_int_eq(address.kind, NSP_ADDRESS_HYBRID);
    ck_assert_str_eq(address.path, "/srv/vm:1/v.sock");
    ck_assert_uint_eq(address.port, 1024);
}
END_TEST

START_TEST(vsock_has_cid_and_port)
{
    struct nsp_address address = parse("vsock:3:1024");
    ck_assert_int_eq(address.kind, NSP_ADDRESS_VSOCK);
    ck_assert_uint_eq(address.cid, 3);
    ck_assert_uint_eq(address.port, 1024);
}
END_TEST

static const char *const bad[] = {
    "",
    "unix",
    "unix:",
    "/run/x",
    "http://x",
    "UNIX:/x",
    "tcp:",
    "tcp:127.0.0.1",
    "tcp:127.0.0.1:",
    "tcp:localhost:1",
    "tcp::1",
    "tcp:127.0.0.1:0",
    "tcp:127.0.0.1:65536",
    "tcp:127.0.0.1:-1",
    "tcp:127.0.0.1:+1",
    "tcp:127.0.0.1: 1",
    "tcp:127.0.0.1:1x",
    "tcp:127.0.0.1:99999999999",
    "tcp:127.0.0.1:1?",
    "tcp:127.0.0.1:1?token-file=",
    "tcp:127.0.0.1:1?token=x",
    "tcp:[::1:1",
    "hybrid:/x",
    "hybrid::1",
    "hybrid:/x:",
    "hybrid:/x:y",
    "hybrid:/x:4294967295",
    "vsock:3",
    "vsock::1",
    "vsock:3:",
    "vsock:x:1",
    "vsock:4294967295:1",
    "vsock:3:4294967296",
};

START_TEST(nonsense_is_refused_with_the_address_named)
{
    refuse(bad[_i]);
}
END_TEST

START_TEST(a_path_beyond_the_limit_is_refused)
{
    char text[NSP_LIMIT_PATH + 64];
    memset(text, 'a', sizeof text);
    memcpy(text, "unix:", 5);
    text[5 + NSP_LIMIT_PATH] = '\0';
    ck_assert_uint_eq(strlen(parse(text).path), NSP_LIMIT_PATH);
    text[5 + NSP_LIMIT_PATH] = 'a';
    text[6 + NSP_LIMIT_PATH] = '\0';
    refuse(text);
}
END_TEST

START_TEST(a_missing_socket_is_a_connection_error_with_errno)
{
    struct nsp_address address = parse("unix:/nonexistent/socket");
    struct nsp_error err = NSP_ERROR_INIT;
    int fd = -1;
    ck_assert_int_eq(nsp_address_connect(&address, &fd, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_CONNECTION);
    ck_assert_int_eq(err.sys_errno, ENOENT);
    ck_assert_str_eq(err.object, "/nonexistent/socket");
    ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(a_path_longer_than_sun_path_is_reached)
{
    char directory[256] = "/tmp/nsp-long-XXXXXX", path[512], text[600];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    size_t length = strlen(directory);
    snprintf(path, sizeof path, "%s/%0150d", directory, 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    memcpy(directory, path, length + 152);

    int at = open(path, O_PATH | O_DIRECTORY);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d/s", at);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&un, sizeof un), 0);
    ck_assert_int_eq(listen(listener, 1), 0);

    snprintf(text, sizeof text, "unix:%s/s", path);
    struct nsp_address address = parse(text);
    struct nsp_error err = NSP_ERROR_INIT;
    int fd = -1;
    ck_assert_msg(nsp_address_connect(&address, &fd, &err) == 0, "%s", err.msg);
    close(fd);
    close(listener);
    unlinkat(at, "s", 0);
    close(at);
    rmdir(path);
    directory[length] = '\0';
    rmdir(directory);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("client/address");
    TCase *parsing = tcase_create("parse");
    tcase_add_test(parsing, unix_takes_the_whole_rest_as_path);
    tcase_add_test(parsing, tcp_has_a_numeric_host_and_a_port);
    tcase_add_test(parsing, tcp_takes_ipv6_with_and_without_brackets);
    tcase_add_test(parsing, tcp_names_a_token_file);
    tcase_add_test(parsing, hybrid_splits_at_the_last_colon);
    tcase_add_test(parsing, vsock_has_cid_and_port);
    tcase_add_loop_test(parsing, nonsense_is_refused_with_the_address_named, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(parsing, a_path_beyond_the_limit_is_refused);
    suite_add_tcase(suite, parsing);
    TCase *connecting = tcase_create("connect");
    tcase_add_test(connecting, a_missing_socket_is_a_connection_error_with_errno);
    tcase_add_test(connecting, a_path_longer_than_sun_path_is_reached);
    suite_add_tcase(suite, connecting);
    return suite;
}

UNIT_MAIN(suite)
