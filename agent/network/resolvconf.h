/* /etc/resolv.conf, see resolv.conf(5), from a network's DNS members. */
#ifndef AGENT_RESOLVCONF_H
#define AGENT_RESOLVCONF_H

#include "agent/schema/network.h"
#include "protocol/buf.h"

#define RESOLVCONF_PATH "/etc/resolv.conf"

enum { RESOLVCONF_MAX = 64 * 1024 };

/* False when none of the three members is there: the file is left alone. */
bool resolvconf_is_wanted(const struct network *network);
/* Appends the text. EXHAUSTED. */
int resolvconf_format(const struct network *network, struct nsp_buf *target, struct nsp_error *err);
/* Errors as systemfile_write. */
int resolvconf_write(const struct network *network, struct nsp_error *err);

#endif
