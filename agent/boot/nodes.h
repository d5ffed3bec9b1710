/* Device nodes that the kernel makes only once their module is loaded: /dev/fuse, /dev/net/tun. */
#ifndef AGENT_BOOT_NODES_H
#define AGENT_BOOT_NODES_H

#include <stddef.h>

#include "protocol/error.h"

struct nodes_request {
    const char *dev;   /* "/dev" */
    const char *class; /* "/sys/class/misc" */
    /* Loads a module by name; failures show in the node's absence. */
    int (*load)(const char *name, struct nsp_error *err);
};

/* What is there stays as it is; what this kernel does not have is left out. detail: which ones are
 * there now and which not. SYSTEM when a node cannot be made. */
int nodes_apply(const struct nodes_request *request, char *detail, size_t capacity,
                struct nsp_error *err);

#endif
