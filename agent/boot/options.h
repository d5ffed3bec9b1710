/* The command line of nullspace-agent: the supervisor and the agent read the same. */
#ifndef AGENT_OPTIONS_H
#define AGENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/log.h"
#include "agent/machine/power.h"
#include "agent/machine/role.h"
#include "protocol/error.h"

enum { OPTIONS_LISTEN_MAX = 16 };

struct options {
    const char *listen[OPTIONS_LISTEN_MAX + 1]; /* NULL-terminated; as given, in order */
    unsigned listen_count;
    const char *config;     /* configuration file; NULL: the default one, if it exists */
    const char *token_file; /* NULL: none */
    bool insecure_bind, any_cid;
    const char *workspace;      /* NULL: not given */
    int log_level;              /* enum log_level; -1: not given */
    uint64_t ring_budget;       /* bytes; 0: the default */
    uint32_t shutdown_grace_ms; /* between TERM and KILL at the end; UINT32_MAX: not given */
    enum power_variant variant; /* AUTO: not given */
    unsigned give_up_after;     /* starts of an agent that never gets ready; 0: never */
    enum power_action give_up_action;
    enum role role;
    bool help, version; /* nothing else counts then */
};

/* Strings are borrowed from argv. INVALID_PARAMS says which option and why. is_pid1: words
 * that are no options are left alone, and --listen may be missing, as it may with --config. */
int options_parse(int argc, char **argv, bool is_pid1, struct options *ret_options,
                  struct nsp_error *err);

/* The options that there are, without "--", from number 0 on; NULL beyond the last. */
const char *options_name(unsigned number, bool *ret_has_value);

extern const struct options options_default;
extern const char options_usage[];

#endif
