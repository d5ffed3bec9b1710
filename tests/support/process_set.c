#include "tests/support/process_set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"

enum { ITEMS_MAX = 1024, QUIET_TURNS = 20 };

struct process_set process_set;

static struct timer *turn_timer;

struct found {
    struct store_item items[ITEMS_MAX];
    unsigned count;
};

static void on_turn(void *arg)
{
    loop_stop(arg);
}

void process_set_turn(void)
{
    ck_assert_int_eq(timer_set(turn_timer, CLOCK_NS_PER_MS, NULL), 0);
    ck_assert_int_eq(loop_run(process_set.loop, NULL), 0);
}

void process_set_settle(unsigned ms)
{
    for (uint64_t end = clock_now_ns() + ms * CLOCK_NS_PER_MS; clock_now_ns() < end;)
        process_set_turn();
}

static void on_wake(void *arg, unsigned ready)
{
    uint64_t count;
    (void)arg;
    (void)ready;
    if (read(process_set.supervisor.wake_fd, &count, sizeof count) > 0)
        processes_on_wake(process_set.set);
}

static void on_fatal(void *arg, const char *what, const struct nsp_error *err)
{
    (void)arg;
    (void)err;
    process_set.fatal_what = what;
    process_set.fatal++;
    loop_stop(process_set.loop);
}

static void take_item(void *arg, const struct store_item *item)
{
    struct found *found = arg;
    ck_assert_uint_lt(found->count, ITEMS_MAX);
    found->items[found->count++] = *item;
}

/* What is there for others than the set. */
static void close_items_of(const struct found *found, enum storewire_kind kind)
{
    for (unsigned i = 0; i < found->count; i++)
        if (found->items[i].key.kind == kind)
            close(found->items[i].fd);
}

TCase *process_set_add(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, process_set_setup, process_set_teardown);
    tcase_set_timeout(tcase, 30);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int process_set_try_start(struct nsp_error *err)
{
    const struct mini_supervisor *supervisor = &process_set.supervisor;
    const struct processes_config config = {
        .loop = process_set.loop,
        .store = &process_set.store,
        .claims_fd = supervisor->claims_fd,
        .exits_fd = supervisor->exits_fd,
        .ring_budget = process_set.ring_budget,
        .fatal = on_fatal,
    };
    struct found found = {.count = 0};
    ck_assert_int_eq(store_init(&process_set.store, process_set.loop, supervisor->socket,
                                supervisor->kick_fd, on_fatal, NULL, NULL),
                     0);
    ck_assert_int_eq(store_load(&process_set.store, take_item, &found, NULL), 0);
    close_items_of(&found, STOREWIRE_SERVICES);
    if (processes_new(&config, found.items, found.count, &process_set.set, err) < 0) {
        store_done(&process_set.store);
        return -1;
    }
    ck_assert_int_eq(io_new(process_set.loop, supervisor->wake_fd, IO_READ, on_wake, NULL,
                            &process_set.wake, NULL),
                     0);
    return 0;
}

void process_set_start(void)
{
    struct nsp_error err = NSP_ERROR_INIT;
    int result = process_set_try_start(&err);
    ck_assert_msg(result == 0, "processes_new: %s", err.msg);
}

void process_set_stop(void)
{
    if (!process_set.set)
        return;
    io_free(process_set.wake);
    processes_free(process_set.set);
    store_done(&process_set.store);
    process_set.set = NULL;
}

void process_set_restart(void)
{
    process_set_stop();
    process_set_start();
}

void process_set_setup(void)
{
    process_set = (struct process_set){.supervisor = mini_supervisor_begin()};
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(loop_new(&process_set.loop, NULL), 0);
    ck_assert_int_eq(timer_new(process_set.loop, on_turn, process_set.loop, &turn_timer, NULL), 0);
    process_set_start();
}

