/* A program in a guest that does over vsock what the agent does, and nothing else: the limit of
 * what can be had there. tests/bench/target_echo.c is its other end.
 *
 * usage: vsock_echo PORT
 *
 * A connection begins with what is wanted: a letter and a number of bytes in little endian.
 *
 *   e  every piece comes back
 *   o  the output of `head -c BYTES /dev/zero`, in pieces of 64 KiB
 *   i  so many bytes become the input of `cat >/dev/null`; a byte comes back at its end
 *
 * A connection that fails is closed: there is nobody to tell.
 */
#include <endian.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 65536, BACKLOG = 64 };

static char bytes[PIECE];

static int write_all(int fd, const char *from, size_t length)
{
    while (length > 0) {
        ssize_t done = write(fd, from, length);
        if (done <= 0)
            return -1;
        from += done;
        length -= (size_t)done;
    }
    return 0;
}

static void pump(int in, int out, uint64_t length)
{
    while (length > 0) {
        ssize_t got = read(in, bytes, length < PIECE ? (size_t)length : PIECE);
        if (got <= 0 || write_all(out, bytes, (size_t)got) < 0)
            return;
        length -= (uint64_t)got;
    }
}

/* argv with that descriptor as its standard input or output. */
static void spawn(char *const argv[], int fd, int as)
{
    if (vfork() == 0) {
        dup2(fd, as);
        execvp(argv[0], argv);
        _exit(127);
    }
}

static void output(int link, uint64_t length)
{
    char count[32];
    int fds[2];
    snprintf(count, sizeof count, "%llu", (unsigned long long)length);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    spawn((char *[]){"head", "-c", count, "/dev/zero", NULL}, fds[1], STDOUT_FILENO);
    close(fds[1]);
    pump(fds[0], link, length);
    close(fds[0]);
    wait(NULL);
}

static void input(int link, uint64_t length)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    spawn((char *[]){"sh", "-c", "exec cat >/dev/null", NULL}, fds[0], STDIN_FILENO);
    close(fds[0]);
    pump(link, fds[1], length);
    close(fds[1]);
    wait(NULL);
    write_all(link, bytes, 1);
}

static void serve(int link)
{
    struct __attribute__((packed)) {
        char wanted;
        uint64_t length;
    } request;
    if (recv(link, &request, sizeof request, MSG_WAITALL) != sizeof request)
        return;
    request.length = le64toh(request.length);
    if (request.wanted == 'o')
        output(link, request.length);
    else if (request.wanted == 'i')
        input(link, request.length);
    else
        pump(link, link, UINT64_MAX);
}

int main(int argc, char **argv)
{
    int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY};
    if (argc != 2)
        return 2;
    address.svm_port = (unsigned)atoi(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, BACKLOG) < 0) {
        perror("vsock_echo");
        return 1;
    }
    for (int link; (link = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; close(link))
        serve(link);
    return 1;
}
