#include "agent/boot/settings.h"

#include <string.h>

static const char default_address[] = "vsock:1024";

static int load_document(const struct options *options, struct settings *settings,
                         struct nsp_error *err)
{
    const char *path = options->config ? options->config : CONFIG_PATH;
    struct nsp_error why = NSP_ERROR_INIT;
    if (config_read(path, &settings->document, &why) == 0)
        return 0;
    bool is_absent = why.code == NSP_E_NOT_FOUND && !options->config;
    if (!is_absent && options->role != ROLE_GUEST) {
        if (err)
            *err = why;
        return -1;
    }
    if (!is_absent)
        settings->config_error = why;
    return config_default(&settings->document, err);
}

static void choose_addresses(const struct options *options, struct settings *settings)
{
    const struct param_strings *configured = &settings->config->listen;
    settings->listen = settings->listen_own;
    if (options->listen_count > 0) {
        settings->listen = options->listen;
        settings->listen_count = options->listen_count;
        return;
    }
    for (size_t i = 0; i < configured->count && i < OPTIONS_LISTEN_MAX; i++)
        settings->listen_own[settings->listen_count++] = configured->items[i];
    if (settings->listen_count == 0 && options->role == ROLE_GUEST)
        settings->listen_own[settings->listen_count++] = default_address;
}

static void choose(const struct options *options, struct settings *settings)
{
    const struct config *config = settings->config;
    const struct options *defaults = &options_default;
    choose_addresses(options, settings);
    settings->token_file = options->token_file ? options->token_file : config->token_file;
    settings->workspace = options->workspace;
    if (strcmp(options->workspace, defaults->workspace) == 0 && config->workspace)
        settings->workspace = config->workspace;
    settings->insecure_bind = options->insecure_bind || config->insecure_bind;
    settings->any_cid = options->any_cid || config->any_cid;
    settings->log_level = options->log_level;
    if (options->log_level == defaults->log_level && config->log_level >= 0)
        settings->log_level = (enum log_level)config->log_level;
    settings->ring_budget =
        options->ring_budget > 0 ? options->ring_budget : (uint64_t)config->ring_budget;
    settings->role = options->role;
    settings->grace_ms = UINT32_MAX;
    if (options->shutdown_grace_ms == defaults->shutdown_grace_ms && config->shutdown_grace_ms >= 0)
        settings->grace_ms = (uint32_t)config->shutdown_grace_ms;
}

int settings_load(const struct options *options, struct settings *ret_settings,
                  struct nsp_error *err)
{
    *ret_settings = (struct settings){.config_error = NSP_ERROR_INIT};
    if (load_document(options, ret_settings, err) < 0)
        return -1;
    ret_settings->config = config_get(ret_settings->document);
    choose(options, ret_settings);
    if (ret_settings->listen_count > 0)
        return 0;
    settings_done(ret_settings);
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "listen",
                       "--listen is needed, or listen in the configuration");
}

void settings_done(struct settings *settings)
{
    config_free(settings->document);
    settings->document = NULL;
}
