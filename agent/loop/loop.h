/* The event loop: descriptors, timers and deferred calls of the one thread that there is.
 *
 * The only user of libevent. Callbacks run from loop_run only, never from inside another call here.
 * An object must not free itself in its own callback: loop_defer it (io_free and timer_free inside
 * their own callback are allowed). Level-triggered; an error or hang-up of the descriptor counts as
 * ready for whatever is wanted, and READ and WRITE may come in separate calls.
 */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/error.h"

struct loop;
struct io;
struct timer;

enum { IO_READ = 1, IO_WRITE = 2 };

typedef void (*io_callback)(void *arg, unsigned ready); /* ready: IO_READ | IO_WRITE */
typedef void (*loop_callback)(void *arg);

int loop_new(struct loop **ret_loop, struct nsp_error *err);
void loop_free(struct loop *loop); /* after all io, timers are freed; NULL is fine */
int loop_run(struct loop *loop, struct nsp_error *err); /* until loop_stop */
void loop_stop(struct loop *loop);

/* Runs callback after the present callbacks, before waiting again. Fixed storage in the caller:
 * one struct loop_deferred a purpose; deferring twice before it runs is one run. */
struct loop_deferred {
    struct loop_deferred *next;
    loop_callback callback;
    void *arg;
    bool queued;
};
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
void loop_undefer(struct loop *loop, struct loop_deferred *deferred); /* no-op when not queued */

/* Watches fd (borrowed, non-blocking) for what is wanted, which may be nothing yet: see io_want. */
int io_new(struct loop *loop, int fd, unsigned wanted, io_callback callback, void *arg,
           struct io **ret_io, struct nsp_error *err);
/* Which of IO_READ | IO_WRITE to wait for; the same again costs nothing. Can fail (ENOMEM in
 * epoll_ctl): then the state is as before. */
int io_want(struct io *io, unsigned wanted, struct nsp_error *err);
unsigned io_wanted(const struct io *io);
int io_fd(const struct io *io);
/* Stops watching, without closing. NULL is fine. */
void io_free(struct io *io);
/* Stops watching, then closes: the order matters while another process holds a copy of the
 * descriptor, since epoll(7) watches the open file description. NULL is fine. */
void io_close(struct io *io);

int timer_new(struct loop *loop, loop_callback callback, void *arg, struct timer **ret_timer,
              struct nsp_error *err);
/* Runs once, after delay nanoseconds; replaces an earlier setting. */
int timer_set(struct timer *timer, uint64_t delay_ns, struct nsp_error *err);
void timer_cancel(struct timer *timer);
void timer_free(struct timer *timer);

#endif
