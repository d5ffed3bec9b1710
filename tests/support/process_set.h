/* A live set of processes for the tests of agent/process: a loop, an fd store and an exit log of a
 * real parent (mini_supervisor.h). The agent's death is played by leaving everything as it is and
 * taking it over from the store. Every check that fails in here fails the present test.
 */
#ifndef TESTS_SUPPORT_PROCESS_SET_H
#define TESTS_SUPPORT_PROCESS_SET_H

#include <check.h>

#include "agent/process/launch.h"
#include "agent/process/processes.h"
#include "tests/support/mini_supervisor.h"

struct process_set {
    struct mini_supervisor supervisor;
    struct loop *loop;
    struct store store;
    struct processes *set;
    struct io *wake;
    uint64_t ring_budget; /* of the next agent; 0: the default */
    unsigned fatal;       /* calls; a test that expects them sets it to 0 again */
    const char *fatal_what;
};

/* The one of the running test. */
extern struct process_set process_set;

/* A case of these tests, each with the fixture. More fixtures can be added. */
TCase *process_set_add(Suite *suite, const char *name, const TTest *const *tests, size_t count);
#define PROCESS_SET_CASE(suite, name, ...)                                                         \
    process_set_add(suite, name, (const TTest *const[]){__VA_ARGS__},                              \
                    sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(TTest *))

/* Fixture; the setup returns in a child of the process that called it. */
void process_set_setup(void);
void process_set_teardown(void);

/* The agent dies: what it had not told the store yet is lost, its descriptors are closed. */
void process_set_stop(void);
/* Its successor takes over, or cannot. */
void process_set_start(void);
int process_set_try_start(struct nsp_error *err);
void process_set_restart(void);

/* The memory of a child that has not reached its execve must stay until then: waits for that. */
void process_set_await_spawned(void);

/* Runs the loop for about a millisecond, or so many of them. */
void process_set_turn(void);
void process_set_settle(unsigned ms);

enum { PROCESS_SET_TURNS = 5000 };
#define PROCESS_SET_AWAIT(condition)                                                               \
    for (unsigned turn_ = 0; !(condition); turn_++) {                                              \
        ck_assert_msg(turn_ < PROCESS_SET_TURNS, "never: %s", #condition);                         \
        process_set_turn();                                                                        \
    }

/* Entries of the fd store, and of one kind; descriptors of this process. */
unsigned process_set_stored(void);
unsigned process_set_stored_of(enum storewire_kind kind);
unsigned process_set_descriptors(void);
/* A descriptor from there, for the caller; -1: there is none. */
int process_set_fetch(enum storewire_kind kind);
/* Puts a descriptor there and closes it here. */
void process_set_store(enum storewire_kind kind, unsigned slot, int fd);

/* argv is borrowed until the launch. No input, PATH only. */
struct launch_options process_set_options(char *const *argv);
/* What must start, up to RUNNING. */
struct process *process_set_launch(const struct launch_options *options);
struct process *process_set_shell(const char *script);
/* Kills it and waits for its exit to be read. */
void process_set_kill(struct process *process);

/* A process in the books only: nothing ever ran. */
struct process *process_set_entry(const char *id, const char *key);
/* One that has exited, found by its number. */
struct process *process_set_exited_entry(unsigned number, uint64_t exited_ns);
struct process *process_set_numbered(unsigned number);

struct processes_stats process_set_stats(void);

/* A process that does nothing, while the test holds the ends of its pipes that it has: its output
 * is what the test writes to out, what arrives at its standard input is read from in. */
struct puppet {
    struct process *process;
    int in, out[TABLE_OUTPUTS];
};
struct puppet process_set_puppet(void);
/* argv is replaced. */
struct puppet process_set_puppet_of(struct launch_options options);
/* With the smallest ring. */
struct puppet process_set_small_puppet(enum table_policy policy);
/* Opens them. */
void puppet_open(struct puppet *puppet, struct process *process);
/* Restarts, and finds its process again. */
void puppet_restart(struct puppet *puppet);
void puppet_close_output(struct puppet *puppet, unsigned output);
/* Output that has arrived in the ring when this returns. */
void puppet_say(const struct puppet *puppet, unsigned output, const char *text);
/* Writes bytes of the pattern until count are through or nothing more goes for a while. The first
 * has the offset from in the pattern. Returns how many went. */
uint64_t puppet_flood(const struct puppet *puppet, unsigned output, uint64_t from, uint64_t count);
uint8_t puppet_pattern(uint64_t offset);

/* What a process tells: Started, Failed, Input closed, eXited, Drained, Closed, forGotten; output
 * is only counted. */
enum { WITNESS_EVENTS = PROCESS_FORGOTTEN + 1 };
struct witness {
    struct process_observer observer;
    unsigned count[WITNESS_EVENTS];
    char order[32];
};
void witness_watch(struct witness *witness, struct process *process);

#endif
