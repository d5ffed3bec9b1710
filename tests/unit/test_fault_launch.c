/* Everything that a launch or a takeover needs from the system can fail: nothing is left behind,
 * and the next try succeeds. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "agent/process/signals.h"
#include "tests/support/fault.h"
#include "tests/support/process_set.h"
#include "tests/support/unit.h"

enum { CALLS_MAX = 500 };

static const struct {
    uint32_t kind;
    int error;
} faults[] = {
    {FAULT_ALLOC, ENOMEM}, {FAULT_FD, EMFILE},    {FAULT_EPOLL, ENOMEM},
    {FAULT_MAP, ENOMEM},   {FAULT_CLONE, EAGAIN}, {FAULT_WRITE, ENOBUFS},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static const char *const program[] = {"true", NULL};

static bool launch(uint32_t kind, int error, uint64_t first)
{
    struct launch_options options = process_set_options((char *const *)program);
    struct process *process = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    bool is_repeated;
    options.id = "faulty";
    options.input = true;
    fault_arm(kind, error, first);
    int result = launch_start(process_set.set, &options, &process, &is_repeated, &err);
    bool failed = fault_disarm() > 0;
    if (result == 0) {
        PROCESS_SET_AWAIT(process_is_drained(process));
        ck_assert_int_eq(process_forget(process, NULL), 0);
    } else {
        ck_assert_msg(failed, "%s", err.msg);
        ck_assert_msg(err.code == NSP_E_EXHAUSTED || err.code == NSP_E_SPAWN ||
                          err.code == NSP_E_SYSTEM,
                      "%s: %s", nsp_error_name(err.code), err.msg);
        ck_assert_ptr_null(processes_find(process_set.set, "faulty"));
    }
    return failed;
}

START_TEST(a_launch_that_fails_leaves_nothing_behind)
{
    uint32_t kind = faults[_i].kind;
    ck_assert(!launch(kind, faults[_i].error, CALLS_MAX));
    process_set_settle(20);
    unsigned descriptors = process_set_descriptors(), stored = process_set_stored();
    uint64_t first = 1;
    while (launch(kind, faults[_i].error, first)) {
        process_set_settle(20);
        ck_assert_uint_eq(process_set_descriptors(), descriptors);
        ck_assert_uint_eq(process_set_stored(), stored);
        ck_assert_uint_lt(first++, CALLS_MAX);
    }
    /* The warm slot's memory is there already; calls in a shared libevent cannot be replaced. */
    ck_assert(first > 1 || kind == FAULT_MAP || kind == FAULT_EPOLL);
    ck_assert_uint_eq(process_set.fatal, 0);
}
END_TEST

static void on_fatal(void *arg, const char *what, const struct nsp_error *err)
{
    (void)arg;
    (void)err;
    ck_abort_msg("%s", what);
}

static struct store_item items[CALLS_MAX];
static unsigned item_count;

static void take_item(void *arg, const struct store_item *item)
{
    (void)arg;
    ck_assert_uint_lt(item_count, CALLS_MAX);
    items[item_count++] = *item;
}

/* One agent that may fail to take over, and the next, which does not. */
static bool take_over(uint32_t kind, uint64_t first)
{
    const struct mini_supervisor *supervisor = &process_set.supervisor;
    const struct processes_config config = {.loop = process_set.loop,
                                            .store = &process_set.store,
                                            .claims_fd = supervisor->claims_fd,
                                            .exits_fd = supervisor->exits_fd,
                                            .fatal = on_fatal};
    struct nsp_error err = NSP_ERROR_INIT;
    struct processes *set = NULL;
    process_set_stop();
    item_count = 0;
    ck_assert_int_eq(store_init(&process_set.store, process_set.loop, supervisor->socket,
                                supervisor->kick_fd, on_fatal, NULL, NULL),
                     0);
    ck_assert_int_eq(store_load(&process_set.store, take_item, NULL, NULL), 0);
    fault_arm(kind, ENOMEM, first);
    int result = processes_new(&config, items, item_count, &set, &err);
    bool failed = fault_disarm() > 0;
    ck_assert_msg(result == 0 || (failed && err.code != NSP_E_NONE), "%s", err.msg);
    processes_free(set);
    store_done(&process_set.store);
    process_set_start();
    return failed;
}

static const uint32_t takeover_faults[] = {FAULT_ALLOC, FAULT_EPOLL, FAULT_MAP};
enum { TAKEOVER_FAULTS = sizeof takeover_faults / sizeof *takeover_faults };

START_TEST(a_takeover_that_fails_leaves_all_to_the_next)
{
    struct launch_options options = process_set_options(NULL);
    options.input = true;
    struct puppet puppet = process_set_puppet_of(options);
    struct process *shell = process_set_shell("echo out; echo err >&2; exit 3");
    PROCESS_SET_AWAIT(process_is_drained(shell));
    char id[NSP_LIMIT_ID + 1], sleeper[NSP_LIMIT_ID + 1];
    memcpy(id, shell->record->id, sizeof id);
    memcpy(sleeper, puppet.process->record->id, sizeof sleeper);
    uint64_t first = 1;
    while (take_over(takeover_faults[_i], first)) {
        shell = processes_find(process_set.set, id);
        puppet.process = processes_find(process_set.set, sleeper);
        ck_assert_ptr_nonnull(shell);
        ck_assert_ptr_nonnull(puppet.process);
        ck_assert_int_eq(shell->record->exit.status, 3);
        ck_assert_uint_eq(shell->record->outputs[0].ring.head, 4);
        ck_assert_uint_eq(puppet.process->record->state, TABLE_RUNNING);
        ck_assert_int_ge(puppet.process->outputs[0].fd, 0);
        ck_assert_int_ge(puppet.process->input.fd, 0);
        ck_assert_uint_lt(first++, CALLS_MAX);
    }
    ck_assert(first > 2 || takeover_faults[_i] == FAULT_EPOLL);
}
END_TEST

START_TEST(a_kill_that_fails_is_tried_again)
{
    struct process *process = process_set_shell("trap '' TERM; echo; while :; do sleep 1; done");
    PROCESS_SET_AWAIT(process->record->outputs[0].ring.head > 0);
    ck_assert_int_eq(signals_kill(process, SIGTERM, SIGNALS_TREE, 50, NULL), 0);
    fault_arm(FAULT_FD, EMFILE, 1);
    PROCESS_SET_AWAIT(process_is_exited(process));
    ck_assert_uint_eq(fault_disarm(), 1);
    ck_assert_int_eq(process->record->exit.status, SIGKILL);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault launch");
    TCase *tcase = tcase_create("every call");
    tcase_add_checked_fixture(tcase, process_set_setup, process_set_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_launch_that_fails_leaves_nothing_behind, 0, FAULTS);
    tcase_add_loop_test(tcase, a_takeover_that_fails_leaves_all_to_the_next, 0, TAKEOVER_FAULTS);
    tcase_add_test(tcase, a_kill_that_fails_is_tried_again);
    suite_add_tcase(all, tcase);
    return all;
}

UNIT_MAIN(suite)
