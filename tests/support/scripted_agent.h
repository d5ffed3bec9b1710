/* A stand-in for the agent, and for its workload, in tests of the supervisor: the test program
 * itself, executed again, which plays the script that its arguments name and tells in a shared file
 * what it saw. */
#ifndef TESTS_SUPPORT_SCRIPTED_AGENT_H
#define TESTS_SUPPORT_SCRIPTED_AGENT_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* The step that the boot report has, for the script "inspect". */
#define SCRIPTED_STEP "scripted"

enum {
    SCRIPTED_STARTS = 64,
    SCRIPTED_STORED = 300, /* process slots that the script "store" puts */
    SCRIPTED_EXITS = 200,  /* processes that the script "exits" leaves behind */
};

struct scripted_report {
    atomic_uint starts; /* of the agent */
    pid_t agents[SCRIPTED_STARTS];
    uint64_t started_ns[SCRIPTED_STARTS];
    atomic_bool ready; /* the script has got where the test goes on */
    char wrong[256];   /* first thing that was not as it should be; empty: none */

    atomic_uint shutdowns, ends; /* messages received */
    uint64_t shutdown_ns;        /* when the first SHUTDOWN came */
    uint32_t end_ms;
    uint64_t agent_ended_ns;
    unsigned left; /* children of the workload that were there when END came */

    atomic_uint children; /* that have come up */
    pid_t child_pids[8];
    _Atomic uint64_t terminated_ns; /* when the polite child got its TERM */
};

/* Maps the report in a file, which is made when it is not there. */
struct scripted_report *scripted_agent_report(const char *path);

/* Scripts, each told to the agent as `SCRIPT REPORT-FILE NUMBER`:
 *
 *   obey        ready, then waits for END, which must come after SHUTDOWN, and exits
 *   refuse      exits with NUMBER before it is ready
 *   die         is killed right after it was ready, NUMBER times; then obey
 *   die-early   is killed before it was ready, NUMBER times; then obey
 *   close       closes its socket and hangs, NUMBER times; then obey
 *   hang        ready, then takes no notice of anything
 *   ask         asks for the shutdown with a grace of NUMBER ms and a workload, then obey
 *   inspect     checks what it has inherited, then obey
 *   store       puts descriptors and is killed; the second checks them, then obey
 *   exits       starts processes and is killed; the second checks their exits, then obey
 *   workload    starts a polite, a stubborn and a daemon child, then obey
 *   quit        the same, but is killed when SHUTDOWN comes
 *
 * Returns when the program is neither agent nor child; otherwise ends the process. */
void scripted_agent_main(int argc, char **argv);

#endif
