#include "tests/support/scripted_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/handover/bootreport.h"
#include "agent/handover/exitlog.h"
#include "agent/handover/storewire.h"
#include "agent/os/spawn.h"

enum { CHILD_SECONDS = 60 }; /* then even a child that nobody stops is gone */

static struct scripted_report *report;

struct scripted_report *scripted_agent_report(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct scripted_report)) < 0)
        return NULL;
    void *memory =
        mmap(NULL, sizeof(struct scripted_report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Keeps the first complaint and goes on. */
static void expect(bool fine, const char *what)
{
    if (!fine && report->wrong[0] == '\0')
        snprintf(report->wrong, sizeof report->wrong, "%s", what);
}

static void say(const struct storewire_message *message, const int *fds)
{
    struct nsp_error err;
    if (storewire_send(STOREWIRE_FD_SOCKET, message, fds, &err) < 0)
        expect(false, err.msg);
    storewire_kick(STOREWIRE_FD_KICK);
}

static void say_ready(void)
{
    say(&(struct storewire_message){.op = STOREWIRE_READY, .grace_ms = UINT32_MAX}, NULL);
}

static void die(void)
{
    raise(SIGKILL);
}

static void take_shutdown(void)
{
    report->shutdowns++;
    report->shutdown_ns = clock_now_ns();
    expect(report->ends == 0, "SHUTDOWN after END");
}

__attribute__((noreturn)) static void take_end(const struct storewire_message *message)
{
    expect(report->shutdowns == 1, "END without SHUTDOWN before it");
    for (unsigned i = 0; i < report->children; i++)
        report->left += kill(report->child_pids[i], 0) == 0;
    report->end_ms = message->argument;
    report->agent_ended_ns = clock_now_ns();
    report->ends++;
    _exit(0);
}

__attribute__((noreturn)) static void obey(void)
{
    struct storewire_message message;
    struct nsp_error err;
    int fds[STOREWIRE_BATCH];
    report->ready = true;
    while (storewire_receive(STOREWIRE_FD_SOCKET, &message, fds, &err) > 0) {
        if (message.op == STOREWIRE_SHUTDOWN)
            take_shutdown();
        else if (message.op == STOREWIRE_END)
            take_end(&message);
        else
            expect(false, "a message that is not the supervisor's");
    }
    _exit(1);
}

static void inspect_report(void)
{
    struct bootreport *boot;
    struct nsp_error err;
    bool is_there = bootreport_open(STOREWIRE_FD_BOOT, &boot, &err) == 0;
    expect(is_there, "no boot report");
    expect(is_there && bootreport_find(boot, SCRIPTED_STEP), "another boot report");
    if (is_there)
        bootreport_close(boot);
}

static void inspect(void)
{
    struct rlimit files;
    sigset_t mask;
    for (int fd = 0; fd < STOREWIRE_FD_SOCKET + STOREWIRE_FD_COUNT; fd++)
        expect(fcntl(fd, F_GETFD) >= 0, "a descriptor that is inherited is closed");
    for (int fd = STOREWIRE_FD_SOCKET + STOREWIRE_FD_COUNT; fd < 200; fd++)
        expect(fcntl(fd, F_GETFD) < 0, "a descriptor beyond the inherited is open");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    expect(sigismember(&mask, SIGTERM) == 0 && sigismember(&mask, SIGCHLD) == 0, "signals blocked");
    struct sigaction action;
    sigaction(SIGPIPE, NULL, &action);
    expect(action.sa_handler == SIG_DFL, "SIGPIPE is not as it was");
    expect(getsid(0) == getpid(), "no session of its own");
    getrlimit(RLIMIT_NOFILE, &files);
    expect(files.rlim_cur == 512, "RLIMIT_NOFILE is not the one of the start");
    expect(fcntl(STOREWIRE_FD_WAKE, F_GETFL) & O_NONBLOCK, "the wake descriptor blocks");
    expect(!(fcntl(STOREWIRE_FD_SOCKET, F_GETFL) & O_NONBLOCK), "the socket does not block");
}

/* The value of slot's eventfd. */
static unsigned value_of(unsigned slot)
{
    return 1000 + slot;
}

static void put(uint32_t kind, uint32_t slot, unsigned value)
{
    const struct storewire_message message = {
        .op = STOREWIRE_PUT, .count = 1, .keys = {{kind, slot}}};
    int fd = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK);
    say(&message, &fd);
    close(fd);
}

static void fill_store(void)
{
    for (unsigned slot = 0; slot < SCRIPTED_STORED; slot++)
        put(STOREWIRE_STDOUT, slot, value_of(slot));
    put(STOREWIRE_STDIN, 5, 1);
    put(STOREWIRE_STDIN, 5, value_of(5)); /* replaces */
    put(STOREWIRE_STDERR, 9, 1);
    say(&(struct storewire_message){.op = STOREWIRE_DROP,
                                    .count = 1,
                                    .keys = {{STOREWIRE_STDERR, 9}}},
        NULL);
    put(STOREWIRE_TABLE, 0, value_of(0));
}

static void check_item(const struct storewire_key *key, int fd, bool *seen)
{
    uint64_t value = 0;
    expect(read(fd, &value, sizeof value) == sizeof value && value == value_of(key->slot),
           "a descriptor of another value");
    expect(key->kind == STOREWIRE_STDOUT || (key->kind == STOREWIRE_STDIN && key->slot == 5) ||
               (key->kind == STOREWIRE_TABLE && key->slot == 0),
           "an unexpected key");
    if (key->kind == STOREWIRE_STDOUT) {
        expect(!seen[key->slot], "an item twice");
        seen[key->slot] = true;
    }
    close(fd);
}

static void check_store(void)
{
    struct storewire_message message;
    struct nsp_error err;
    int fds[STOREWIRE_BATCH];
    bool seen[SCRIPTED_STORED] = {false};
    unsigned items = 0;
    say(&(struct storewire_message){.op = STOREWIRE_LIST}, NULL);
    while (storewire_receive(STOREWIRE_FD_SOCKET, &message, fds, &err) > 0 &&
           message.op == STOREWIRE_ITEM) {
        if (items == 0)
            usleep(20000); /* the supervisor's end fills up */
        for (unsigned i = 0; i < message.count; i++, items++)
            check_item(&message.keys[i], fds[i], seen);
    }
    expect(message.op == STOREWIRE_DONE, "no end of the list");
    expect(items == SCRIPTED_STORED + 2, "not all items");
}

static void start_child(struct exitlog *log, unsigned slot, char **argv)
{
    char *const nothing[] = {NULL};
    const struct spawn_request request = {
        .argv = argv, .environment = nothing, .stdio = {-1, -1, 2}, .parent_waits = true};
    struct nsp_error err;
    struct spawn *spawn;
    int pidfd = -1;
    pid_t *pid = exitlog_claim(log, slot, slot + 1);
    if (spawn_prepare(&request, &spawn, &err) < 0 || spawn_clone(spawn, pid, &pidfd, &err) < 0) {
        expect(false, err.msg);
        return;
    }
    close(pidfd);
    /* spawn stays: the child may be reading it, and this process does not live long. */
}

static struct exitlog *open_log(void)
{
    struct exitlog *log = NULL;
    struct nsp_error err;
    if (exitlog_open(STOREWIRE_FD_CLAIMS, STOREWIRE_FD_EXITS, &log, &err) < 0) {
        expect(false, err.msg);
        _exit(1);
    }
    return log;
}

static void leave_exits(void)
{
    struct exitlog *log = open_log();
    for (unsigned i = 0; i < SCRIPTED_EXITS; i++) {
        char script[32];
        snprintf(script, sizeof script, "exit %u", i % 50);
        char *argv[] = {"/bin/sh", "-c", script, NULL};
        start_child(log, i, argv);
    }
}

/* The wake descriptor was signalled at the start if anything is unread; later exits signal again.
 */
static void check_exits(void)
{
    struct exitlog *log = open_log();
    struct exitlog_record record;
    uint64_t count;
    unsigned slot, seen = 0;
    expect(fcntl(STOREWIRE_FD_WAKE, F_SETFL, 0) == 0, "fcntl");
    while (seen < SCRIPTED_EXITS && read(STOREWIRE_FD_WAKE, &count, sizeof count) > 0) {
        for (; exitlog_peek(log, &slot, &record); seen++) {
            expect(record.code == CLD_EXITED && record.status == (int)(slot % 50), "wrong exit");
            expect(record.generation == slot + 1, "wrong generation");
            expect(exitlog_claimed(log, slot) == 0, "still claimed");
            exitlog_ack(log);
        }
    }
}

static void start_workload(const char *path)
{
    static const char *const kinds[] = {"polite", "stubborn", "daemon"};
    struct exitlog *log = open_log();
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char *argv[] = {"/proc/self/exe", "child", (char *)kinds[i], (char *)path, NULL};
        start_child(log, i, argv);
    }
    for (int i = 0; i < 10000 && report->children < 3; i++)
        usleep(1000);
    expect(report->children == 3, "the workload did not come up");
}

