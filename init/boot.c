#include "init/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/machine/cgroup.h"
#include "agent/machine/devices.h"
#include "agent/machine/module.h"
#include "agent/machine/mount.h"
#include "agent/machine/root.h"
#include "agent/os/descriptors.h"
#define COMMON (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define PTS_OPTIONS "gid=5,mode=0620,ptmxmode=0666"

enum { ROOT_WAIT_MS = 5000, DETAIL_BYTES = BOOTREPORT_DETAIL };

/* What a step has to say: where it writes a line for people, and why it failed. */
struct outcome {
    char detail[DETAIL_BYTES];
    struct nsp_error err;
};

static enum bootreport_state verdict(int result)
{
    return result < 0 ? BOOTREPORT_FAILED : BOOTREPORT_DONE;
}

static enum bootreport_state step_mount(const struct mount_entry *entry, struct outcome *outcome)
{
    bool was_there;
    if (mount_entry_apply(entry, &was_there, &outcome->err) < 0)
        return BOOTREPORT_FAILED;
    return was_there ? BOOTREPORT_SKIPPED : BOOTREPORT_DONE;
}

static enum bootreport_state step_dev(struct boot *boot, struct outcome *outcome)
{
    (void)boot;
    return verdict(devices_mount(&outcome->err));
}

static enum bootreport_state step_console(struct boot *boot, struct outcome *outcome)
{
    (void)boot;
    return verdict(devices_open_console(&outcome->err));
}

static enum bootreport_state step_cmdline(struct boot *boot, struct outcome *outcome)
{
    return verdict(cmdline_read("/proc/cmdline", &boot->cmdline, &outcome->err));
}

/* Whatever virtual devices the machine has, and the wanted modules. */
static enum bootreport_state step_drivers(struct boot *boot, struct outcome *outcome)
{
    const char *wanted = cmdline_value(&boot->cmdline, "ns.modules");
    if (!module_is_modular())
        return BOOTREPORT_SKIPPED;
    module_load_list("virtio_pci,virtio_mmio"); /* nobody has both */
    unsigned failed = module_load_bus("virtio") + (wanted ? module_load_list(wanted) : 0);
    if (failed == 0)
        return BOOTREPORT_DONE;
    snprintf(outcome->detail, DETAIL_BYTES, "%s", wanted ? wanted : "");
    nsp_fail_on(&outcome->err, NSP_E_SYSTEM, "ns.modules", "%u modules not loaded", failed);
    return BOOTREPORT_FAILED;
}

static void load_file_system(void *arg, const char *type)
{
    struct nsp_error err = NSP_ERROR_INIT;
    (void)arg;
    if (module_load(type, &err) < 0)
        log_error(LOG_DEBUG, "kernel module not loaded", &err);
}

static enum bootreport_state step_root(struct boot *boot, struct outcome *outcome)
{
    const char *wait = cmdline_value(&boot->cmdline, "ns.rootwait");
    const struct root_options options = {
        .device = cmdline_value(&boot->cmdline, "ns.root"),
        .type = cmdline_value(&boot->cmdline, "ns.rootfstype"),
        .options = cmdline_value(&boot->cmdline, "ns.rootflags"),
        .overlay = cmdline_value(&boot->cmdline, "ns.overlay"),
        .read_only = cmdline_value(&boot->cmdline, "ro") != NULL,
        .wait_ms = wait ? (uint32_t)strtoul(wait, NULL, 10) : ROOT_WAIT_MS,
        .prepare = load_file_system,
    };
    if (!options.device)
        return BOOTREPORT_SKIPPED;
    if (!root_is_initramfs()) {
        nsp_fail_on(&outcome->err, NSP_E_STATE, "ns.root", "ns.root needs an initramfs");
        return BOOTREPORT_FAILED;
    }
    snprintf(outcome->detail, DETAIL_BYTES, "%s%s%s", options.device,
             options.overlay ? " below " : "", options.overlay ? options.overlay : "");
    return verdict(root_switch(&options, &outcome->err));
}

static enum bootreport_state step_links(struct boot *boot, struct outcome *outcome)
{
    (void)boot;
    if (mkdir("/run/lock", 0755) == 0)
        chmod("/run/lock", 01777); /* whatever the umask is */
    return verdict(devices_make_links(&outcome->err));
}

static enum bootreport_state step_cgroup(struct boot *boot, struct outcome *outcome)
{
    (void)boot;
    return verdict(cgroup_set_up(outcome->detail, DETAIL_BYTES, &outcome->err));
}

/* A step is a mount or a function. */
static const struct step {
    const char *name;
    enum bootreport_state (*run)(struct boot *boot, struct outcome *outcome);
    struct mount_entry mount;
} steps[] = {
    {"proc", NULL, {"proc", "/proc", "proc", COMMON, NULL, false}},
    {"sys", NULL, {"sysfs", "/sys", "sysfs", COMMON, NULL, false}},
    {"dev", step_dev, {0}},
    {"console", step_console, {0}},
    {"cmdline", step_cmdline, {0}},
    {"drivers", step_drivers, {0}},
    {"run", NULL, {"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=20%", false}},
    {"root", step_root, {0}},
    {"pts", NULL, {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, PTS_OPTIONS, false}},
    {"links", step_links, {0}},
    {"cgroup", step_cgroup, {0}},
};

static const char *const keys[] = {"ns.root",     "ns.rootfstype", "ns.rootflags",
                                   "ns.rootwait", "ns.overlay",    "ns.modules"};

bool boot_knows_key(const char *key)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static void run_step(struct boot *boot, const struct step *step)
{
    struct outcome outcome = {.err = NSP_ERROR_INIT};
    struct bootreport_step *noted = bootreport_begin(boot->report, step->name, false);
    enum bootreport_state state =
        step->run ? step->run(boot, &outcome) : step_mount(&step->mount, &outcome);
    bootreport_end(noted, state, outcome.detail[0] ? outcome.detail : NULL, &outcome.err);
    if (state == BOOTREPORT_FAILED)
        log_error(LOG_ERROR, step->name, &outcome.err);
}

void boot_run(enum role wanted, struct boot *ret_boot)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ret_boot->cmdline.count = 0;
    descriptors_open_standard();
    ret_boot->role = wanted == ROLE_AUTO ? role_find() : wanted;
    if (bootreport_create(&ret_boot->report, &ret_boot->report_fd, &err) < 0) {
        log_error(LOG_ERROR, "no boot report", &err);
        ret_boot->report = NULL;
        ret_boot->report_fd = -1;
    }
    if (ret_boot->role != ROLE_GUEST)
        return;
    umask(022);
    if (chdir("/") < 0)
        log_warn("no root directory", NULL);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        run_step(ret_boot, &steps[i]);
}
