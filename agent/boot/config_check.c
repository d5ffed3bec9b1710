#include "agent/boot/config_check.h"

#include <string.h>

#include "agent/schema/netaddress.h"
#include "agent/schema/place.h"

enum { MODULE_NAME_MAX = 55, HOSTS_LINE_MAX = 1023 };

static bool consists_of(const char *text, size_t length, const char *characters)
{
    return length > 0 && strspn(text, characters) >= length;
}

#define LETTERS_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* Absolute, and nothing on the way leads back up. */
static bool is_straight_path(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *at = path; *at; at += strcspn(at, "/")) {
        at += strspn(at, "/");
        if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || at[2] == '\0'))
            return false;
    }
    return true;
}

/* The guest */

/* "ADDRESS NAME..." */
static bool is_hosts_line(const char *line)
{
    static const char blanks[] = " \t";
    char copy[HOSTS_LINE_MAX + 1], *rest = NULL;
    size_t length = strlen(line);
    unsigned words = 0;
    if (length >= sizeof copy)
        return false;
    memcpy(copy, line, length + 1);
    for (char *word = strtok_r(copy, blanks, &rest); word; word = strtok_r(NULL, blanks, &rest))
        if (!(words++ == 0 ? netaddress_parse(word, NULL) : netaddress_is_name(word)))
            return false;
    return words >= 2;
}

/* No part between dots or slashes is empty: so it stays below /proc/sys however it is read. */
static bool is_sysctl_name(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool separates = name[i] == '.' || name[i] == '/';
        if (name[i] <= ' ' || name[i] > '~')
            return false;
        if (separates && (i == 0 || i + 1 == length || strchr("./", name[i + 1])))
            return false;
    }
    return length > 0;
}

static bool is_module_name(const char *name)
{
    size_t length = strlen(name);
    return length <= MODULE_NAME_MAX && consists_of(name, length, LETTERS_DIGITS "_-");
}

static int check_lists(struct place *place, const struct config *config)
{
    for (size_t i = 0; i < config->hosts.count; i++) {
        place_set(place, "hosts[%zu]", i);
        if (!is_hosts_line(config->hosts.items[i]))
            return place_refuse(place, config->hosts.items[i], "is no line \"ADDRESS NAME...\"");
    }
    for (size_t i = 0; i < config->sysctl.count; i++) {
        const char *setting = config->sysctl.items[i];
        int length = (int)strcspn(setting, "=");
        place_set(place, "sysctl.%.*s", length, setting);
        if (!is_sysctl_name(setting, (size_t)length))
            return place_refuse(place, NULL, "is no name below /proc/sys");
    }
    for (size_t i = 0; i < config->modules.count; i++) {
        place_set(place, "modules[%zu]", i);
        if (!is_module_name(config->modules.items[i]))
            return place_refuse(place, config->modules.items[i], "is no name of a module");
    }
    return 0;
}

static int check_names(struct place *place, const struct config *config)
{
    place_set(place, "workspace");
    if (config->workspace && config->workspace[0] != '/')
        return place_refuse(place, config->workspace, "is no absolute path");
    place_set(place, "hostname");
    if (config->hostname && !netaddress_is_name(config->hostname))
        return place_refuse(place, config->hostname, "is no name of a host");
    place_set(place, "domain");
    if (config->domain && !netaddress_is_name(config->domain))
        return place_refuse(place, config->domain, "is no domain name");
    return 0;
}

/* Mounts */

static bool has_option(const char *options, const char *wanted)
{
    size_t length = strlen(wanted);
    for (const char *at = options; at && *at; at += *at == ',') {
        size_t word = strcspn(at, ",");
        if (word == length && memcmp(at, wanted, length) == 0)
            return true;
        at += word;
    }
    return false;
}

static int check_mount(struct place *place, const struct config_mount *mount, size_t index)
{
    bool is_bind = has_option(mount->options, "bind") || has_option(mount->options, "rbind");
    place_set(place, "mounts[%zu].target", index);
    if (!is_straight_path(mount->target))
        return place_refuse(place, mount->target, "is no absolute path without ..");
    place_set(place, "mounts[%zu]", index);
    if (!mount->type && !is_bind)
        return place_refuse(place, NULL, "needs a type, or the option bind");
    if (!mount->source && is_bind)
        return place_refuse(place, NULL, "needs a source to bind");
    return 0;
}

/* Services */

static int check_service_name(struct place *place, const struct config_service *services,
                              size_t index)
{
    const char *name = services[index].name;
    place_set(place, "services[%zu].name", index);
    if (!consists_of(name, strlen(name), LETTERS_DIGITS "._-"))
        return place_refuse(place, name, "has other characters than A-Z a-z 0-9 . _ -");
    for (size_t i = 0; i < index; i++)
        if (strcmp(services[i].name, name) == 0)
            return place_refuse(place, name, "is that of another service as well");
    return 0;
}

static int check_service(struct place *place, const struct config_service *services, size_t index)
{
    const struct config_service *service = &services[index];
    if (check_service_name(place, services, index) < 0)
        return -1;
    place_set(place, "services[%zu]", index);
    if (!service->argv.items == !service->command)
        return place_refuse(place, NULL, "needs either argv or command");
    place_set(place, "services[%zu].argv[0]", index);
    if (service->argv.items && service->argv.items[0][0] == '\0')
        return place_refuse(place, NULL, "is empty");
    place_set(place, "services[%zu].cwd", index);
    if (service->cwd && service->cwd[0] != '/')
        return place_refuse(place, service->cwd, "is no absolute path");
    place_set(place, "services[%zu].wait", index);
    if (service->wait && service->restart == CONFIG_RESTART_ALWAYS && service->restart_max == 0)
        return place_refuse(place, NULL, "would be for ever: the service never ends for good");
    return 0;
}

int config_check(const struct config *config, struct nsp_error *err)
{
    struct place place = {.err = err};
    const struct config_mount *mounts = config->mounts.items;
    if (check_names(&place, config) < 0 || check_lists(&place, config) < 0)
        return -1;
    for (size_t i = 0; i < config->mounts.count; i++)
        if (check_mount(&place, &mounts[i], i) < 0)
            return -1;
    for (size_t i = 0; i < config->services.count; i++)
        if (check_service(&place, config->services.items, i) < 0)
            return -1;
    return 0;
}
