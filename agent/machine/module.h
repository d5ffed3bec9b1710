/* Kernel modules by name, without modprobe(8): the files that depmod(8) has written say what a
 * module needs, finit_module(2) loads it. For PID 1 too; nothing here allocates.
 */
#ifndef AGENT_MODULE_H
#define AGENT_MODULE_H

#include <stdbool.h>

#include "protocol/error.h"

/* Whether this kernel can load modules at all. */
bool module_is_modular(void);

/* Loads the module and what it needs. name: of the module (- and _ are the same), or an alias that
 * modules.alias has a pattern for, such as the modalias of a device. There already, or built in: is
 * success. NOT_FOUND; UNSUPPORTED (modules are compressed in a way that this kernel cannot undo,
 * or it has no modules); SYSTEM with the module's file as object. */
int module_load(const char *name, struct nsp_error *err);

/* The same with other files and another way to load them, for tests. */
struct module_source {
    const char *directory; /* that of modules.dep */
    const char *loaded;    /* has an entry for each module that is there */
    /* As finit_module(2): 0, or -1 with errno. */
    int (*insert)(void *arg, int fd, bool is_compressed, const char *path);
    void *arg;
};
int module_load_from(const struct module_source *source, const char *name, struct nsp_error *err);

/* What the devices of a bus that are there now ask for, /sys/bus/BUS/devices/NAME/modalias; a
 * device that no module wants counts as served. Returns how many loads failed. */
unsigned module_load_bus(const char *bus);

/* Each of a list of names separated by commas. Those that fail are logged at debug level; returns
 * how many did. */
unsigned module_load_list(const char *names);

#endif
