#include "agent/process/ends.h"

#include <unistd.h>

#include "agent/process/process.h"

static const enum storewire_kind kinds[] = {
    [ENDS_INPUT] = STOREWIRE_STDIN,
    [ENDS_OUTPUT] = STOREWIRE_STDOUT,
    [ENDS_OUTPUT + 1] = STOREWIRE_STDERR,
    [ENDS_STATUS] = STOREWIRE_STATUS,
};

_Static_assert(sizeof kinds / sizeof kinds[0] == ENDS, "each end has its kind");
_Static_assert((int)ENDS <= (int)STOREWIRE_BATCH, "all go into one message");

enum storewire_kind ends_kind(unsigned end)
{
    return kinds[end];
}

struct ends ends_of(const struct process *process)
{
    struct ends ends = ENDS_NONE;
    ends.fds[ENDS_INPUT] = process->input.fd;
    for (unsigned i = 0; i < process_output_count(process); i++)
        ends.fds[ENDS_OUTPUT + i] = process->outputs[i].fd;
    if (process->status)
        ends.fds[ENDS_STATUS] = io_fd(process->status);
    return ends;
}

int ends_put(const struct ends *ends, unsigned slot, struct store *store, struct nsp_error *err)
{
    struct store_item items[ENDS];
    unsigned count = 0;
    for (unsigned i = 0; i < ENDS; i++)
        if (ends->fds[i] >= 0)
            items[count++] = (struct store_item){{kinds[i], slot}, ends->fds[i]};
    return store_put(store, items, count, err);
}

void ends_drop(const struct ends *ends, unsigned slot, struct store *store)
{
    for (unsigned i = 0; i < ENDS; i++)
        if (ends->fds[i] >= 0)
            store_drop(store, kinds[i], slot);
}

void ends_discard(struct ends *ends, unsigned slot, struct store *store)
{
    for (unsigned i = 0; i < ENDS; i++) {
        if (ends->fds[i] < 0)
            continue;
        close(ends->fds[i]);
        ends->fds[i] = -1;
        store_drop(store, kinds[i], slot);
    }
}
