/* The configuration file: what is accepted keeps what the header promises, what is refused says
 * where. */
#include <string.h>

#include "agent/boot/config.h"
#include "tests/fuzz/fuzz.h"

static void check_network(const struct network *network)
{
    const struct network_link *links = network->links.items;
    for (size_t i = 0; i < network->links.count; i++) {
        const struct network_route *routes = links[i].routes.items;
        FUZZ_CHECK(links[i].name || links[i].mac);
        for (size_t j = 0; j < links[i].addresses.count; j++)
            FUZZ_CHECK(strchr(links[i].addresses.items[j], '/'));
        for (size_t j = 0; j < links[i].routes.count; j++)
            FUZZ_CHECK(routes[j].to && routes[j].metric >= 0);
    }
}

static void check_config(const struct config *config)
{
    const struct config_mount *mounts = config->mounts.items;
    const struct config_service *services = config->services.items;
    FUZZ_CHECK(config->log_level >= -1 && config->log_level <= 3);
    for (size_t i = 0; i < config->sysctl.count; i++)
        FUZZ_CHECK(strchr(config->sysctl.items[i], '=') > config->sysctl.items[i]);
    for (size_t i = 0; i < config->mounts.count; i++)
        FUZZ_CHECK(mounts[i].target[0] == '/' && (mounts[i].type || mounts[i].source));
    for (size_t i = 0; i < config->services.count; i++) {
        FUZZ_CHECK(services[i].name[0] != '\0');
        FUZZ_CHECK(!services[i].command == (services[i].argv.count > 0));
        FUZZ_CHECK(services[i].restart >= 0 && services[i].restart <= 2);
    }
    if (config->network)
        check_network(config->network);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nsp_error err = NSP_ERROR_INIT;
    struct config_document *document = NULL;

    if (config_parse((const char *)data, size, &document, &err) == 0) {
        check_config(config_get(document));
        config_free(document);
        return 0;
    }
    FUZZ_CHECK(!document);
    if (err.code == NSP_E_PARSE || err.code == NSP_E_INVALID_PARAMS)
        FUZZ_CHECK(strncmp(err.msg, "line ", 5) == 0 && err.msg[5] >= '1' && err.msg[5] <= '9');
    else
        FUZZ_CHECK(err.code == NSP_E_EXHAUSTED);
    return 0;
}
