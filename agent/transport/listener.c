#include "agent/transport/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "protocol/cleanup.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 16,
    REST_MS = 100,
};

struct listener {
    struct address address;
    struct listener_options options; /* its token points to our copy */
    struct token token;
    int fd;
    int reserve; /* -1: given up */
    listener_callback callback;
    void *arg;
    struct io *io; /* NULL: not started */
    struct timer *rest;
};

static int check_existing(int fd, const struct address *address, struct nsp_error *err)
{
    int listening = 0, domain = 0;
    socklen_t length = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0)
        return nsp_fail_errno(err, NSP_E_STATE, errno, "getsockopt", address->text);
    if (!listening || domain != address->socket.ss_family)
        return nsp_fail_on(err, NSP_E_STATE, address->text,
                           "the descriptor is no socket that listens there");
    return 0;
}

static int open_socket(const struct address *address, const struct listener_options *options,
                       int *ret_fd, struct nsp_error *err)
{
    AUTO_FD int fd = -1;
    if (address->transport->bind(address, options, &fd, err) < 0)
        return -1;
    if (listen(fd, BACKLOG) < 0)
        return nsp_fail_errno(err, errno == EADDRINUSE ? NSP_E_ALREADY_EXISTS : NSP_E_SYSTEM, errno,
                              "listen", address->text);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

int listener_open(const struct address *address, const struct listener_options *options,
                  int existing_fd, struct listener **ret_listener, struct nsp_error *err)
{
    AUTO_FD int fd = existing_fd;
    if (address->transport->needs_token && !options->token)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, address->text, "a token is needed here");
    if (fd >= 0 ? check_existing(fd, address, err) : open_socket(address, options, &fd, err))
        return -1;
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a listener");
    *listener = (struct listener){.address = *address, .options = *options, .reserve = -1};
    if (options->token) {
        listener->token = *options->token;
        listener->options.token = &listener->token;
    }
    listener->fd = STEAL_FD(fd);
    *ret_listener = listener;
    return 0;
}

int listener_fd(const struct listener *listener)
{
    return listener->fd;
}

const char *listener_text(const struct listener *listener)
{
    return listener->address.text;
}

const struct transport *listener_transport(const struct listener *listener)
{
    return listener->address.transport;
}

const struct token *listener_token(const struct listener *listener)
{
    return listener->address.transport->needs_token ? listener->options.token : NULL;
}

static int open_reserve(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static void rest(struct listener *listener)
{
    struct nsp_error err = NSP_ERROR_INIT;
    /* Without a timer that wakes it, accepting goes on: slower, but never dead. */
    if (timer_set(listener->rest, REST_MS * CLOCK_NS_PER_MS, &err) < 0 ||
        io_want(listener->io, 0, &err) < 0)
        log_error(LOG_WARN, "accepting cannot rest", &err);
}

static void on_rested(void *arg)
{
    struct listener *listener = arg;
    struct nsp_error err = NSP_ERROR_INIT;
    if (listener->reserve < 0)
        listener->reserve = open_reserve();
    if (io_want(listener->io, IO_READ, &err) < 0) {
        log_error(LOG_WARN, "accepting still rests", &err);
        rest(listener);
    }
}

/* No descriptor is left: answers the waiting peer by closing. */
static void shed(struct listener *listener)
{
    log_warn("no descriptor for a connection", "listener=%s", listener->address.text);
    if (listener->reserve < 0) {
        rest(listener);
        return;
    }
    close(listener->reserve);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        close(fd);
    listener->reserve = open_reserve();
    if (fd < 0)
        rest(listener);
}

static void hand_over(struct listener *listener, int accepted)
{
    AUTO_FD int fd = accepted;
    struct nsp_error err = NSP_ERROR_INIT;
    if (listener->address.transport->admit(fd, &listener->options, &err) < 0) {
        log_error(LOG_WARN, "peer refused", &err);
        return;
    }
    listener->callback(listener->arg, listener, STEAL_FD(fd));
}

/* Errors of the connection, not of the listener (accept(2)): it is gone, the next may be fine. */
static bool is_passing(int error)
{
    static const int passing[] = {ECONNABORTED, EINTR,      EPROTO,      EPERM,
                                  ENETDOWN,     ENONET,     ENOPROTOOPT, EHOSTDOWN,
                                  EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (passing[i] == error)
            return true;
    return false;
}

static void on_io(void *arg, unsigned ready)
{
    struct listener *listener = arg;
    (void)ready;
    for (int n = 0; n < ACCEPTS_PER_TURN && listener->io; n++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            hand_over(listener, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (errno == EMFILE || errno == ENFILE) {
            shed(listener);
            return;
        }
        if (!is_passing(errno)) {
            log_warn("accept failed", "listener=%s errno=%s", listener->address.text,
                     nsp_errno_name(errno));
            rest(listener);
            return;
        }
    }
}

int listener_start(struct listener *listener, struct loop *loop, listener_callback callback,
                   void *arg, struct nsp_error *err)
{
    listener->callback = callback;
    listener->arg = arg;
    listener->reserve = open_reserve();
    if (timer_new(loop, on_rested, listener, &listener->rest, err) < 0 ||
        io_new(loop, listener->fd, IO_READ, on_io, listener, &listener->io, err) < 0) {
        listener_stop(listener);
        return -1;
    }
    return 0;
}

void listener_stop(struct listener *listener)
{
    io_free(STEAL(listener->io));
    timer_free(STEAL(listener->rest));
    if (listener->reserve >= 0)
        close(STEAL_FD(listener->reserve));
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    listener_stop(listener);
    close(listener->fd);
    free(listener);
}

void listener_remove(struct listener *listener)
{
    if (!listener)
        return;
    if (listener->address.transport->remove)
        listener->address.transport->remove(&listener->address);
    listener_free(listener);
}