static void come_up(void)
{
    unsigned number = atomic_fetch_add(&report->children, 1);
    report->child_pids[number] = getpid();
}

__attribute__((noreturn)) static void be_child(const char *kind)
{
    sigset_t term;
    alarm(CHILD_SECONDS);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    if (strcmp(kind, "polite") == 0) {
        int number;
        sigprocmask(SIG_BLOCK, &term, NULL);
        come_up();
        sigwait(&term, &number);
        report->terminated_ns = clock_now_ns();
        _exit(0);
    }
    if (strcmp(kind, "daemon") == 0) {
        if (fork() > 0)
            _exit(0);
        alarm(CHILD_SECONDS);
        setsid();
    }
    signal(SIGTERM, SIG_IGN);
    come_up();
    for (;;)
        pause();
}

__attribute__((noreturn)) static void hang(void)
{
    for (;;)
        pause();
}

/* What a start has to know of itself. */
struct turn {
    const char *path;
    unsigned number; /* of the command line */
    unsigned start;  /* from 0 */
};

static void play_obey(const struct turn *turn)
{
    (void)turn;
    say_ready();
}

static void play_refuse(const struct turn *turn)
{
    _exit((int)turn->number);
}

static void play_die(const struct turn *turn)
{
    say_ready();
    if (turn->start < turn->number)
        die();
}

