#include "agent/network/resolvconf.h"

#include <string.h>

#include "agent/machine/systemfile.h"

/* Where it is kept when the root is read-only. */
#define FALLBACK_PATH "/run/nullspace/resolv.conf"

bool resolvconf_is_wanted(const struct network *network)
{
    return network->dns_servers.items || network->dns_search.items || network->dns_options.items;
}

static int append(struct nsp_buf *target, const char *text, struct nsp_error *err)
{
    return nsp_buf_append(target, text, strlen(text), err);
}

/* "search a b\n"; nothing for an empty list. */
static int append_list(struct nsp_buf *target, const char *word, const struct param_strings *list,
                       struct nsp_error *err)
{
    if (list->count == 0)
        return 0;
    if (append(target, word, err) < 0)
        return -1;
    for (size_t i = 0; i < list->count; i++)
        if (append(target, " ", err) < 0 || append(target, list->items[i], err) < 0)
            return -1;
    return append(target, "\n", err);
}

int resolvconf_format(const struct network *network, struct nsp_buf *target, struct nsp_error *err)
{
    for (size_t i = 0; i < network->dns_servers.count; i++)
        if (append(target, "nameserver ", err) < 0 ||
            append(target, network->dns_servers.items[i], err) < 0 || append(target, "\n", err) < 0)
            return -1;
    if (append_list(target, "search", &network->dns_search, err) < 0)
        return -1;
    return append_list(target, "options", &network->dns_options, err);
}

int resolvconf_write(const struct network *network, struct nsp_error *err)
{
    struct nsp_buf text;
    nsp_buf_init(&text, RESOLVCONF_MAX);
    int status = resolvconf_format(network, &text, err);
    if (status == 0)
        status =
            systemfile_write(RESOLVCONF_PATH, FALLBACK_PATH, text.data, nsp_buf_length(&text), err);
    nsp_buf_done(&text);
    return status;
}
