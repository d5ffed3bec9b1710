/* The commands of nsctl, and main.
 */
#include "client/nsctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/nsctl_attach.h"
#include "client/nsctl_completion.h"
#include "client/nsctl_guest.h"
#include "client/nsctl_logs.h"
#include "client/nsctl_net.h"
#include "client/nsctl_options.h"
#include "client/nsctl_process.h"
#include "client/nsctl_ps.h"
#include "client/nsctl_report.h"
#include "client/nsctl_run.h"
#include "client/nsctl_service.h"
#include "client/nsctl_system.h"
#include "config.h"
#include "protocol/frame.h"

enum { OUTAGE_TOLD = 1000 };

#define AT(member) offsetof(struct nsctl_settings, member)
#define FLAG(letter, name, member, doc)                                                            \
    {                                                                                              \
        letter, name, NSCTL_FLAG, AT(member), NULL, doc, NULL                                      \
    }
#define VALUE(letter, name, kind, member, argument, doc)                                           \
    {                                                                                              \
        letter, name, kind, AT(member), argument, doc, NULL                                        \
    }
#define CHOICE(letter, name, member, argument, doc, choices)                                       \
    {                                                                                              \
        letter, name, NSCTL_CHOICE, AT(member), argument, doc, choices                             \
    }
#define LAST                                                                                       \
    {                                                                                              \
        0, NULL, NSCTL_FLAG, 0, NULL, NULL, NULL                                                   \
    }

static const char *const policies[] = {"auto", "block", "drop", NULL};
static const char *const untils[] = {"drained", "closed", NULL};
static const char *const scopes[] = {"leader", "group", "tree", NULL};

const struct nsctl_option nsctl_global_options[] = {
    VALUE('c', "connect", NSCTL_TEXT, connect, "ADDRESS", "where the agent is"),
    FLAG(0, "json", json, "print JSON: one object a line"),
    VALUE(0, "reconnect-timeout", NSCTL_SECONDS, reconnect_timeout, "S",
          "try a lost connection again for S seconds (30); 0: not at all"),
    FLAG('h', "help", help, "print help"),
    FLAG(0, "version", version, "print the version"),
    LAST,
};

static const struct nsctl_option run_options[] = {
    VALUE(0, "cwd", NSCTL_TEXT, cwd, "DIR", "working directory"),
    VALUE('e', "env", NSCTL_LIST, environment, "NAME=VALUE", "add to the environment"),
    FLAG(0, "clear-env", clear_environment, "start from an empty environment"),
    FLAG(0, "shell", shell, "join the words and give them to /bin/sh -c"),
    VALUE(0, "timeout", NSCTL_SECONDS, timeout, "S", "end it after S seconds"),
    VALUE(0, "grace", NSCTL_SECONDS, grace, "S", "time between TERM and KILL then (2)"),
    FLAG(0, "detach", detach, "print the id and do not wait"),
    VALUE(0, "id", NSCTL_TEXT, id, "ID", "name it; its record is kept when it has ended"),
    VALUE(0, "key", NSCTL_TEXT, key, "KEY", "the same key never starts twice, but attaches"),
    FLAG(0, "no-stdin", no_stdin, "/dev/null is its standard input"),
    FLAG(0, "merge", merge, "standard error goes into standard output"),
    CHOICE(0, "policy", policy, "HOW", "when the output ring is full: auto, block, drop", policies),
    VALUE(0, "ring", NSCTL_BYTES, ring, "BYTES", "size of the output ring; 64K to 64M"),
    LAST,
};

static const struct nsctl_option ps_options[] = {
    FLAG('a', "all", all, "show exited processes too"),
    LAST,
};

static const struct nsctl_option attach_options[] = {
    VALUE(0, "from", NSCTL_NUMBER, from, "N", "first byte of standard output (0)"),
    VALUE(0, "from-stderr", NSCTL_NUMBER, from_stderr, "N", "first byte of standard error (0)"),
    FLAG(0, "tail", tail, "start at the present end of the outputs"),
    CHOICE(0, "until", until, "WHEN", "drained: until the exit; closed: until nobody can write",
           untils),
    FLAG(0, "no-stdin", no_stdin, "do not write to its standard input"),
    FLAG(0, "interleaved", interleaved, "both outputs in the order in which they arrived"),
    LAST,
};

static const struct nsctl_option logs_options[] = {
    FLAG('f', "follow", follow, "go on until the process has ended; a log: until interrupted"),
    VALUE(0, "from", NSCTL_NUMBER, from, "N", "first byte of standard output (0)"),
    VALUE(0, "from-stderr", NSCTL_NUMBER, from_stderr, "N", "first byte of standard error (0)"),
    FLAG(0, "interleaved", interleaved, "both outputs in the order in which they arrived"),
    FLAG(0, "agent", agent, "the agent's log"),
    FLAG(0, "supervisor", supervisor, "the supervisor's log"),
    FLAG(0, "kernel", kernel, "the kernel's log"),
    FLAG('a', "all", all, "the logs of agent and supervisor, in the order of time"),
    VALUE('n', "lines", NSCTL_NUMBER, count, "N", "the last N lines of a log (100)"),
    CHOICE('l', "level", level, "LEVEL", "lines of a log of at least that level",
           nsctl_logs_levels),
    LAST,
};

