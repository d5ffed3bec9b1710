#include "agent/boot/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char options_usage[] =
    "Usage: nullspace-agent --listen ADDRESS [OPTION]...\n"
    "Runs processes for a host: as PID 1 of a microVM, or under another init.\n"
    "\n"
    "  --listen ADDRESS       vsock:PORT, unix:PATH or tcp:ADDRESS:PORT; may be repeated\n"
    "                         (default of a guest: vsock:1024)\n"
    "  --config FILE          configuration (default /etc/nullspace/agent.json)\n"
    "  --token-file FILE      secret that tcp clients must show; made with mode 0600 if missing\n"
    "  --insecure-bind        let tcp listen on other addresses than loopback\n"
    "  --any-cid              let vsock peers other than the host (CID 2) in\n"
    "  --workspace DIR        where processes start (default /workspace; your home if missing)\n"
    "  --ring-budget BYTES    memory for the output of all processes (default: an eighth)\n"
    "  --shutdown-grace MS    time between TERM and KILL at the end (default 5000)\n"
    "  --power-off HOW        of a guest: auto, poweroff, or reboot for a monitor that ends at "
    "one\n"
    "  --give-up TRIES:ACTION when the agent does not start: poweroff, reboot or halt\n"
    "  --role ROLE            auto, guest (PID 1 of a machine), container, systemd, openrc\n"
    "                         or process\n"
    "  --log-level LEVEL      debug, info, warn or error (default info)\n"
    "  --version, --help\n";

const struct options options_default = {
    .log_level = -1,
    .shutdown_grace_ms = UINT32_MAX,
};

static int number(const char *option, const char *text, uint64_t max, uint64_t *ret_number,
                  struct nsp_error *err)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value > max)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, option, "--%s needs a number up to %llu",
                           option, (unsigned long long)max);
    *ret_number = value;
    return 0;
}

static int take_listen(struct options *options, const char *address, struct nsp_error *err)
{
    if (options->listen_count == OPTIONS_LISTEN_MAX)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "listen", "at most %d addresses to listen on",
                           OPTIONS_LISTEN_MAX);
    for (unsigned i = 0; i < options->listen_count; i++)
        if (strcmp(options->listen[i], address) == 0)
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "listen", "%s is given twice", address);
    options->listen[options->listen_count++] = address;
    return 0;
}

static int take_config(struct options *options, const char *value, struct nsp_error *err)
{
    (void)err;
    options->config = value;
    return 0;
}

static int take_token_file(struct options *options, const char *value, struct nsp_error *err)
{
    (void)err;
    options->token_file = value;
    return 0;
}

static int take_insecure_bind(struct options *options, const char *value, struct nsp_error *err)
{
    (void)value;
    (void)err;
    options->insecure_bind = true;
    return 0;
}

static int take_any_cid(struct options *options, const char *value, struct nsp_error *err)
{
    (void)value;
    (void)err;
    options->any_cid = true;
    return 0;
}

static int take_workspace(struct options *options, const char *value, struct nsp_error *err)
{
    options->workspace = value;
    if (value[0] == '/')
        return 0;
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "workspace",
                       "--workspace needs an absolute path");
}

static int take_ring_budget(struct options *options, const char *value, struct nsp_error *err)
{
    return number("ring-budget", value, UINT64_C(1) << 40, &options->ring_budget, err);
}

static int take_shutdown_grace(struct options *options, const char *value, struct nsp_error *err)
{
    uint64_t grace = 0;
    if (number("shutdown-grace", value, 3600000, &grace, err) < 0)
        return -1;
    options->shutdown_grace_ms = (uint32_t)grace;
    return 0;
}

static int take_power_off(struct options *options, const char *value, struct nsp_error *err)
{
    if (power_variant_by_name(value, &options->variant) == 0)
        return 0;
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "power-off",
                       "--power-off is auto, poweroff or reboot");
}

static int take_give_up(struct options *options, const char *value, struct nsp_error *err)
{
    char *end;
    unsigned long tries = strtoul(value, &end, 10);
    if (value[0] >= '1' && value[0] <= '9' && *end == ':' && tries <= 1000000 &&
        power_action_by_name(end + 1, &options->give_up_action) == 0) {
        options->give_up_after = (unsigned)tries;
        return 0;
    }
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "give-up",
                       "--give-up is a number of tries, a colon, and poweroff, reboot or halt");
}

static int take_role(struct options *options, const char *value, struct nsp_error *err)
{
    if (role_by_name(value, &options->role) == 0)
        return 0;
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "role",
                       "--role is auto, guest, container, systemd, openrc or process");
}

static int take_log_level(struct options *options, const char *value, struct nsp_error *err)
{
    enum log_level level;
    if (log_level_by_name(value, &level) == 0) {
        options->log_level = (int)level;
        return 0;
    }
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "log-level",
                       "--log-level is debug, info, warn or error");
}

static int take_version(struct options *options, const char *value, struct nsp_error *err)
{
    (void)value;
    (void)err;
    options->version = true;
    return 0;
}

static int take_help(struct options *options, const char *value, struct nsp_error *err)
{
    (void)value;
    (void)err;
    options->help = true;
    return 0;
}

/* One row an option. */
static const struct row {
    const char *name;
    int argument; /* required_argument or no_argument */
    int (*take)(struct options *options, const char *value, struct nsp_error *err);
} rows[] = {
    {"listen", required_argument, take_listen},
    {"config", required_argument, take_config},
    {"token-file", required_argument, take_token_file},
    {"insecure-bind", no_argument, take_insecure_bind},
    {"any-cid", no_argument, take_any_cid},
    {"workspace", required_argument, take_workspace},
    {"ring-budget", required_argument, take_ring_budget},
    {"shutdown-grace", required_argument, take_shutdown_grace},
    {"power-off", required_argument, take_power_off},
    {"give-up", required_argument, take_give_up},
    {"role", required_argument, take_role},
    {"log-level", required_argument, take_log_level},
    {"version", no_argument, take_version},
    {"help", no_argument, take_help},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

const char *options_name(unsigned number, bool *ret_has_value)
{
    if (number >= ROWS)
        return NULL;
    *ret_has_value = rows[number].argument == required_argument;
    return rows[number].name;
}

int options_parse(int argc, char **argv, bool is_pid1, struct options *ret_options,
                  struct nsp_error *err)
{
    struct options options = options_default;
    struct option known[ROWS + 1] = {0};
    for (int i = 0; i < ROWS; i++)
        known[i] = (struct option){rows[i].name, rows[i].argument, NULL, i + 1};
    optind = 0; /* glibc: starts anew, also when called twice */
    opterr = 0;
    int id;
    while ((id = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (id == '?')
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, argv[optind - 1],
                               "unknown option, or one without its value: %s", argv[optind - 1]);
        if (rows[id - 1].take(&options, optarg, err) < 0)
            return -1;
    }
    /* The kernel hands words it does not know to init; as PID 1 they are not ours to refuse. */
    if (optind < argc && !is_pid1)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, argv[optind], "unexpected argument: %s",
                           argv[optind]);
    if (options.listen_count == 0 && !is_pid1 && !options.config && !options.help &&
        !options.version)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "listen", "--listen is needed");
    *ret_options = options;
    return 0;
}
