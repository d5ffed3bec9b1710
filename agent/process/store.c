#include "agent/process/store.h"

#include "agent/base/log.h"

int store_put(const struct store *store, const struct store_item *items, unsigned count,
              struct nsp_error *err)
{
    struct storewire_message message = {.op = STOREWIRE_PUT, .count = count};
    int fds[STOREWIRE_BATCH];
    for (unsigned i = 0; i < count; i++) {
        message.keys[i] = items[i].key;
        fds[i] = items[i].fd;
    }
    return storewire_send(store->socket, &message, fds, err);
}

void store_drop(const struct store *store, const struct storewire_key *keys, unsigned count)
{
    struct storewire_message message = {.op = STOREWIRE_DROP, .count = count};
    for (unsigned i = 0; i < count; i++)
        message.keys[i] = keys[i];
    struct nsp_error err = NSP_ERROR_INIT;
    /* Fails only when the supervisor is gone, and then its copies are too. */
    if (storewire_send(store->socket, &message, NULL, &err) < 0)
        log_error(LOG_WARN, "could not drop from the fd store", &err);
}

void store_drop_one(const struct store *store, enum storewire_kind kind, unsigned slot)
{
    store_drop(store, &(struct storewire_key){.kind = kind, .slot = slot}, 1);
}

int store_load(const struct store *store, void (*item)(void *arg, const struct store_item *item),
               void *arg, struct nsp_error *err)
{
    struct storewire_message message = {.op = STOREWIRE_LIST};
    if (storewire_send(store->socket, &message, NULL, err) < 0)
        return -1;
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

int store_ready(const struct store *store, struct nsp_error *err)
{
    struct storewire_message message = {.op = STOREWIRE_READY};
    return storewire_send(store->socket, &message, NULL, err);
}
