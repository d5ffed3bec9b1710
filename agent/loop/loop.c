/* The loop over libevent's epoll backend.
 *
 * One turn: wait, run the callbacks of all ready descriptors and due timers, run what they
 * deferred. Only when nothing is deferred any more the loop waits again, so a turn that deferred
 * while it ran deferred calls polls without waiting: deferring for ever starves nobody.
 *
 * An io has one libevent event a direction, because changing the direction of a single event costs
 * two epoll_ctl calls instead of one. The changelist of libevent stays off (see loop_new): it would
 * remember changes for a descriptor beyond its close.
 */
#include "agent/loop/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "protocol/cleanup.h"

/* Ten years: far from the overflow of libevent's sums. */
#define LONGEST_DELAY_NS (UINT64_C(315360000) * CLOCK_NS_PER_S)

struct loop {
    struct event_base *base;
    struct loop_deferred *first, **last;
    size_t deferred_count;
    bool stopping;
};

struct io {
    io_callback callback;
    void *arg;
    int fd;
    unsigned wanted;
    struct event read_event, write_event;
};

struct timer {
    loop_callback callback;
    void *arg;
    uint64_t due_ns;
    struct event event;
};

static void on_library_message(int severity, const char *text)
{
    char quoted[256];
    (void)severity;
    log_debug("libevent", "detail=%s", log_quote(quoted, sizeof quoted, text, strlen(text)));
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    struct event_base *base = NULL;
    /* The environment could turn the changelist on. */
    int flags = EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV;
    if (event_config_set_flag(config, flags) == 0 &&
        event_config_avoid_method(config, "poll") == 0 &&
        event_config_avoid_method(config, "select") == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

int loop_new(struct loop **ret_loop, struct nsp_error *err)
{
    event_set_log_callback(on_library_message);
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the event loop");
    loop->base = new_base();
    if (!loop->base) {
        int saved = errno;
        free(loop);
        return nsp_fail_errno(err, NSP_E_SYSTEM, saved ? saved : ENOMEM, "epoll_create1", NULL);
    }
    loop->last = &loop->first;
    *ret_loop = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    event_base_free(loop->base);
    free(loop);
}

static struct loop_deferred *take_first(struct loop *loop)
{
    struct loop_deferred *deferred = loop->first;
    loop->first = deferred->next;
    if (!loop->first)
        loop->last = &loop->first;
    loop->deferred_count--;
    deferred->queued = false;
    return deferred;
}

static void run_deferred(struct loop *loop)
{
    for (size_t n = loop->deferred_count; n > 0 && loop->first; n--) {
        struct loop_deferred *deferred = take_first(loop);
        deferred->callback(deferred->arg);
    }
}

int loop_run(struct loop *loop, struct nsp_error *err)
{
    while (!loop->stopping) {
        run_deferred(loop);
        if (loop->stopping)
            break;
        int flags = EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (loop->first ? EVLOOP_NONBLOCK : 0);
        errno = 0;
        if (event_base_loop(loop->base, flags) < 0)
            return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "epoll_wait", NULL);
    }
    loop->stopping = false;
    return 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
    if (deferred->queued)
        return;
    deferred->queued = true;
    deferred->next = NULL;
    *loop->last = deferred;
    loop->last = &deferred->next;
    loop->deferred_count++;
}

void loop_undefer(struct loop *loop, struct loop_deferred *deferred)
{
    if (!deferred->queued)
        return;
    struct loop_deferred **slot = &loop->first;
    while (*slot != deferred)
        slot = &(*slot)->next;
    *slot = deferred->next;
    if (!*slot)
        loop->last = slot;
    loop->deferred_count--;
    deferred->queued = false;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct io *io = arg;
    (void)fd;
    io->callback(io->arg, what & EV_WRITE ? IO_WRITE : IO_READ);
}

/* libevent's own books stay as they were when the kernel refuses. */
static int switch_direction(struct io *io, unsigned direction)
{
    struct event *event = direction == IO_READ ? &io->read_event : &io->write_event;
    errno = 0;
    int failed = io->wanted & direction ? event_del(event) : event_add(event, NULL);
    if (!failed)
        io->wanted ^= direction;
    return failed;
}

int io_want(struct io *io, unsigned wanted, struct nsp_error *err)
{
    unsigned before = io->wanted;
    unsigned changes = before ^ wanted;
    if (changes & IO_READ && switch_direction(io, IO_READ) < 0)
        goto fail;
    if (changes & IO_WRITE && switch_direction(io, IO_WRITE) < 0)
        goto fail;
    return 0;
fail:;
    int saved = errno ? errno : ENOMEM;
    if (io->wanted != before)
        (void)switch_direction(io, IO_READ);
    return nsp_fail_errno(err, NSP_E_SYSTEM, saved, "epoll_ctl", NULL);
}

int io_new(struct loop *loop, int fd, unsigned wanted, io_callback callback, void *arg,
           struct io **ret_io, struct nsp_error *err)
{
    AUTO_FREE struct io *io = calloc(1, sizeof *io);
    if (!io)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory to watch a descriptor");
    *io = (struct io){.callback = callback, .arg = arg, .fd = fd};
    if (event_assign(&io->read_event, loop->base, fd, EV_READ | EV_PERSIST, on_event, io) < 0 ||
        event_assign(&io->write_event, loop->base, fd, EV_WRITE | EV_PERSIST, on_event, io) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, EINVAL, "event_assign", NULL);
    if (io_want(io, wanted, err) < 0) {
        io_free(STEAL(io));
        return -1;
    }
    *ret_io = STEAL(io);
    return 0;
}

unsigned io_wanted(const struct io *io)
{
    return io->wanted;
}

int io_fd(const struct io *io)
{
    return io->fd;
}

void io_free(struct io *io)
{
    if (!io)
        return;
    event_del(&io->read_event);
    event_del(&io->write_event);
    free(io);
}

void io_close(struct io *io)
{
    if (!io)
        return;
    int fd = io->fd;
    io_free(io);
    close(fd);
}

/* libevent's clock is coarse and cached for a turn, so it may fire a few milliseconds early. */
static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct timer *timer = arg;
    (void)fd;
    (void)what;
    uint64_t now = clock_now_ns();
    if (now < timer->due_ns && timer_set(timer, timer->due_ns - now, NULL) == 0)
        return;
    timer->callback(timer->arg);
}

