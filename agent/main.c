/* Which program are we? The same binary is the supervisor; executed again by it with the word
 * "agent" in front of the options, the agent; with grow-root, what the agent starts to grow the
 * root file system; and check-config is for people. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/boot/config_command.h"
#include "agent/boot/grow.h"
#include "agent/boot/kernel_options.h"
#include "agent/boot/mounts.h"
#include "agent/os/rlimit.h"
#include "agent/program.h"
#include "config.h"
#include "init/boot.h"
#include "init/supervisor.h"

enum { STATUS_USAGE = 2, ARGUMENTS_MAX = 128, DETAIL_BYTES = 512 };

/* A PID 1 must not refuse to start: what is wrong with its options is told in the boot report. */
static void collect_options(int argc, char **argv, const struct boot *boot, char **arguments,
                            int *ret_count)
{
    char detail[DETAIL_BYTES];
    struct nsp_error err = NSP_ERROR_INIT;
    struct bootreport_step *step = bootreport_begin(boot->report, "options", false);
    int result = kernel_options_collect(argc, argv, &boot->cmdline, boot_knows_key, arguments,
                                        ARGUMENTS_MAX, ret_count, detail, sizeof detail, &err);
    if (result < 0)
        log_warn("options left out", "detail=\"%s\"", detail);
    bootreport_end(step, result < 0 ? BOOTREPORT_FAILED : BOOTREPORT_DONE, detail, &err);
}

static bool has_reset_key(const struct cmdline *cmdline)
{
    const char *value = cmdline_value(cmdline, "reboot");
    return value && (value[0] == 'k' || value[0] == 't');
}

/* PID 1 has no default action for them: until the supervisor reads them they would be lost. */
static void hold_signals(void)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGPWR};
    sigset_t held;
    sigemptyset(&held);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        sigaddset(&held, ends[i]);
    sigprocmask(SIG_BLOCK, &held, NULL);
}

static int level_of(const struct options *options)
{
    return options->log_level >= 0 ? options->log_level : LOG_INFO;
}

/* The agent is started with the same options; it learns the role by one of its own, which comes
 * last and so counts. */
static int supervise(int argc, char **argv, const struct options *given)
{
    static struct boot boot; /* too large for a stack */
    static char program[] = "nullspace-agent", word[] = "agent", role[32];
    static char *agent_argv[ARGUMENTS_MAX + 4] = {program};
    char **arguments = agent_argv + 1;
    struct options options = *given;
    struct nsp_error err = NSP_ERROR_INIT;
    int count = argc;

    if (getpid() == 1)
        hold_signals();
    boot_run(given->role, &boot);
    if (boot.role == ROLE_GUEST)
        rlimit_lift_nofile();
    for (int i = 0; i < argc && i < ARGUMENTS_MAX; i++)
        arguments[i] = argv[i];
    if (boot.role == ROLE_GUEST) {
        collect_options(argc, argv, &boot, arguments, &count);
        if (options_parse(count, arguments, true, &options, &err) < 0)
            log_error(LOG_ERROR, "options", &err); /* such as one that is given twice */
        log_init("supervisor", (enum log_level)level_of(&options));
    }
    arguments[0] = word;
    snprintf(role, sizeof role, "--role=%s", role_name(boot.role));
    arguments[count++] = role;
    return supervisor_run(&(struct supervisor_options){
        .argv = agent_argv,
        .binary_fd = -1,
        .agent_ms = SUPERVISOR_AGENT_MS,
        .grace_ms = options.shutdown_grace_ms != UINT32_MAX ? options.shutdown_grace_ms
                                                            : SUPERVISOR_GRACE_MS,
        .restart_max_ms = SUPERVISOR_RESTART_MAX_MS,
        .boot_fd = boot.report_fd,
        .is_guest = boot.role == ROLE_GUEST,
        .has_reset_key = has_reset_key(&boot.cmdline),
        .variant = options.variant,
        .give_up_after = options.give_up_after,
        .give_up_action = options.give_up_action,
    });
}

/* A guest comes up whatever its options are, with the default ones if need be. */
static bool must_come_up(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--role=guest") == 0)
            return getpid() == 1;
    return getpid() == 1 && role_find() == ROLE_GUEST;
}

static int check(const struct options *options, bool is_agent, struct nsp_error *err)
{
    /* It would mount, and in the end unmount everything and stop the machine. */
    if (options->role == ROLE_GUEST && !is_agent && getpid() != 1)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "role", "only PID 1 can be a guest");
    /* A guest tells of each address with which it cannot do anything. */
    return options->role == ROLE_GUEST ? 0 : program_check(options, err);
}

static int run(int argc, char **argv, bool is_agent, bool is_guest)
{
    struct options options;
    struct nsp_error err = NSP_ERROR_INIT;
    if (argc > ARGUMENTS_MAX)
        nsp_fail(&err, NSP_E_INVALID_PARAMS, "more than %d arguments", ARGUMENTS_MAX);
    bool is_refused = argc > ARGUMENTS_MAX ||
                      options_parse(argc, argv, is_guest || is_agent, &options, &err) < 0 ||
                      check(&options, is_agent, &err) < 0;
    if (is_refused && !is_guest) {
        fprintf(stderr, "nullspace-agent: %s\nTry --help.\n", err.msg);
        return STATUS_USAGE;
    }
    if (is_refused) {
        options = options_default;
        options.role = ROLE_GUEST;
    }
    if (!is_guest && (options.help || options.version)) {
        fputs(options.help ? options_usage : "nullspace-agent " PACKAGE_VERSION "\n", stdout);
        return 0;
    }
    log_init(is_agent ? "agent" : "supervisor", (enum log_level)level_of(&options));
    return is_agent ? program_run(&options) : supervise(argc, argv, &options);
}

int main(int argc, char **argv)
{
    bool is_guest = must_come_up(argc, argv); /* its words are the kernel's */
    const char *word = argc > 1 && !is_guest ? argv[1] : "";
    if (strcmp(word, "check-config") == 0)
        return config_command_run(argc - 1, argv + 1);
    if (strcmp(word, "grow-root") == 0)
        return grow_main(argc > 2 ? argv[2] : "/");
    if (strcmp(word, "mount-volumes") == 0)
        return mounts_main(argc > 2 ? argv[2] : CONFIG_PATH);
    bool is_agent = strcmp(word, "agent") == 0;
    return run(argc - is_agent, argv + is_agent, is_agent, is_guest);
}