static void play_die_early(const struct turn *turn)
{
    if (turn->start < turn->number)
        die();
    say_ready();
}

static void play_close(const struct turn *turn)
{
    say_ready();
    if (turn->start < turn->number) {
        close(STOREWIRE_FD_SOCKET);
        hang();
    }
}

static void play_hang(const struct turn *turn)
{
    (void)turn;
    say_ready();
    report->ready = true;
    hang();
}

static void play_ask(const struct turn *turn)
{
    start_workload(turn->path);
    say_ready();
    say(&(struct storewire_message){.op = STOREWIRE_SHUTDOWN, .grace_ms = turn->number}, NULL);
}

static void play_inspect(const struct turn *turn)
{
    (void)turn;
    inspect();
    inspect_report();
    say_ready();
}

static void play_store(const struct turn *turn)
{
    if (turn->start > 0)
        check_store();
    else
        fill_store();
    say_ready();
    if (turn->start == 0)
        die();
}

static void play_exits(const struct turn *turn)
{
    if (turn->start > 0)
        check_exits();
    say_ready();
    if (turn->start == 0) {
        leave_exits();
        die();
    }
}

static void play_workload(const struct turn *turn)
{
    start_workload(turn->path);
    say_ready();
}

static void play_quit(const struct turn *turn)
{
    struct storewire_message message;
    struct nsp_error err;
    int fds[STOREWIRE_BATCH];
    start_workload(turn->path);
    say_ready();
    report->ready = true;
    expect(storewire_receive(STOREWIRE_FD_SOCKET, &message, fds, &err) > 0 &&
               message.op == STOREWIRE_SHUTDOWN,
           "no SHUTDOWN");
    take_shutdown();
    die();
}

static const struct {
    const char *name;
    void (*play)(const struct turn *turn);
} scripts[] = {
    {"obey", play_obey},   {"refuse", play_refuse},       {"die", play_die},
    {"close", play_close}, {"die-early", play_die_early}, {"hang", play_hang},
    {"ask", play_ask},     {"inspect", play_inspect},     {"store", play_store},
    {"exits", play_exits}, {"workload", play_workload},   {"quit", play_quit},
};

/* argv: program, "agent", script, report, number. */
__attribute__((noreturn)) static void be_agent(char **argv)
{
    struct turn turn = {.path = argv[3], .number = (unsigned)atoi(argv[4])};
    turn.start = atomic_fetch_add(&report->starts, 1);
    if (turn.start < SCRIPTED_STARTS) {
        report->agents[turn.start] = getpid();
        report->started_ns[turn.start] = clock_now_ns();
    }
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        if (strcmp(scripts[i].name, argv[2]) == 0)
            scripts[i].play(&turn);
    obey();
}

void scripted_agent_main(int argc, char **argv)
{
    bool is_agent = argc == 5 && strcmp(argv[1], "agent") == 0;
    bool is_child = argc == 4 && strcmp(argv[1], "child") == 0;
    if (!is_agent && !is_child)
        return;
    report = scripted_agent_report(argv[3]);
    if (!report)
        _exit(99);
    if (is_child)
        be_child(argv[2]);
    be_agent(argv);
}