static const struct nsctl_option stdin_options[] = {
    VALUE(0, "offset", NSCTL_NUMBER, offset, "N", "offset of the first byte (the present end)"),
    FLAG(0, "close", close, "close standard input afterwards"),
    LAST,
};

static const struct nsctl_option kill_options[] = {
    VALUE('s', "signal", NSCTL_TEXT, signal, "SIG", "name or number"),
    CHOICE(0, "scope", scope, "WHOM", "leader, group (default) or tree", scopes),
    VALUE(0, "grace", NSCTL_SECONDS, grace, "S", "KILL it after S seconds (2)"),
    LAST,
};

static const struct nsctl_option service_options[] = {
    VALUE(0, "grace", NSCTL_SECONDS, grace, "S", "KILL what is left after S seconds (2)"),
    LAST,
};

static const struct nsctl_option shutdown_options[] = {
    FLAG(0, "reboot", reboot, "start the machine anew"),
    FLAG(0, "halt", halt, "stop the processors, without power off"),
    VALUE(0, "grace", NSCTL_SECONDS, grace, "S", "between TERM and KILL for all (as configured)"),
    LAST,
};

static const struct nsctl_option ping_options[] = {
    VALUE('n', "count", NSCTL_NUMBER, count, "N", "how many (1)"),
    VALUE('i', "interval", NSCTL_SECONDS, interval, "S", "seconds between two (1)"),
    LAST,
};

const struct nsctl_command nsctl_commands[] = {
    {"run", "[--] ARGV...", 1, INT_MAX, false, true, run_options, nsctl_run,
     "run a command: its input, output, signals and exit status become ours",
     "Standard input is passed on, and its end too. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and\n"
     "SIGUSR2 are sent to the process group; three SIGINT within a second of each other detach. A\n"
     "lost connection is made again, and no byte is lost or doubled; what could not be kept is\n"
     "named: \"nsctl: stdout: bytes A..B are lost\", from A up to but not including B. When "
     "nobody\n"
     "reads our standard output any more the process gets SIGPIPE and what it writes is thrown\n"
     "away; with --id nsctl ends instead, and the process goes on. Without --id and --detach its\n"
     "record is dropped at the end.\n"
     "Exit status: that of the command; 128+N when signal N ended it; 124 after --timeout; 125\n"
     "after an error of nsctl or the agent; 126 not executable; 127 not found; 141 when nobody\n"
     "reads standard output.\n"},
    {"ps", NULL, 0, 0, false, false, ps_options, nsctl_ps, "list running processes, or all with -a",
     "With --json all are printed, always.\n"},
    {"attach", "ID", 1, 1, false, false, attach_options, nsctl_attach,
     "follow a process from its first byte, or --from one",
     "Exit status as for run. A signal ends nsctl and not the process.\n"},
    {"logs", "[ID]", 0, 1, false, false, logs_options, nsctl_logs,
     "print the output that is kept of a process, or a log",
     "Never makes the process wait: with -f, what is read too slowly may be dropped, and is "
     "named.\n"
     "The agent's and the supervisor's logs outlive the agent. With --json each line is an object\n"
     "with seq, time_ms, level, source and text.\n"},
    {"wait", "ID", 1, 1, false, false, NULL, nsctl_process_wait,
     "wait for the exit; may be repeated", "Exit status as for run.\n"},
    {"stdin", "ID", 1, 1, false, false, stdin_options, nsctl_process_stdin,
     "write our standard input to that of a process",
     "Only one client at a time should write to a process.\n"},
    {"kill", "ID", 1, 1, false, false, kill_options, nsctl_process_kill,
     "end a process, or send one signal",
     "With -s alone one signal is sent. Otherwise the process gets TERM (or -s SIG) and, after "
     "the\n"
     "grace, KILL; nsctl waits for its end.\n"},
    {"forget", "ID...", 1, INT_MAX, false, false, NULL, nsctl_process_forget,
     "drop the record and output of exited processes", NULL},
    {"services", NULL, 0, 0, false, false, NULL, nsctl_service_list,
     "list the services that the guest's configuration starts", NULL},
    {"service", "start|stop|restart NAME", 2, 2, false, false, service_options, nsctl_service,
     "start, stop or restart a service",
     "A service that was stopped is not started again by itself; stop waits for its end.\n"},
    {"boot", NULL, 0, 0, false, false, NULL, nsctl_guest_boot,
     "how the machine came up, step by step", "Exit status 1 when a step has failed.\n"},
    {"shutdown", NULL, 0, 0, false, false, shutdown_options, nsctl_guest_shutdown,
     "end all processes, then the agent and the machine",
     "Returns as soon as the end has begun. An agent that is not PID 1 of a machine just ends.\n"},
    {"info", NULL, 0, 0, false, false, NULL, nsctl_system_info, "about the agent", NULL},
    {"stats", NULL, 0, 0, false, false, NULL, nsctl_system_stats, "numbers of the agent", NULL},
    {"net", "[apply FILE]", 0, 2, false, false, NULL, nsctl_net, "show the network, or set it up",
     "apply sends the file (- for standard input) to net.configure: \"links\", \"dns_servers\"...\n"
     "as in nullspace-agent.json(5). What can be done is done; exit status 125 when something\n"
     "failed.\n"},
    {"ping", NULL, 0, 0, false, false, ping_options, nsctl_system_ping, "measure round trips",
     NULL},
    {"discover", NULL, 0, 0, false, false, NULL, nsctl_system_discover,
     "print the agent's methods (OpenRPC)", NULL},
    {"call", "METHOD [JSON]", 1, 2, false, false, NULL, nsctl_system_call,
     "call a method with parameters in JSON", NULL},
    {"completion", "bash|zsh|fish", 1, 1, true, false, NULL, nsctl_completion,
     "print a completion script", NULL},
    {NULL, NULL, 0, 0, false, false, NULL, NULL, NULL, NULL},
};