static bool is_spawning(void)
{
    unsigned cursor = 0;
    const struct process *process;
    while (process_set.set && (process = processes_next(process_set.set, &cursor)))
        if (process->spawn)
            return true;
    return false;
}

void process_set_await_spawned(void)
{
    PROCESS_SET_AWAIT(!is_spawning());
}

void process_set_teardown(void)
{
    process_set_await_spawned();
    process_set_stop();
    timer_free(turn_timer);
    loop_free(process_set.loop);
    ck_assert_msg(process_set.fatal == 0, "%s", process_set.fatal_what);
}

static void load(struct found *found)
{
    found->count = 0;
    ck_assert_int_eq(store_load(&process_set.store, take_item, found, NULL), 0);
    for (unsigned i = 0; i < found->count; i++)
        close(found->items[i].fd);
}

unsigned process_set_stored(void)
{
    struct found found;
    load(&found);
    return found.count;
}

unsigned process_set_stored_of(enum storewire_kind kind)
{
    struct found found;
    unsigned count = 0;
    load(&found);
    for (unsigned i = 0; i < found.count; i++)
        count += found.items[i].key.kind == kind;
    return count;
}

int process_set_fetch(enum storewire_kind kind)
{
    struct found found = {.count = 0};
    int fetched = -1;
    ck_assert_int_eq(store_load(&process_set.store, take_item, &found, NULL), 0);
    for (unsigned i = 0; i < found.count; i++)
        if (found.items[i].key.kind == kind && fetched < 0)
            fetched = found.items[i].fd;
        else
            close(found.items[i].fd);
    return fetched;
}

void process_set_store(enum storewire_kind kind, unsigned slot, int fd)
{
    const struct store_item item = {{kind, slot}, fd};
    ck_assert_int_eq(store_put(&process_set.store, &item, 1, NULL), 0);
    close(fd);
}

unsigned process_set_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

struct launch_options process_set_options(char *const *argv)
{
    static char path[] = "PATH=/usr/bin:/bin";
    static char *const environment[] = {path, NULL};
    size_t argc = 0;
    while (argv && argv[argc])
        argc++;
    return (struct launch_options){
        .argv = argv,
        .argc = argc,
        .environment = environment,
        .policy = TABLE_POLICY_AUTO,
        .drain_ms = -1,
    };
}

struct process *process_set_launch(const struct launch_options *options)
{
    struct process *process = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    bool is_repeated = true;
    int result = launch_start(process_set.set, options, &process, &is_repeated, &err);
    ck_assert_msg(result == 0, "launch: %s", err.msg);
    ck_assert(!is_repeated);
    PROCESS_SET_AWAIT(process->record->state != TABLE_STARTING);
    return process;
}

struct process *process_set_shell(const char *script)
{
    char *const argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)script, NULL};
    const struct launch_options options = process_set_options(argv);
    return process_set_launch(&options);
}

void process_set_kill(struct process *process)
{
    ck_assert_int_gt(process->record->pid, 0);
    kill(process->record->pid, SIGKILL);
    PROCESS_SET_AWAIT(process_is_exited(process));
}

struct process *process_set_entry(const char *id, const char *key)
{
    struct process *process = NULL;
    ck_assert_int_eq(processes_allocate(process_set.set, id, key, &process, NULL), 0);
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++) {
        process->outputs[i].ring.state = &process->record->outputs[i].ring;
        ring_init_state(process->outputs[i].ring.state, NSP_LIMIT_RING_MIN);
    }
    return process;
}

struct process *process_set_exited_entry(unsigned number, uint64_t exited_ns)
{
    char id[16];
    snprintf(id, sizeof id, "p%u", number);
    struct process *process = process_set_entry(id, "");
    process->record->state = TABLE_RUNNING;
    process_on_exit(process, &(struct exitlog_record){.exited_ns = exited_ns, .pid = 99999999});
    return process;
}

struct process *process_set_numbered(unsigned number)
{
    char id[16];
    snprintf(id, sizeof id, "p%u", number);
    return processes_find(process_set.set, id);
}

