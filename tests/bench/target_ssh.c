/* OpenSSH's PROTOCOL.mux, over the control socket of a master that keeps the connection: each
 * command is a new control connection to it, to which three descriptors are passed, and which tells
 * the exit. What is measured thus is master, cipher, server and the user's shell.
 */
#include "tests/bench/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    HELLO = 1,
    VERSION = 4,
    NEW_SESSION = 0x10000002,
    SESSION_OPENED = (int)0x80000006,
    EXIT_MESSAGE = (int)0x80000004,
    NO_ESCAPE = -1,
    MESSAGE = 1024,
    PIECE = 65536,
};

struct ssh {
    struct target target;
    const char *path;
    int null;
    int control[TARGET_SLOTS]; /* -1: free */
};

struct message {
    uint32_t length; /* of bytes; behind it on the wire */
    uint8_t bytes[MESSAGE];
};

static void put_number(struct message *message, int number)
{
    uint32_t wire = htonl((uint32_t)number);
    memcpy(message->bytes + message->length, &wire, sizeof wire);
    message->length += sizeof wire;
}

static void put_text(struct message *message, const char *text)
{
    size_t length = strlen(text);
    if (message->length + length + 64 > MESSAGE)
        measure_die("a message is too long");
    put_number(message, (int)length);
    memcpy(message->bytes + message->length, text, length);
    message->length += (uint32_t)length;
}

static void send_message(int fd, const struct message *message)
{
    uint8_t wire[sizeof(uint32_t) + MESSAGE];
    uint32_t length = htonl(message->length);
    memcpy(wire, &length, sizeof length);
    memcpy(wire + sizeof length, message->bytes, message->length);
    measure_check(send(fd, wire, sizeof length + message->length, MSG_NOSIGNAL), "send");
}

static void receive_exactly(int fd, void *target, size_t length)
{
    if (measure_check(recv(fd, target, length, MSG_WAITALL), "recv") != (long)length)
        measure_die("the ssh master has closed the connection");
}

static int number_at(const struct message *message, uint32_t position)
{
    uint32_t number = 0;
    if (position + sizeof number <= message->length)
        memcpy(&number, message->bytes + position, sizeof number);
    return (int)ntohl(number);
}

static int receive_message(int fd, struct message *ret_message)
{
    uint32_t length;
    receive_exactly(fd, &length, sizeof length);
    ret_message->length = ntohl(length);
    if (ret_message->length > MESSAGE)
        measure_die("the ssh master sends %u bytes", ret_message->length);
    receive_exactly(fd, ret_message->bytes, ret_message->length);
    return number_at(ret_message, 0);
}

static void expect(int fd, int type)
{
    struct message message;
    int got = receive_message(fd, &message);
    if (got != type)
        measure_die("the ssh master answers %x instead of %x", (unsigned)got, (unsigned)type);
}

static void send_fd(int socket, int fd)
{
    char byte = 0;
    struct iovec piece = {&byte, 1};
    union {
        char bytes[CMSG_SPACE(sizeof fd)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    measure_check(sendmsg(socket, &message, MSG_NOSIGNAL), "sendmsg");
}

/* A new control connection with a session in it. */
static int open_session(const struct ssh *ssh, const char *command, int in, int out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", ssh->path);
    int fd = (int)measure_check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    measure_check(connect(fd, (struct sockaddr *)&address, sizeof address), ssh->path);
    struct message message = {0};
    put_number(&message, HELLO);
    put_number(&message, VERSION);
    send_message(fd, &message);
    message.length = 0;
    put_number(&message, NEW_SESSION);
    put_number(&message, 0); /* request id */
    put_text(&message, "");  /* reserved */
    for (unsigned i = 0; i < 4; i++)
        put_number(&message, 0); /* no terminal, X11, agent, subsystem */
    put_number(&message, NO_ESCAPE);
    put_text(&message, ""); /* terminal type */
    put_text(&message, command);
    send_message(fd, &message);
    send_fd(fd, in);
    send_fd(fd, out);
    send_fd(fd, ssh->null);
    expect(fd, HELLO);
    expect(fd, SESSION_OPENED);
    return fd;
}

/* Waits for the command's end; it must be status 0. */
static void finish(int control)
{
    struct message message;
    if (receive_message(control, &message) != EXIT_MESSAGE)
        measure_die("the ssh master tells no exit");
    if (number_at(&message, 8) != 0)
        measure_die("a process failed: status %d", number_at(&message, 8));
    close(control);
}

static struct target *open_ssh(const char *path)
{
    struct ssh *ssh = measure_alloc(sizeof *ssh);
    ssh->path = path;
    ssh->null = (int)measure_check(open("/dev/null", O_RDWR | O_CLOEXEC), "/dev/null");
    for (unsigned slot = 0; slot < TARGET_SLOTS; slot++)
        ssh->control[slot] = -1;
    return &ssh->target;
}

static void close_ssh(struct target *target)
{
    struct ssh *ssh = (struct ssh *)target;
    close(ssh->null);
    free(ssh);
}

static void start(struct target *target, const char *program, unsigned slot)
{
    struct ssh *ssh = (struct ssh *)target;
    ssh->control[slot] = open_session(ssh, program, ssh->null, ssh->null);
}

static unsigned wait_for_one(struct target *target)
{
    struct ssh *ssh = (struct ssh *)target;
    struct pollfd polled[TARGET_SLOTS];
    for (unsigned slot = 0; slot < TARGET_SLOTS; slot++)
        polled[slot] = (struct pollfd){.fd = ssh->control[slot], .events = POLLIN};
    measure_check(poll(polled, TARGET_SLOTS, -1), "poll");
    for (unsigned slot = 0; slot < TARGET_SLOTS; slot++) {
        if (polled[slot].revents == 0)
            continue;
        finish(ssh->control[slot]);
        ssh->control[slot] = -1;
        return slot;
    }
    measure_die("poll without a result");
}

static uint64_t output(struct target *target, uint64_t bytes)
{
    static uint8_t scratch[4 * PIECE];
    struct ssh *ssh = (struct ssh *)target;
    char command[64];
    int fds[2];
    uint64_t total = 0;
    snprintf(command, sizeof command, "exec head -c %llu /dev/zero", (unsigned long long)bytes);
    measure_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
    int control = open_session(ssh, command, ssh->null, fds[1]);
    close(fds[1]);
    for (long got; (got = measure_check(read(fds[0], scratch, sizeof scratch), "read")) > 0;)
        total += (uint64_t)got;
    close(fds[0]);
    finish(control);
    return total;
}

static void input(struct target *target, uint64_t bytes)
{
    static const uint8_t zeros[PIECE];
    struct ssh *ssh = (struct ssh *)target;
    int fds[2];
    measure_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
    int control = open_session(ssh, "exec cat >/dev/null", fds[1], ssh->null);
    close(fds[1]);
    for (uint64_t sent = 0; sent < bytes;) {
        size_t piece = bytes - sent < PIECE ? bytes - sent : PIECE;
        ssize_t step;
        while ((step = write(fds[0], zeros, piece)) < 0 && errno == EAGAIN)
            (void)poll(&(struct pollfd){.fd = fds[0], .events = POLLOUT}, 1, -1);
        sent += (uint64_t)measure_check(step, "write");
    }
    close(fds[0]);
    finish(control);
}

const struct target_kind target_ssh = {.name = "ssh",
                                       .open = open_ssh,
                                       .close = close_ssh,
                                       .start = start,
                                       .wait = wait_for_one,
                                       .output = output,
                                       .input = input};