static const struct nsctl_command *find_command(const char *name)
{
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

/* A closed 0, 1 or 2 would become a socket of ours, which the user's bytes would then go to. */
static bool fill_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
    return fd >= 0 || errno == ENOENT;
}

/* A connection that takes its time shall not look like a program that hangs. */
static int wait_until_ready(struct nsp_client *client, struct nsp_error *err)
{
    bool told = false;
    while (nsp_client_state(client) != NSP_CLIENT_READY) {
        if (nsp_client_step(client, OUTAGE_TOLD, err) < 0)
            return -1;
        if (!told && nsp_client_outage(client, nsp_client_now()) >= OUTAGE_TOLD) {
            const struct nsp_error *last = nsp_client_last_error(client);
            nsctl_report_note("no answer yet%s%s%s; trying on", last->msg[0] ? " (" : "", last->msg,
                              last->msg[0] ? ")" : "");
            told = true;
        }
    }
    return 0;
}

static int connect_client(struct nsctl *ctl, struct nsp_error *err)
{
    const struct nsctl_settings *settings = &ctl->settings;
    const char *address = settings->connect ? settings->connect : getenv("NSCTL_CONNECT");
    struct nsp_client_options options = {
        .name = "nsctl/" PACKAGE_VERSION,
        .token_file = getenv("NSCTL_TOKEN_FILE"),
    };
    if (settings->reconnect_timeout.set)
        options.reconnect_ms =
            settings->reconnect_timeout.value ? (int64_t)settings->reconnect_timeout.value : -1;
    if (!address || !address[0])
        return nsp_fail(err, NSP_E_INVALID_PARAMS,
                        "no address: give -c ADDRESS or set NSCTL_CONNECT");
    if (nsp_client_new(address, &options, &ctl->client, err) < 0)
        return -1;
    return wait_until_ready(ctl->client, err);
}

static int run_command(struct nsctl *ctl, const struct nsctl_command *command)
{
    struct nsp_error error = NSP_ERROR_INIT;
    if (ctl->settings.help) {
        nsctl_options_command_help(command);
        return NSCTL_OK;
    }
    int status;
    if (!command->offline && connect_client(ctl, &error) < 0)
        status = nsctl_report_error(ctl, &error);
    else
        status = command->run(ctl);
    nsp_client_free(ctl->client);
    return status;
}

static int misuse(const struct nsctl *ctl, const struct nsp_error *error)
{
    nsctl_report_error(ctl, error);
    fprintf(stderr, "nsctl: `nsctl --help` tells more\n");
    return NSCTL_ERROR;
}

static int start(struct nsctl *ctl, int argc, char **argv)
{
    struct nsp_error error = NSP_ERROR_INIT;
    int next = argc;
    if (nsctl_options_global(argc, argv, &ctl->settings, &next, &error) < 0)
        return misuse(ctl, &error);
    if (ctl->settings.version) {
        printf("nsctl %s (protocol %d.%d)\n", PACKAGE_VERSION, NSP_VERSION_MAJOR,
               NSP_VERSION_MINOR);
        return NSCTL_OK;
    }
    if (next >= argc) {
        if (ctl->settings.help) {
            nsctl_options_help();
            return NSCTL_OK;
        }
        nsp_fail(&error, NSP_E_INVALID_PARAMS, "no command");
        return misuse(ctl, &error);
    }
    const struct nsctl_command *command = find_command(argv[next]);
    if (!command) {
        nsp_fail(&error, NSP_E_INVALID_PARAMS, "unknown command: %.80s", argv[next]);
        return misuse(ctl, &error);
    }
    next++;
    if (nsctl_options_command(command, argc - next, argv + next, &ctl->settings, &error) < 0)
        return misuse(ctl, &error);
    return run_command(ctl, command);
}

int main(int argc, char **argv)
{
    struct nsctl ctl = {0};
    if (!fill_descriptors())
        return NSCTL_ERROR;
    signal(SIGPIPE, SIG_IGN);
    int status = start(&ctl, argc, argv);
    nsctl_options_done(&ctl.settings);
    return status;
}
