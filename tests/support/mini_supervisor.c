#include "tests/support/mini_supervisor.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/machine/sweep.h"
#include "init/fdstore.h"
#include "init/reaper.h"

enum { SWEEPS_MAX = 500 };

static struct fdstore fdstore;
static struct reaper reaper;
static int agent_socket, kick_fd, signal_fd;

static void serve(const struct storewire_message *message, const int *fds)
{
    if (message->op == STOREWIRE_LIST)
        fdstore_list(&fdstore);
    for (uint32_t i = 0; i < message->count; i++) {
        if (message->op == STOREWIRE_PUT)
            fdstore_put(&fdstore, message->keys[i], fds[i]);
        else if (message->op == STOREWIRE_DROP)
            fdstore_drop(&fdstore, message->keys[i]);
    }
}

static void read_messages(void)
{
    struct storewire_message message;
    int fds[STOREWIRE_BATCH];
    while (storewire_receive(agent_socket, &message, fds, NULL) > 0)
        serve(&message, fds);
}

static void forget_signals(void)
{
    struct signalfd_siginfo info;
    uint64_t kicks;
    while (read(signal_fd, &info, sizeof info) > 0)
        continue;
    (void)!read(kick_fd, &kicks, sizeof kicks);
}

/* A test that failed or crashed leaves processes behind. */
static void kill_the_rest(void)
{
    const struct sweep sweep = {.log = reaper.log};
    struct reaper_pass pass;
    for (int i = 0; i < SWEEPS_MAX && sweep_signal(&sweep, SIGKILL) > 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        reaper_drain(&reaper, 0, &pass);
    }
}

static void end_like(const siginfo_t *agent)
{
    kill_the_rest();
    if (agent->si_code == CLD_EXITED)
        _exit(agent->si_status);
    signal(agent->si_status, SIG_DFL);
    kill(getpid(), agent->si_status);
    _exit(1);
}

static void run(pid_t agent)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = kick_fd, .events = POLLIN},
                               {.fd = fdstore.listing ? agent_socket : -1, .events = POLLOUT}};
        struct reaper_pass pass;
        poll(fds, 3, -1);
        forget_signals();
        read_messages();
        fdstore_list_send(&fdstore, agent_socket);
        reaper_drain(&reaper, agent, &pass);
        if (pass.agent_gone)
            end_like(&pass.agent_exit);
    }
}

struct mini_supervisor mini_supervisor_begin(void)
{
    struct mini_supervisor ends;
    int sockets[2];
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    ck_assert_int_eq(exitlog_create(&reaper.log, &ends.claims_fd, &ends.exits_fd, NULL), 0);
    ends.socket = sockets[1];
    ends.wake_fd = reaper.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ends.kick_fd = kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigprocmask(SIG_BLOCK, &mask, &before);
    pid_t agent = fork();
    ck_assert_int_ge(agent, 0);
    if (agent > 0) {
        close(sockets[1]);
        agent_socket = sockets[0];
        fcntl(agent_socket, F_SETFL, O_NONBLOCK);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        run(agent);
    }
    close(sockets[0]);
    exitlog_free(reaper.log);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ends;
}
