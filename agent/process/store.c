#include "agent/process/store.h"

#include <errno.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"

enum { DROP_MS = 10, CROWDED_TRIES = 1000 };

/* A full socket: the supervisor has to read, which takes it a moment. */
static int send_message(const struct store *store, const struct storewire_message *message,
                        const int *fds, struct nsp_error *err)
{
    struct nsp_error problem = NSP_ERROR_INIT;
    for (int i = 0; i < CROWDED_TRIES; i++) {
        if (storewire_try_send(store->socket, message, fds, &problem) == 0)
            return 0;
        bool is_full = problem.sys_errno == EAGAIN || problem.sys_errno == ETOOMANYREFS;
        if (!is_full)
            break;
        storewire_kick(store->kick_fd);
        if (problem.sys_errno == EAGAIN)
            return storewire_send(store->socket, message, fds, err);
        nanosleep(&(struct timespec){.tv_nsec = CLOCK_NS_PER_MS}, NULL);
    }
    if (err)
        *err = problem;
    return -1;
}

static void send_drops(struct store *store)
{
    struct nsp_error err = NSP_ERROR_INIT;
    timer_cancel(store->timer);
    if (store->drops.count == 0)
        return;
    if (send_message(store, &store->drops, NULL, &err) < 0)
        store->fatal(store->arg, "cannot drop from the fd store", &err);
    store->drops.count = 0;
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
    *store = (struct store){.socket = socket,
                            .kick_fd = kick_fd,
                            .fatal = fatal,
                            .arg = arg,
                            .drops = {.op = STOREWIRE_DROP}};
    return timer_new(loop, on_timer, store, &store->timer, err);
}

void store_done(struct store *store)
{
    timer_free(store->timer);
    store->timer = NULL;
}

/* A put replaces what is there; a drop of it sent later would take the new one away. */
static void forget_drop(struct store *store, struct storewire_key key)
{
    for (uint32_t i = 0; i < store->drops.count; i++) {
        struct storewire_key *waiting = &store->drops.keys[i];
        if (waiting->kind == key.kind && waiting->slot == key.slot) {
            *waiting = store->drops.keys[--store->drops.count];
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
    struct nsp_error err = NSP_ERROR_INIT;
    if (store->drops.count == STOREWIRE_BATCH)
        send_drops(store);
    store->drops.keys[store->drops.count++] = (struct storewire_key){kind, slot};
    if (kind == STOREWIRE_STDIN ||
        (store->drops.count == 1 && timer_set(store->timer, DROP_MS * CLOCK_NS_PER_MS, &err) < 0)) {
        send_drops(store);
        storewire_kick(store->kick_fd);
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
        if (message.op != STOREWIRE_ITEM)
            continue;
        for (uint32_t i = 0; i < message.count; i++)
            item(arg, &(struct store_item){message.keys[i], fds[i]});
    }
}

int store_ready(struct store *store, struct nsp_error *err)
{
    struct storewire_message message = {.op = STOREWIRE_READY};
    if (send_message(store, &message, NULL, err) < 0)
        return -1;
    storewire_kick(store->kick_fd);
    return 0;
}