int timer_new(struct loop *loop, loop_callback callback, void *arg, struct timer **ret_timer,
              struct nsp_error *err)
{
    struct timer *timer = calloc(1, sizeof *timer);
    if (!timer)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a timer");
    *timer = (struct timer){.callback = callback, .arg = arg};
    if (event_assign(&timer->event, loop->base, -1, 0, on_timeout, timer) < 0) {
        free(timer);
        return nsp_fail_errno(err, NSP_E_SYSTEM, EINVAL, "event_assign", NULL);
    }
    *ret_timer = timer;
    return 0;
}

int timer_set(struct timer *timer, uint64_t delay_ns, struct nsp_error *err)
{
    uint64_t now = clock_now_ns();
    if (delay_ns > LONGEST_DELAY_NS)
        delay_ns = LONGEST_DELAY_NS;
    struct timeval delay = {
        .tv_sec = (time_t)(delay_ns / CLOCK_NS_PER_S),
        .tv_usec = (suseconds_t)(delay_ns % CLOCK_NS_PER_S / 1000),
    };
    if (event_add(&timer->event, &delay) < 0)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory to set a timer");
    timer->due_ns = now + delay_ns;
    return 0;
}

void timer_cancel(struct timer *timer)
{
    event_del(&timer->event);
}

void timer_free(struct timer *timer)
{
    if (!timer)
        return;
    event_del(&timer->event);
    free(timer);
}
