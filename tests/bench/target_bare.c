/* What the kernel alone takes for the same work: nothing here can be left out by an agent. */
#include "tests/bench/target.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/wire.h"

enum { PIECE = 65536, PING_BYTES = NSP_FRAME_HEADER_SIZE + 8 };

struct bare {
    struct target target;
    pid_t children[TARGET_SLOTS]; /* 0: free */
    int echo;                     /* our end; -1: no echoing child yet */
};

static char *const environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL};

static struct target *open_bare(const char *rest)
{
    (void)rest;
    struct bare *bare = measure_alloc(sizeof *bare);
    bare->echo = -1;
    return &bare->target;
}

static void close_bare(struct target *target)
{
    struct bare *bare = (struct bare *)target;
    if (bare->echo >= 0)
        close(bare->echo);
    free(bare);
}

static void start(struct target *target, const char *program, unsigned slot)
{
    char *const argv[] = {(char *)program, NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        execve(program, argv, environment);
        _exit(127);
    }
    measure_check(pid, "vfork");
    ((struct bare *)target)->children[slot] = pid;
}

static unsigned wait_for_one(struct target *target)
{
    struct bare *bare = (struct bare *)target;
    for (;;) {
        int status;
        pid_t pid = (pid_t)measure_check(waitpid(-1, &status, 0), "waitpid");
        for (unsigned slot = 0; slot < TARGET_SLOTS; slot++) {
            if (bare->children[slot] != pid)
                continue;
            if (status != 0)
                measure_die("a process failed: status %x", (unsigned)status);
            bare->children[slot] = 0;
            return slot;
        }
    }
}

/* A child that runs work(in, out), without the descriptor that is only ours, and ends with this
 * program at the latest. */
static pid_t fork_helper(void (*work)(int in, int out), int in, int out, int ours)
{
    pid_t parent = getpid();
    pid_t pid = (pid_t)measure_check(fork(), "fork");
    if (pid > 0)
        return pid;
    close(ours);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    work(in, out);
    _exit(0);
}

static void echo(int in, int out)
{
    char bytes[PING_BYTES];
    for (ssize_t got; (got = read(in, bytes, sizeof bytes)) > 0;)
        if (write(out, bytes, (size_t)got) != got)
            return;
}

static void make_socket_pair(int ret_fds[2])
{
    measure_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds), "socketpair");
}

static void ping(struct target *target)
{
    struct bare *bare = (struct bare *)target;
    char bytes[PING_BYTES] = {0};
    if (bare->echo < 0) {
        int fds[2];
        make_socket_pair(fds);
        fork_helper(echo, fds[1], fds[1], fds[0]);
        close(fds[1]);
        bare->echo = fds[0];
    }
    measure_check(write(bare->echo, bytes, sizeof bytes), "write");
    if (measure_check(read(bare->echo, bytes, sizeof bytes), "read") != sizeof bytes)
        measure_die("half a ping");
}

/* argv with a pipe as its input or output; the other end. */
static int spawn_with_pipe(char *const argv[], int child_fd, pid_t *ret_pid)
{
    int fds[2];
    measure_check(pipe2(fds, O_CLOEXEC), "pipe2");
    int mine = child_fd == STDOUT_FILENO ? fds[0] : fds[1];
    int theirs = child_fd == STDOUT_FILENO ? fds[1] : fds[0];
    *ret_pid = (pid_t)measure_check(fork(), "fork");
    if (*ret_pid == 0) {
        dup2(theirs, child_fd);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(theirs);
    return mine;
}

/* Pipe to socket, in frames as the agent's. */
static void pump_out(int in, int out)
{
    static uint8_t bytes[PIECE];
    struct wire *wire = wire_adopt(out);
    uint64_t offset = 0;
    for (ssize_t got; (got = read(in, bytes, sizeof bytes)) > 0; offset += (uint64_t)got)
        wire_data(wire, 1, NSP_CHANNEL_STDOUT, offset, bytes, (size_t)got);
    wire_end(wire, 1, NSP_CHANNEL_STDOUT, offset);
}

/* Socket to pipe, without any frames. */
static void pump_in(int in, int out)
{
    static uint8_t bytes[PIECE];
    for (ssize_t got; (got = read(in, bytes, sizeof bytes)) > 0;)
        for (ssize_t done = 0, step; done < got; done += step)
            step = measure_check(write(out, bytes + done, (size_t)(got - done)), "write");
}

/* Waits for both; only the pump's CPU time counts. */
static void reap(struct target *target, pid_t pump, pid_t child)
{
    struct rusage usage;
    int status;
    measure_check(wait4(pump, &status, 0, &usage), "wait4");
    target->own_cpu += (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
                       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
    measure_check(waitpid(child, &status, 0), "waitpid");
    if (status != 0)
        measure_die("a process failed: status %x", (unsigned)status);
}

static uint64_t output(struct target *target, uint64_t bytes)
{
    char count[32];
    snprintf(count, sizeof count, "%llu", (unsigned long long)bytes);
    int fds[2];
    pid_t child;
    make_socket_pair(fds);
    int pipe_end =
        spawn_with_pipe((char *[]){"head", "-c", count, "/dev/zero", NULL}, STDOUT_FILENO, &child);
    pid_t pump = fork_helper(pump_out, pipe_end, fds[1], fds[0]);
    close(pipe_end);
    close(fds[1]);
    struct wire *wire = wire_adopt(fds[0]);
    struct wire_output taken = {.stream = 1};
    while (!taken.has_ended) {
        struct nsp_frame frame;
        const uint8_t *payload;
        wire_next(wire, true, &frame, &payload);
        wire_take_output(wire, &taken, &frame, payload);
    }
    wire_close(wire);
    reap(target, pump, child);
    return taken.next;
}

static void input(struct target *target, uint64_t bytes)
{
    static const uint8_t zeros[PIECE];
    int fds[2];
    pid_t child;
    make_socket_pair(fds);
    int pipe_end =
        spawn_with_pipe((char *[]){"sh", "-c", "exec cat >/dev/null", NULL}, STDIN_FILENO, &child);
    pid_t pump = fork_helper(pump_in, fds[1], pipe_end, fds[0]);
    close(pipe_end);
    close(fds[1]);
    for (uint64_t sent = 0; sent < bytes;) {
        size_t piece = bytes - sent < PIECE ? bytes - sent : PIECE;
        sent += (uint64_t)measure_check(write(fds[0], zeros, piece), "write");
    }
    close(fds[0]);
    reap(target, pump, child);
}

const struct target_kind target_bare = {.name = "bare",
                                        .open = open_bare,
                                        .close = close_bare,
                                        .start = start,
                                        .wait = wait_for_one,
                                        .ping = ping,
                                        .output = output,
                                        .input = input};