struct processes_stats process_set_stats(void)
{
    struct processes_stats result;
    processes_stats(process_set.set, &result);
    return result;
}

static int open_its(const struct process *process, int number, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)process->record->pid, number);
    int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    return fd;
}

void puppet_open(struct puppet *puppet, struct process *process)
{
    *puppet =
        (struct puppet){.process = process,
                        .in = open_its(process, 0, O_RDONLY),
                        .out = {open_its(process, 1, O_WRONLY), open_its(process, 2, O_WRONLY)}};
}

struct puppet process_set_puppet_of(struct launch_options options)
{
    char *const argv[] = {(char[]){"sleep"}, (char[]){"60"}, NULL};
    struct puppet puppet;
    options.argv = argv;
    options.argc = 2;
    puppet_open(&puppet, process_set_launch(&options));
    return puppet;
}

struct puppet process_set_puppet(void)
{
    return process_set_puppet_of(process_set_options(NULL));
}

struct puppet process_set_small_puppet(enum table_policy policy)
{
    struct launch_options options = process_set_options(NULL);
    options.ring_bytes = NSP_LIMIT_RING_MIN;
    options.policy = policy;
    return process_set_puppet_of(options);
}

void puppet_restart(struct puppet *puppet)
{
    char id[NSP_LIMIT_ID + 1];
    snprintf(id, sizeof id, "%s", puppet->process->record->id);
    process_set_restart();
    puppet->process = processes_find(process_set.set, id);
    ck_assert_ptr_nonnull(puppet->process);
}

void puppet_close_output(struct puppet *puppet, unsigned output)
{
    close(puppet->out[output]);
    puppet->out[output] = -1;
}

/* The ring that the bytes come to. */
static const struct ring_state *ring_of(const struct puppet *puppet, unsigned output)
{
    const struct table_record *record = puppet->process->record;
    return &record->outputs[record->merged ? 0 : output].ring;
}

void puppet_say(const struct puppet *puppet, unsigned output, const char *text)
{
    const struct ring_state *ring = ring_of(puppet, output);
    uint64_t end = ring->head + strlen(text);
    ck_assert_int_eq(write(puppet->out[output], text, strlen(text)), (ssize_t)strlen(text));
    PROCESS_SET_AWAIT(ring->head == end);
}

uint8_t puppet_pattern(uint64_t offset)
{
    return (uint8_t)((offset * 2654435761U) >> 13);
}

uint64_t puppet_flood(const struct puppet *puppet, unsigned output, uint64_t from, uint64_t count)
{
    static uint8_t bytes[65536];
    uint64_t done = 0;
    for (unsigned quiet = 0; done < count && quiet < QUIET_TURNS;) {
        size_t length = count - done < sizeof bytes ? count - done : sizeof bytes;
        for (size_t i = 0; i < length; i++)
            bytes[i] = puppet_pattern(from + done + i);
        ssize_t written = write(puppet->out[output], bytes, length);
        quiet = written > 0 ? 0 : quiet + 1;
        done += written > 0 ? (uint64_t)written : 0;
        process_set_turn();
    }
    const struct ring_state *ring = ring_of(puppet, output);
    for (uint64_t head = UINT64_MAX; head != ring->head;) {
        head = ring->head;
        process_set_settle(3);
    }
    return done;
}

static void on_event(void *arg, struct process *process, enum process_event event)
{
    static const char letters[] = {'S', 'F', '\0', 'I', 'X', 'D', 'C', 'G'};
    struct witness *witness = arg;
    size_t length = strlen(witness->order);
    (void)process;
    witness->count[event]++;
    ck_assert_uint_lt(length + 1, sizeof witness->order);
    witness->order[length] = letters[event];
}

void witness_watch(struct witness *witness, struct process *process)
{
    *witness = (struct witness){.observer = {.event = on_event, .arg = witness}};
    process_observe(process, &witness->observer);
}
