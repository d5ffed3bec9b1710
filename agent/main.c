/* Which program are we? The same binary is the supervisor and, executed again by it with the word
 * "agent" in front of the options, the agent. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/program.h"
#include "config.h"
#include "init/supervisor.h"

enum { STATUS_USAGE = 2 };

int main(int argc, char **argv)
{
    bool is_agent = argc > 1 && strcmp(argv[1], "agent") == 0;
    if (is_agent) {
        argv++;
        argc--;
    }
    struct options options;
    struct nsp_error err = NSP_ERROR_INIT;
    if (options_parse(argc, argv, !is_agent && getpid() == 1, &options, &err) < 0 ||
        program_check(&options, &err) < 0) {
        fprintf(stderr, "nullspace-agent: %s\nTry --help.\n", err.msg);
        return STATUS_USAGE;
    }
    if (options.help || options.version) {
        fputs(options.help ? options_usage : "nullspace-agent " PACKAGE_VERSION "\n", stdout);
        return 0;
    }
    log_init(is_agent ? "agent" : "supervisor", options.log_level);
    if (is_agent)
        return program_run(&options);
    return supervisor_run(&(struct supervisor_options){
        .argc = argc - 1,
        .argv = argv + 1,
        .binary_fd = -1,
        .agent_ms = SUPERVISOR_AGENT_MS,
        .grace_ms = options.shutdown_grace_ms,
        .restart_max_ms = SUPERVISOR_RESTART_MAX_MS,
    });
}
