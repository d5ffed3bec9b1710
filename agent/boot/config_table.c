#include "agent/boot/config_table.h"

#include "agent/base/log.h"
#include "agent/machine/power.h"
#include "protocol/limits.h"

enum {
    LISTEN_MAX = 16, /* as options.h has it */
    HOST_NAME_LENGTH = 64,
    LINES_MAX = 1024,
    MODULES_MAX = 256,
    MOUNTS_MAX = 256,
    OPTIONS_TEXT_MAX = 4095, /* mount(2): one page */
    GRACE_MAX_MS = 3600000,
    RESTART_DELAY_MAX_MS = 30000,
    NOT_GIVEN = -1,
};
#define RING_BUDGET_MAX (INT64_C(1) << 40)

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
_Static_assert(LOG_DEBUG == 0 && LOG_INFO == 1 && LOG_WARN == 2 && LOG_ERROR == 3, "in order");

static const char *const shutdown_variants[] = {"auto", "poweroff", "reboot", NULL};
_Static_assert(POWER_VARIANT_AUTO == 0 && POWER_VARIANT_OFF == 1 && POWER_VARIANT_REBOOT == 2 &&
                   POWER_VARIANT_COUNT == 3,
               "in order");

static const char *const restarts[] = {
    [CONFIG_RESTART_NEVER] = "never",
    [CONFIG_RESTART_ON_FAILURE] = "on-failure",
    [CONFIG_RESTART_ALWAYS] = "always",
    NULL,
};
static const char *const exits[] = {
    [CONFIG_EXIT_NOTHING] = "nothing",
    [CONFIG_EXIT_POWEROFF] = "poweroff",
    [CONFIG_EXIT_REBOOT] = "reboot",
    NULL,
};

#define MEMBER(struct_, name_, type_)                                                              \
    .name = #name_, .type = PARAM_##type_, .offset = offsetof(struct struct_, name_)

static const struct param_field mount_fields[] = {
    {MEMBER(config_mount, source, PATH), .min = 1, .doc = "device, tag or directory"},
    {MEMBER(config_mount, target, PATH), .flags = PARAM_REQUIRED, .min = 1,
     .doc = "directory, absolute; made where it is missing"},
    {MEMBER(config_mount, type, STRING), .min = 1, .max = 64,
     .doc = "file system; not needed for a bind mount"},
    {MEMBER(config_mount, options, STRING), .max = OPTIONS_TEXT_MAX,
     .doc = "as for mount(8), separated by commas"},
    {MEMBER(config_mount, required, BOOL), .doc = "reports its failure as one of the boot"},
};
static const struct param_table mount_table = PARAM_TABLE(struct config_mount, mount_fields);

static const struct param_field service_fields[] = {
    {MEMBER(config_service, name, STRING), .flags = PARAM_REQUIRED, .min = 1,
     .max = CONFIG_SERVICE_NAME_MAX, .doc = "the process has the id service.NAME"},
    {MEMBER(config_service, argv, ARGUMENTS), .min = 1, .doc = "program and arguments"},
    {MEMBER(config_service, command, STRING), .min = 1, .max = NSP_LIMIT_ARGUMENT_BYTES,
     .doc = "instead of argv: for /bin/sh -c"},
    {MEMBER(config_service, environment, VARIABLES), .doc = "added to the default environment"},
    {MEMBER(config_service, cwd, PATH), .min = 1,
     .doc = "working directory, absolute; default: the workspace"},
    {MEMBER(config_service, restart, ENUM), .choices = restarts,
     .doc = "when it is started again after it has ended"},
    {MEMBER(config_service, restart_delay_ms, INT), .max = RESTART_DELAY_MAX_MS, .fallback = 1000,
     .doc = "before a restart; doubled up to 30 s while it keeps failing early"},
    {MEMBER(config_service, restart_max, INT), .max = INT32_MAX,
     .doc = "restarts in a row without a steady life; 0: no limit"},
    {MEMBER(config_service, on_exit, ENUM), .choices = exits,
     .doc = "what happens to the guest when it has ended for good"},
    {MEMBER(config_service, wait, BOOL),
     .doc = "the next service is started when this one has ended for good"},
};
static const struct param_table service_table = PARAM_TABLE(struct config_service, service_fields);

static const struct param_field config_fields[] = {
    {MEMBER(config, listen, ARGUMENTS), .max = LISTEN_MAX,
     .doc = "addresses to listen on: vsock:PORT, unix:PATH, tcp:ADDRESS:PORT"},
    {MEMBER(config, token_file, PATH), .min = 1,
     .doc = "secret that tcp clients must show; made if missing"},
    {MEMBER(config, insecure_bind, BOOL), .doc = "tcp may listen on others than loopback"},
    {MEMBER(config, any_cid, BOOL), .doc = "vsock peers other than the host are let in"},
    {MEMBER(config, workspace, PATH), .min = 1, .doc = "where processes start, absolute"},
    {MEMBER(config, ring_budget, INT), .max = RING_BUDGET_MAX,
     .doc = "bytes for the output of all processes; 0: an eighth of the memory"},
    {MEMBER(config, log_level, ENUM), .choices = log_levels, .fallback = NOT_GIVEN,
     .doc = "lines below it are not logged"},
    {MEMBER(config, hostname, STRING), .min = 1, .max = HOST_NAME_LENGTH,
     .doc = "name of the guest"},
    {MEMBER(config, domain, STRING), .min = 1, .max = HOST_NAME_LENGTH, .doc = "its domain"},
    {MEMBER(config, hosts, ARGUMENTS), .max = LINES_MAX,
     .doc = "lines \"ADDRESS NAME...\" added to /etc/hosts"},
    {MEMBER(config, sysctl, VARIABLES), .max = LINES_MAX,
     .doc = "settings below /proc/sys, such as \"net.ipv4.ip_forward\": \"1\""},
    {MEMBER(config, modules, ARGUMENTS), .max = MODULES_MAX, .doc = "kernel modules to load"},
    {MEMBER(config, environment, VARIABLES), .doc = "default environment of all processes"},
    {MEMBER(config, network, OBJECT), .table = &network_table,
     .doc = "interfaces and name servers; default: lo only"},
    {MEMBER(config, mounts, OBJECTS), .max = MOUNTS_MAX, .table = &mount_table,
     .doc = "file systems beside the built-in ones"},
    {MEMBER(config, mount_tmp, BOOL), .doc = "a tmpfs on /tmp unless something is there"},
    {MEMBER(config, grow_root, BOOL), .fallback = 1,
     .doc = "grows the root file system to its device's size"},
    {MEMBER(config, announce_port, INT), .max = UINT32_MAX - 1,
     .doc = "vsock port of the host that is told when the guest is ready; 0: none"},
    {MEMBER(config, shutdown_grace_ms, INT), .max = GRACE_MAX_MS, .fallback = NOT_GIVEN,
     .doc = "time between TERM and KILL at the end"},
    {MEMBER(config, shutdown_variant, ENUM), .choices = shutdown_variants, .fallback = NOT_GIVEN,
     .doc = "how the guest is powered off"},
    {MEMBER(config, shutdown_when_idle, BOOL),
     .doc = "powers off after the last service has ended for good"},
    {MEMBER(config, clock_from_host, BOOL), .fallback = 1,
     .doc = "sets the clock from hello when it is off by more than 100 ms"},
    {MEMBER(config, services, OBJECTS), .max = CONFIG_SERVICES_MAX, .table = &service_table,
     .doc = "programs started at boot, in this order"},
};
const struct param_table config_table = PARAM_TABLE(struct config, config_fields);
