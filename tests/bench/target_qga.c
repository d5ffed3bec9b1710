/* One request at a time, one line each way, as qemu-ga has it. It tells nothing by itself: whether
 * a command has ended must be asked for, which is done without a pause here.
 */
#include "tests/bench/target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE = 4096 };

struct qga {
    struct target target;
    int fd;
    unsigned turn;
    long pids[TARGET_SLOTS]; /* 0: free */
    char line[LINE];
};

static struct target *open_qga(const char *path)
{
    struct qga *qga = measure_alloc(sizeof *qga);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    qga->fd = (int)measure_check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    measure_check(connect(qga->fd, (struct sockaddr *)&address, sizeof address), path);
    return &qga->target;
}

static void close_qga(struct target *target)
{
    struct qga *qga = (struct qga *)target;
    close(qga->fd);
    free(qga);
}

/* The answer, which stays until the next call. */
static const char *ask(struct qga *qga, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *ask(struct qga *qga, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(qga->line, sizeof qga->line, format, arguments);
    va_end(arguments);
    measure_check(send(qga->fd, qga->line, (size_t)length, MSG_NOSIGNAL), "send");
    size_t have = 0;
    do {
        ssize_t got = recv(qga->fd, qga->line + have, sizeof qga->line - have - 1, 0);
        if (measure_check(got, "recv") == 0)
            measure_die("qemu-ga has closed the connection");
        have += (size_t)got;
        qga->line[have] = '\0';
    } while (have < sizeof qga->line - 1 && qga->line[have - 1] != '\n');
    qga->target.events++;
    if (!strstr(qga->line, "\"return\""))
        measure_die("qemu-ga: %s", qga->line);
    return qga->line;
}

/* The number behind a key; -1 when there is none. */
static long number(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

static void start(struct target *target, const char *program, unsigned slot)
{
    struct qga *qga = (struct qga *)target;
    const char *line = ask(qga,
                           "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"%s\","
                           "\"capture-output\":true}}\n",
                           program);
    qga->pids[slot] = number(line, "\"pid\": ");
    if (qga->pids[slot] <= 0)
        measure_die("qemu-ga: %s", line);
}

static unsigned wait_for_one(struct target *target)
{
    struct qga *qga = (struct qga *)target;
    for (;;) {
        unsigned slot = qga->turn++ % TARGET_SLOTS;
        if (qga->pids[slot] == 0)
            continue;
        const char *line =
            ask(qga, "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%ld}}\n",
                qga->pids[slot]);
        if (!strstr(line, "\"exited\": true"))
            continue;
        if (number(line, "\"exitcode\": ") != 0)
            measure_die("a process failed: %s", line);
        qga->pids[slot] = 0;
        return slot;
    }
}

static void ping(struct target *target)
{
    ask((struct qga *)target, "{\"execute\":\"guest-ping\"}\n");
}

const struct target_kind target_qga = {.name = "qga",
                                       .open = open_qga,
                                       .close = close_qga,
                                       .start = start,
                                       .wait = wait_for_one,
                                       .ping = ping};
