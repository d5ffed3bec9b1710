#include "agent/transport/address.h"

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "agent/transport/transport.h"
#include "tests/support/unit.h"

static struct address parsed(const char *text)
{
    struct address address;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(address_parse(text, &address, &err) == 0, "%s: %s", text, err.msg);
    ck_assert_str_eq(address.text, text);
    return address;
}

START_TEST(vsock_port_listens_on_any_cid)
{
    struct address address = parsed("vsock:5000");
    const struct sockaddr_vm *name = (const struct sockaddr_vm *)&address.socket;
    ck_assert_ptr_eq(address.transport, &vsock_transport);
    ck_assert_uint_eq(address.length, sizeof *name);
    ck_assert_int_eq(name->svm_family, AF_VSOCK);
    ck_assert_uint_eq(name->svm_cid, VMADDR_CID_ANY);
    ck_assert_uint_eq(name->svm_port, 5000);
    ck_assert(!address.transport->needs_token);
}
END_TEST

START_TEST(unix_path_is_taken_as_it_is)
{
    struct address address = parsed("unix:/run/a:b.sock");
    const struct sockaddr_un *name = (const struct sockaddr_un *)&address.socket;
    ck_assert_ptr_eq(address.transport, &unix_transport);
    ck_assert_str_eq(name->sun_path, "/run/a:b.sock");
    ck_assert_uint_eq(address.length, offsetof(struct sockaddr_un, sun_path) + 14);
}
END_TEST

START_TEST(abstract_unix_name_has_its_exact_length)
{
    struct address address = parsed("unix:@agent");
    const struct sockaddr_un *name = (const struct sockaddr_un *)&address.socket;
    ck_assert_mem_eq(name->sun_path, "\0agent", 6);
    ck_assert_uint_eq(address.length, offsetof(struct sockaddr_un, sun_path) + 6);
}
END_TEST

START_TEST(longest_unix_path_is_accepted)
{
    char text[5 + 108 + 1] = "unix:";
    memset(text + 5, 'p', 107);
    parsed(text);
    memset(text + 5, 'p', 108);
    ck_assert_int_eq(address_parse(text, &(struct address){0}, NULL), -1);
}
END_TEST

START_TEST(tcp_addresses_are_numeric)
{
    struct address address = parsed("tcp:127.0.0.1:8080");
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address.socket;
    ck_assert_ptr_eq(address.transport, &tcp_transport);
    ck_assert_int_eq(four->sin_family, AF_INET);
    ck_assert_uint_eq(ntohl(four->sin_addr.s_addr), INADDR_LOOPBACK);
    ck_assert_uint_eq(ntohs(four->sin_port), 8080);
    ck_assert(address.transport->needs_token);

    address = parsed("tcp:[::1]:65535");
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address.socket;
    ck_assert_int_eq(six->sin6_family, AF_INET6);
    ck_assert(IN6_IS_ADDR_LOOPBACK(&six->sin6_addr));
    ck_assert_uint_eq(ntohs(six->sin6_port), 65535);
}
END_TEST

static const char *const malformed[] = {
    "",
    "unix",
    "unix:",
    "unix:@",
    "UNIX:/a",
    "http:127.0.0.1:80",
    "tcp:",
    "tcp:127.0.0.1",
    "tcp::80",
    "tcp:localhost:80",
    "tcp:127.0.0.1:",
    "tcp:127.0.0.1:65536",
    "tcp:127.0.0.1:080",
    "tcp:127.0.0.1:+80",
    "tcp:127.0.0.1:80x",
    "tcp:127.1:80",
    "tcp:::1:80",
    "tcp:[::1:80",
    "tcp:[]:80",
    "tcp:[::1]80",
    "tcp:[::1%lo]:80",
    "vsock:",
    "vsock:x",
    "vsock:-1",
    "vsock:4294967295",
    "vsock:2:5000",
};

START_TEST(malformed_address_is_refused_by_name)
{
    struct address address = {.length = 77};
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(address_parse(malformed[_i], &address, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_str_eq(err.object, malformed[_i]);
    ck_assert_uint_eq(address.length, 77);
}
END_TEST

START_TEST(too_long_address_is_refused)
{
    char text[300];
    struct nsp_error err = NSP_ERROR_INIT;
    memset(text, 'u', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(address_parse(text, &(struct address){0}, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("address");
    TCase *tcase = tcase_create("address");
    tcase_add_test(tcase, vsock_port_listens_on_any_cid);
    tcase_add_test(tcase, unix_path_is_taken_as_it_is);
    tcase_add_test(tcase, abstract_unix_name_has_its_exact_length);
    tcase_add_test(tcase, longest_unix_path_is_accepted);
    tcase_add_test(tcase, tcp_addresses_are_numeric);
    tcase_add_loop_test(tcase, malformed_address_is_refused_by_name, 0,
                        sizeof malformed / sizeof *malformed);
    tcase_add_test(tcase, too_long_address_is_refused);
    suite_add_tcase(result, tcase);
    return result;
}

UNIT_MAIN(suite)
