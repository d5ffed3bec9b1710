#include "init/fdstore.h"

#include <errno.h>
#include <unistd.h>

static const unsigned slots[STOREWIRE_KIND_COUNT] = {
#define FDSTORE_ROW(kind, per_slot, in, dropped) [STOREWIRE_##kind] = FDSTORE_SLOTS_##kind,
    STOREWIRE_KINDS(FDSTORE_ROW)
#undef FDSTORE_ROW
};

/* NULL for a key that there cannot be. */
static int *entry_of(struct fdstore *store, struct storewire_key key)
{
    unsigned first = 0;
    if (key.kind >= STOREWIRE_KIND_COUNT || key.slot >= slots[key.kind])
        return NULL;
    for (unsigned kind = 0; kind < key.kind; kind++)
        first += slots[kind];
    return &store->entries[first + key.slot];
}

static void empty(struct fdstore *store, int *entry)
{
    if (*entry == 0)
        return;
    close(*entry - 1);
    *entry = 0;
    store->count--;
}

int fdstore_put(struct fdstore *store, struct storewire_key key, int fd)
{
    int *entry = entry_of(store, key);
    if (!entry) {
        close(fd);
        return -1;
    }
    empty(store, entry);
    *entry = fd + 1;
    store->count++;
    return 0;
}

void fdstore_drop(struct fdstore *store, struct storewire_key key)
{
    int *entry = entry_of(store, key);
    if (entry)
        empty(store, entry);
}

int fdstore_get(const struct fdstore *store, struct storewire_key key)
{
    const int *entry = entry_of((struct fdstore *)store, key);
    return entry ? *entry - 1 : -1;
}

void fdstore_list(struct fdstore *store)
{
    store->listing = true;
    store->cursor = (struct storewire_key){0, 0};
}

void fdstore_list_stop(struct fdstore *store)
{
    store->listing = false;
}

/* The next entry from *cursor on, which moves behind it; -1 at the end. */
static int next(struct fdstore *store, struct storewire_key *cursor, struct storewire_key *ret_key)
{
    while (cursor->kind < STOREWIRE_KIND_COUNT) {
        *ret_key = *cursor;
        int fd = *entry_of(store, *cursor) - 1;
        if (++cursor->slot == slots[cursor->kind])
            *cursor = (struct storewire_key){cursor->kind + 1, 0};
        if (fd >= 0)
            return fd;
    }
    return -1;
}

int fdstore_list_send(struct fdstore *store, int socket)
{
    while (store->listing) {
        struct storewire_message message = {.op = STOREWIRE_ITEM};
        struct storewire_key cursor = store->cursor;
        int fds[STOREWIRE_BATCH], fd;
        while (message.count < STOREWIRE_BATCH &&
               (fd = next(store, &cursor, &message.keys[message.count])) >= 0)
            fds[message.count++] = fd;
        if (message.count == 0)
            message.op = STOREWIRE_DONE;

        struct nsp_error err;
        if (storewire_send(socket, &message, fds, &err) < 0)
            return err.sys_errno == EAGAIN ? 1 : -1;
        store->cursor = cursor;
        store->listing = message.op != STOREWIRE_DONE;
    }
    return 0;
}

void fdstore_close(struct fdstore *store)
{
    for (unsigned i = 0; i < FDSTORE_ENTRIES; i++)
        empty(store, &store->entries[i]);
    store->listing = false;
}
