/* What holds in the end: the command line, where it says nothing the configuration file, and where
 * that says nothing the default.
 */
#ifndef AGENT_SETTINGS_H
#define AGENT_SETTINGS_H

#include "agent/boot/config.h"
#include "agent/boot/options.h"

#define SETTINGS_GUEST_ADDRESS "vsock:1024"

struct settings {
    const char *const *listen; /* NULL-terminated */
    unsigned listen_count;
    const char *token_file; /* NULL: none */
    const char *workspace;
    bool insecure_bind, any_cid;
    enum log_level log_level;
    uint64_t ring_budget; /* 0: the default */
    enum role role;
    /* For the supervisor; UINT32_MAX, AUTO: as it has them. */
    uint32_t grace_ms; /* of a shutdown */
    enum power_variant variant;
    const char *config_path;     /* that was read, or is not there */
    const struct config *config; /* of the document */
    struct config_document *document;
    struct nsp_error config_error; /* GUEST: why the file was left out; code NONE: it was not */
    const char *listen_own[OPTIONS_LISTEN_MAX + 1];
};

/* options must outlive the settings. Errors of the configuration file as config_read has them; but
 * a GUEST comes up without it, and a default file need not exist. INVALID_PARAMS: nothing to listen
 * on. */
int settings_load(const struct options *options, struct settings *ret_settings,
                  struct nsp_error *err);
void settings_done(struct settings *settings);

#endif
