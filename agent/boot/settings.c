#include "agent/boot/settings.h"

static const char default_workspace[] = "/workspace";

static int load_document(const struct options *options, struct settings *settings,
                         struct nsp_error *err)
{
    const char *path = options->config ? options->config : CONFIG_PATH;
    struct nsp_error why = NSP_ERROR_INIT;
    settings->config_path = path;
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
        settings->listen_own[settings->listen_count++] = SETTINGS_GUEST_ADDRESS;
}

static void choose(const struct options *options, struct settings *settings)
{
    const struct config *config = settings->config;
    choose_addresses(options, settings);
    settings->token_file = options->token_file ? options->token_file : config->token_file;
    settings->workspace = options->workspace  ? options->workspace
                          : config->workspace ? config->workspace
                                              : default_workspace;
    settings->insecure_bind = options->insecure_bind || config->insecure_bind;
    settings->any_cid = options->any_cid || config->any_cid;
    int level = options->log_level >= 0 ? options->log_level : config->log_level;
    settings->log_level = level >= 0 ? (enum log_level)level : LOG_INFO;
    settings->ring_budget =
        options->ring_budget > 0 ? options->ring_budget : (uint64_t)config->ring_budget;
    settings->role = options->role;
    /* These are the supervisor's, which has the options already. */
    settings->grace_ms = UINT32_MAX;
    if (options->shutdown_grace_ms == UINT32_MAX && config->shutdown_grace_ms >= 0)
        settings->grace_ms = (uint32_t)config->shutdown_grace_ms;
    settings->variant = POWER_VARIANT_AUTO;
    if (options->variant == POWER_VARIANT_AUTO && config->shutdown_variant >= 0)
        settings->variant = (enum power_variant)config->shutdown_variant;
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
