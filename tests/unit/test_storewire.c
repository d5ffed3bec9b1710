#include "agent/handover/storewire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/unit.h"

static int ends[2];

static void make_socket(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void close_socket(void)
{
    close(ends[0]);
    close(ends[1]);
}

static ino_t inode_of(int fd)
{
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    return status.st_ino;
}

static int lowest_free_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static struct storewire_message put_of(unsigned count, int *fds)
{
    struct storewire_message message = {.op = STOREWIRE_PUT, .count = count};
    for (unsigned i = 0; i < count; i++) {
        message.keys[i] = (struct storewire_key){STOREWIRE_STDOUT, 100 + i};
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    return message;
}

/* Sends bytes as they are, with one descriptor if fd is not negative. */
static void send_raw(const void *bytes, size_t length, int fd)
{
    unsigned char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {(void *)bytes, length};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    ck_assert_int_eq(sendmsg(ends[0], &header, 0), (ssize_t)length);
}

/* The message is refused, and its descriptor does not stay open. */
static void assert_refused(const void *bytes, size_t length, int fd)
{
    struct storewire_message got;
    struct nsp_error err;
    int fds[STOREWIRE_BATCH], before = lowest_free_fd();
    send_raw(bytes, length, fd);
    ck_assert_int_eq(storewire_receive(ends[1], &got, fds, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
    ck_assert_int_eq(lowest_free_fd(), before);
}

START_TEST(a_full_batch_arrives_with_its_descriptors_in_order)
{
    int sent[STOREWIRE_BATCH], got[STOREWIRE_BATCH];
    struct nsp_error err;
    struct storewire_message message = put_of(STOREWIRE_BATCH, sent), received;
    for (int i = 0; i < STOREWIRE_BATCH; i++) {
        close(sent[i]);
        int pair[2];
        ck_assert_int_eq(pipe(pair), 0);
        close(pair[1]);
        sent[i] = pair[0];
    }
    ck_assert_int_eq(storewire_send(ends[0], &message, sent, &err), 0);
    ck_assert_int_eq(storewire_receive(ends[1], &received, got, &err), 1);
    ck_assert_mem_eq(&received, &message, sizeof message);
    for (int i = 0; i < STOREWIRE_BATCH; i++) {
        ck_assert_uint_eq(inode_of(got[i]), inode_of(sent[i]));
        ck_assert_int_eq(fcntl(got[i], F_GETFD), FD_CLOEXEC);
        close(got[i]);
        close(sent[i]);
    }
}
END_TEST

START_TEST(messages_without_descriptors_arrive)
{
    const struct storewire_message message = {
        .op = STOREWIRE_DROP, .argument = 5, .count = 2, .keys = {{STOREWIRE_STDIN, 1}, {0, 0}}};
    struct storewire_message got;
    struct nsp_error err;
    int fds[STOREWIRE_BATCH];
    ck_assert_int_eq(storewire_send(ends[0], &message, NULL, &err), 0);
    ck_assert_int_eq(storewire_receive(ends[1], &got, fds, &err), 1);
    ck_assert_mem_eq(&got, &message, sizeof message);
}
END_TEST

START_TEST(the_end_is_told)
{
    struct storewire_message got;
    struct nsp_error err;
    int fds[STOREWIRE_BATCH];
    shutdown(ends[0], SHUT_RDWR);
    ck_assert_int_eq(storewire_receive(ends[1], &got, fds, &err), 0);
}
END_TEST

START_TEST(an_empty_and_a_full_socket_say_again)
{
    const struct storewire_message message = {.op = STOREWIRE_READY};
    struct storewire_message got;
    struct nsp_error err;
    int fds[STOREWIRE_BATCH], result, sent = 0;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    ck_assert_int_eq(storewire_receive(ends[1], &got, fds, &err), -1);
    ck_assert_int_eq(err.sys_errno, EAGAIN);
    while ((result = storewire_send(ends[0], &message, NULL, &err)) == 0 && sent < 100000)
        sent++;
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(err.sys_errno, EAGAIN);
    while (sent-- > 0)
        ck_assert_int_eq(storewire_receive(ends[1], &got, fds, &err), 1);
}
END_TEST

START_TEST(sending_to_nobody_fails_without_a_signal)
{
    const struct storewire_message message = {.op = STOREWIRE_READY};
    struct nsp_error err;
    close(ends[1]);
    ck_assert_int_eq(storewire_send(ends[0], &message, NULL, &err), -1);
    ck_assert_int_eq(err.sys_errno, EPIPE);
    ends[1] = -1;
}
END_TEST

START_TEST(malformed_messages_are_refused_and_leak_nothing)
{
    struct storewire_message message = {.op = STOREWIRE_PUT, .count = 1};
    unsigned char longer[sizeof message + 1] = {0};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_refused(&message, sizeof message - 1, fd);
    memcpy(longer, &message, sizeof message);
    assert_refused(longer, sizeof longer, fd);
    assert_refused(&message, sizeof message, -1); /* a put without its descriptor */
    message.op = STOREWIRE_DROP;
    assert_refused(&message, sizeof message, fd); /* a drop with one */
    message.op = STOREWIRE_END + 1;
    assert_refused(&message, sizeof message, -1);
    message.op = 0;
    assert_refused(&message, sizeof message, -1);
    message.op = STOREWIRE_DROP;
    message.count = STOREWIRE_BATCH + 1;
    assert_refused(&message, sizeof message, -1);
    message.count = 1;
    message.keys[0].kind = STOREWIRE_KIND_COUNT;
    assert_refused(&message, sizeof message, -1);
    close(fd);
}
END_TEST

START_TEST(no_room_for_descriptors_is_exhausted_and_leaks_nothing)
{
    int sent[STOREWIRE_BATCH], got[STOREWIRE_BATCH];
    struct nsp_error err;
    struct storewire_message message = put_of(4, sent), received;
    int free_fd = lowest_free_fd();
    const struct rlimit tight = {(rlim_t)free_fd + 2, (rlim_t)free_fd + 2};
    ck_assert_int_eq(storewire_send(ends[0], &message, sent, &err), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
    ck_assert_int_eq(storewire_receive(ends[1], &received, got, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_EXHAUSTED);
    ck_assert_int_eq(lowest_free_fd(), free_fd);
    for (int i = 0; i < 4; i++)
        close(sent[i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("storewire");
    TCase *wire = tcase_create("wire");
    tcase_add_checked_fixture(wire, make_socket, close_socket);
    tcase_add_test(wire, a_full_batch_arrives_with_its_descriptors_in_order);
    tcase_add_test(wire, messages_without_descriptors_arrive);
    tcase_add_test(wire, the_end_is_told);
    tcase_add_test(wire, an_empty_and_a_full_socket_say_again);
    tcase_add_test(wire, sending_to_nobody_fails_without_a_signal);
    tcase_add_test(wire, malformed_messages_are_refused_and_leak_nothing);
    tcase_add_test(wire, no_room_for_descriptors_is_exhausted_and_leaks_nothing);
    suite_add_tcase(all, wire);
    return all;
}

UNIT_MAIN(suite)
