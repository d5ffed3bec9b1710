/*   PAUSING --timer--> CONNECTING --writable--> SENDING --all sent--> AWAITING --"OK"--> DONE
 *      ^                   |                       |                      |
 *      +---- any failure, another answer, or ANNOUNCE_ATTEMPT_MS over ----+
 *
 * One timer serves both waits. */
#include "agent/boot/announce.h"

#include <errno.h>
#include <sys/socket.h> /* before vm_sockets.h, which needs it in Linux 6.1 */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "protocol/cleanup.h"

enum announce_state {
    ANNOUNCE_PAUSING,
    ANNOUNCE_CONNECTING,
    ANNOUNCE_SENDING,
    ANNOUNCE_AWAITING,
    ANNOUNCE_DONE
};

static const char answer[] = "OK\n";

struct announce {
    struct announce_config config;
    struct sockaddr_storage address;
    enum announce_state state;
    struct io *io;
    struct timer *timer;
    uint64_t pause_ms;
    unsigned attempts;
    size_t length, sent, received;
    char line[ANNOUNCE_LINE], reply[sizeof answer];
};

static void set_timer(struct announce *announce, uint64_t ms)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (timer_set(announce->timer, ms * CLOCK_NS_PER_MS, &err) < 0)
        log_error(LOG_ERROR, "the host will not be told", &err);
}

static void set_state(struct announce *announce, enum announce_state state)
{
    log_debug("announce", "old=%d new=%d", (int)announce->state, (int)state);
    announce->state = state;
}

static void disconnect(struct announce *announce)
{
    io_close(announce->io);
    announce->io = NULL;
}

static void wait_a_while(struct announce *announce)
{
    disconnect(announce);
    set_state(announce, ANNOUNCE_PAUSING);
    set_timer(announce, announce->pause_ms);
    announce->pause_ms *= 2;
    if (announce->pause_ms > ANNOUNCE_PAUSE_MAX_MS)
        announce->pause_ms = ANNOUNCE_PAUSE_MAX_MS;
}

static void finish(struct announce *announce)
{
    disconnect(announce);
    timer_cancel(announce->timer);
    set_state(announce, ANNOUNCE_DONE);
    announce->config.done(announce->config.arg, announce->attempts);
}

/* 0 sent or would block, -1 failed. */
static int send_line(struct announce *announce)
{
    while (announce->sent < announce->length) {
        ssize_t sent = send(io_fd(announce->io), announce->line + announce->sent,
                            announce->length - announce->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        announce->sent += (size_t)sent;
    }
    set_state(announce, ANNOUNCE_AWAITING);
    return io_want(announce->io, IO_READ, NULL);
}

/* 1 the whole answer, 0 not yet, -1 the wrong one or none. */
static int receive(struct announce *announce)
{
    while (announce->received < strlen(answer)) {
        ssize_t got = recv(io_fd(announce->io), announce->reply + announce->received,
                           strlen(answer) - announce->received, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (got <= 0)
            return -1;
        announce->received += (size_t)got;
    }
    return memcmp(announce->reply, answer, strlen(answer)) == 0 ? 1 : -1;
}

static int connection_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

static void on_ready(void *arg, unsigned ready)
{
    (void)ready;
    struct announce *announce = arg;
    int result = 0;
    if (announce->state == ANNOUNCE_CONNECTING) {
        set_state(announce, ANNOUNCE_SENDING);
        result = connection_error(io_fd(announce->io)) == 0 ? 0 : -1;
    }
    if (result == 0 && announce->state == ANNOUNCE_SENDING)
        result = send_line(announce);
    else if (announce->state == ANNOUNCE_AWAITING)
        result = receive(announce);
    if (result < 0)
        wait_a_while(announce);
    else if (result > 0)
        finish(announce);
}

static int begin_connection(struct announce *announce)
{
    const struct sockaddr *address = (const struct sockaddr *)&announce->address;
    AUTO_FD int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 ||
        (connect(fd, address, announce->config.address_length) < 0 && errno != EINPROGRESS) ||
        io_new(announce->config.loop, fd, IO_WRITE, on_ready, announce, &announce->io, NULL) < 0)
        return -1;
    STEAL_FD(fd);
    return 0;
}

static void on_timer(void *arg)
{
    struct announce *announce = arg;
    if (announce->state != ANNOUNCE_PAUSING) {
        wait_a_while(announce);
        return;
    }
    announce->attempts++;
    announce->sent = announce->received = 0;
    set_state(announce, ANNOUNCE_CONNECTING);
    if (begin_connection(announce) < 0)
        wait_a_while(announce);
    else
        set_timer(announce, ANNOUNCE_ATTEMPT_MS);
}

int announce_start(const struct announce_config *config, struct announce **ret_announce,
                   struct nsp_error *err)
{
    size_t length = strlen(config->line);
    if (length + 1 >= ANNOUNCE_LINE || config->address_length > sizeof(struct sockaddr_storage))
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "announce", "line or address is too long");
    struct announce *announce = calloc(1, sizeof *announce);
    if (!announce)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory to tell the host");
    announce->config = *config;
    announce->pause_ms = ANNOUNCE_PAUSE_MS;
    memcpy(&announce->address, config->address, config->address_length);
    memcpy(announce->line, config->line, length);
    announce->line[length] = '\n';
    announce->length = length + 1;
    if (timer_new(config->loop, on_timer, announce, &announce->timer, err) < 0 ||
        timer_set(announce->timer, 0, err) < 0) {
        announce_free(announce);
        return -1;
    }
    *ret_announce = announce;
    return 0;
}

void announce_free(struct announce *announce)
{
    if (!announce)
        return;
    disconnect(announce);
    timer_free(announce->timer);
    free(announce);
}

void announce_line(char target[ANNOUNCE_LINE], uint64_t generation, const char *boot_id,
                   uint32_t port)
{
    snprintf(target, ANNOUNCE_LINE,
             "{\"nullspace\":\"ready\",\"generation\":%llu,\"boot_id\":\"%s\",\"port\":%u}",
             (unsigned long long)generation, boot_id, port);
}

socklen_t announce_host(struct sockaddr_storage *target, uint32_t port)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
    memset(target, 0, sizeof *target);
    memcpy(target, &address, sizeof address);
    return sizeof address;
}
