/* How long from starting the agent to its first answered hello. What follows "--" is its command
 * line, and --target agent:PATH where it then listens.
 */
#include "tests/bench/options.h"

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/wire.h"

#define PAUSE_NS 20000
#define GIVE_UP_NS UINT64_C(10000000000)

extern char **environ;

static uint64_t start_once(const char *path, char **command)
{
    pid_t pid;
    uint64_t before = measure_now();
    if (posix_spawn(&pid, command[0], NULL, NULL, command, environ) != 0)
        measure_die("%s cannot be started", command[0]);
    struct wire *wire;
    while (!(wire = wire_try_open(path))) {
        if (measure_now() - before > GIVE_UP_NS)
            measure_die("%s does not listen", command[0]);
        measure_sleep(PAUSE_NS);
    }
    uint64_t took = measure_now() - before;
    wire_close(wire);
    kill(pid, SIGTERM);
    int status;
    measure_check(waitpid(pid, &status, 0), "waitpid");
    if (status != 0)
        measure_die("%s ended with %x", command[0], (unsigned)status);
    return took;
}

int main(int argc, char **argv)
{
    struct options options;
    struct measure_samples samples;
    options_read(argc, argv, &options);
    const char *colon = strchr(options.target, ':');
    if (!colon || !options.rest[0])
        measure_die("usage: start --target agent:PATH -- COMMAND...");
    measure_samples_init(&samples, options.count);
    for (uint64_t i = 0; i < options.count; i++)
        measure_samples_add(&samples, start_once(colon + 1, options.rest));
    measure_report_begin();
    measure_report_samples("", &samples);
    measure_report_end();
    measure_samples_done(&samples);
    return 0;
}
