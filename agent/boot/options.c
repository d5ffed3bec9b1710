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
    "                         (as PID 1 the default is vsock:1024)\n"
    "  --token-file FILE      secret that tcp clients must show; made with mode 0600 if missing\n"
    "  --insecure-bind        let tcp listen on other addresses than loopback\n"
    "  --any-cid              let vsock peers other than the host (CID 2) in\n"
    "  --workspace DIR        where processes start (default /workspace; your home if missing)\n"
    "  --ring-budget BYTES    memory for the output of all processes (default: an eighth)\n"
    "  --shutdown-grace MS    time between TERM and KILL at the end (default 5000)\n"
    "  --log-level LEVEL      debug, info, warn or error (default info)\n"
    "  --version, --help\n";

enum option_id {
    LISTEN = 1,
    TOKEN_FILE,
    INSECURE_BIND,
    ANY_CID,
    WORKSPACE,
    RING_BUDGET,
    SHUTDOWN_GRACE,
    LEVEL,
    VERSION,
    HELP,
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, LISTEN},
    {"token-file", required_argument, NULL, TOKEN_FILE},
    {"insecure-bind", no_argument, NULL, INSECURE_BIND},
    {"any-cid", no_argument, NULL, ANY_CID},
    {"workspace", required_argument, NULL, WORKSPACE},
    {"ring-budget", required_argument, NULL, RING_BUDGET},
    {"shutdown-grace", required_argument, NULL, SHUTDOWN_GRACE},
    {"log-level", required_argument, NULL, LEVEL},
    {"version", no_argument, NULL, VERSION},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
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

static int add_listen(struct options *options, const char *address, struct nsp_error *err)
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

static int apply(struct options *options, int id, const char *value, struct nsp_error *err)
{
    uint64_t grace = 0;
    switch (id) {
    case LISTEN:
        return add_listen(options, value, err);
    case TOKEN_FILE:
        options->token_file = value;
        return 0;
    case INSECURE_BIND:
        options->insecure_bind = true;
        return 0;
    case ANY_CID:
        options->any_cid = true;
        return 0;
    case WORKSPACE:
        options->workspace = value;
        if (value[0] == '/')
            return 0;
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "workspace",
                           "--workspace needs an absolute path");
    case RING_BUDGET:
        return number("ring-budget", value, UINT64_C(1) << 40, &options->ring_budget, err);
    case SHUTDOWN_GRACE:
        if (number("shutdown-grace", value, 3600000, &grace, err) < 0)
            return -1;
        options->shutdown_grace_ms = (uint32_t)grace;
        return 0;
    case LEVEL:
        if (log_level_by_name(value, &options->log_level) == 0)
            return 0;
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "log-level",
                           "--log-level is debug, info, warn or error");
    case VERSION:
        options->version = true;
        return 0;
    case HELP:
        options->help = true;
        return 0;
    default:
        return nsp_fail(err, NSP_E_INVALID_PARAMS, "unknown option, or one without its value");
    }
}

int options_parse(int argc, char **argv, bool is_pid1, struct options *ret_options,
                  struct nsp_error *err)
{
    struct options options = {
        .workspace = "/workspace", .log_level = LOG_INFO, .shutdown_grace_ms = 5000};
    optind = 0; /* glibc: starts anew, also when called twice */
    opterr = 0;
    int id;
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == '?')
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, argv[optind - 1],
                               "unknown option, or one without its value: %s", argv[optind - 1]);
        if (apply(&options, id, optarg, err) < 0)
            return -1;
    }
    /* The kernel hands words it does not know to init; as PID 1 they are not ours to refuse. */
    if (optind < argc && !is_pid1)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, argv[optind], "unexpected argument: %s",
                           argv[optind]);
    if (options.listen_count == 0 && is_pid1)
        options.listen[options.listen_count++] = "vsock:1024";
    if (options.listen_count == 0 && !options.help && !options.version)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "listen", "--listen is needed");
    *ret_options = options;
    return 0;
}
