#include "agent/process/store.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "agent/base/clock.h"
#include "agent/handover/exitlog.h"

enum {
    DROP_MS = 10,
    CROWDED_MS = 20, /* the supervisor reads within microseconds, unless it is busy or stopped */
    CROWDED_TRIES = 25,
    DROPS_MAX = 4 * EXITLOG_SLOTS,
};

/* Waits until the supervisor has made room, but not for long: it may be stopped. Half a second is
 * spent on that once; as long as nothing gets through then, nobody waits any more. */
static void wait_for_room(const struct store *store)
{
    struct pollfd socket = {.fd = store->socket, .events = POLLOUT};
    storewire_kick(store->kick_fd);
    (void)poll(&socket, 1, CROWDED_MS);
}

static int send_message(struct store *store, const struct storewire_message *message,
                        const int *fds, struct nsp_error *err)
{
    struct nsp_error problem = NSP_ERROR_INIT;
    for (int i = 0; i < CROWDED_TRIES; i++) {
        if (storewire_try_send(store->socket, message, fds, &problem) == 0) {
            store->is_stuck = false;
            return 0;
        }
        if (store->is_stuck || (problem.sys_errno != EAGAIN && problem.sys_errno != ETOOMANYREFS))
            break;
        wait_for_room(store);
    }
    store->is_stuck = true;
    storewire_kick(store->kick_fd);
    if (problem.sys_errno == EAGAIN || problem.sys_errno == ETOOMANYREFS)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "supervisor", "the supervisor does not answer");
    if (err)
        *err = problem;
    return -1;
}

static void arm(struct store *store)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (timer_set(store->timer, DROP_MS * CLOCK_NS_PER_MS, &err) < 0)
        store->fatal(store->arg, "cannot set the timer of the fd store", &err);
}

/* As many as the socket takes; the rest waits for the timer. */
static void send_drops(struct store *store)
{
    struct nsp_error err = NSP_ERROR_INIT;
    while (store->drop_count > 0) {
        struct storewire_message message = {.op = STOREWIRE_DROP};
        while (message.count < STOREWIRE_BATCH && message.count < store->drop_count) {
            message.keys[message.count] = store->drops[store->drop_count - 1 - message.count];
            message.count++;
        }
        if (storewire_try_send(store->socket, &message, NULL, &err) < 0)
            break;
        store->drop_count -= message.count;
    }
    /* When all are sent the timer stays set: it kicks, should nothing else wake the supervisor. */
    if (store->drop_count > 0 && err.sys_errno == EAGAIN)
        arm(store);
    else if (store->drop_count > 0)
        store->fatal(store->arg, "cannot drop from the fd store", &err);
}

static void on_timer(void *arg)
{
    struct store *store = arg;
    send_drops(store);
    storewire_kick(store->kick_fd);
}

int store_init(struct store *store, struct loop *loop, int socket, int kick_fd,
               void (*fatal)(void *arg, const char *what, const struct nsp_error *err), void *arg,
               struct nsp_error *err)
{
    *store = (struct store){.socket = socket, .kick_fd = kick_fd, .fatal = fatal, .arg = arg};
    store->drops = calloc(DROPS_MAX, sizeof *store->drops);
    if (!store->drops)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the fd store");
    return timer_new(loop, on_timer, store, &store->timer, err);
}

void store_done(struct store *store)
{
    timer_free(store->timer);
    free(store->drops);
    *store = (struct store){0};
}

/* A put replaces what is there; a drop of it sent later would take the new one away. */
static void forget_drop(struct store *store, struct storewire_key key)
{
    for (unsigned i = 0; i < store->drop_count; i++) {
        struct storewire_key *waiting = &store->drops[i];
        if (waiting->kind == key.kind && waiting->slot == key.slot) {
            *waiting = store->drops[--store->drop_count];
            return;
        }
    }
}

int store_put(struct store *store, const struct store_item *items, unsigned count,
              struct nsp_error *err)
{
    struct storewire_message message = {.op = STOREWIRE_PUT, .count = count};
    int fds[STOREWIRE_BATCH];
    for (unsigned i = 0; i < count; i++) {
        message.keys[i] = items[i].key;
        fds[i] = items[i].fd;
        forget_drop(store, items[i].key);
    }
    return send_message(store, &message, fds, err);
}

void store_drop(struct store *store, enum storewire_kind kind, unsigned slot)
{
    forget_drop(store, (struct storewire_key){kind, slot});
    store->drops[store->drop_count++] = (struct storewire_key){kind, slot};
    if (kind == STOREWIRE_STDIN) {
        send_drops(store);
        storewire_kick(store->kick_fd);
    } else if (store->drop_count >= STOREWIRE_BATCH) {
        send_drops(store);
    } else if (store->drop_count == 1) {
        arm(store);
    }
}

int store_load(struct store *store, void (*item)(void *arg, const struct store_item *item),
               void *arg, struct nsp_error *err)
{
    struct storewire_message message = {.op = STOREWIRE_LIST};
    if (send_message(store, &message, NULL, err) < 0)
        return -1;
    storewire_kick(store->kick_fd);
    for (;;) {
        int fds[STOREWIRE_BATCH];
        int got = storewire_receive(store->socket, &message, fds, err);
        if (got < 0)
            return -1;
        if (got == 0)
            return nsp_fail(err, NSP_E_SHUTTING_DOWN, "the supervisor is gone");
        if (message.op == STOREWIRE_DONE)
            return 0;
        if (message.op == STOREWIRE_SHUTDOWN)
            return nsp_fail(err, NSP_E_SHUTTING_DOWN, "the supervisor is shutting down");
        if (message.op != STOREWIRE_ITEM)
            continue;
        for (uint32_t i = 0; i < message.count; i++)
            item(arg, &(struct store_item){message.keys[i], fds[i]});
    }
}

int store_ready(struct store *store, enum power_variant variant, uint32_t grace_ms,
                struct nsp_error *err)
{
    struct storewire_message message = {
        .op = STOREWIRE_READY, .argument = variant, .grace_ms = grace_ms};
    if (send_message(store, &message, NULL, err) < 0)
        return -1;
    storewire_kick(store->kick_fd);
    return 0;
}
