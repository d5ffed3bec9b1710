/* The configuration file in the image, /etc/nullspace/agent.json: one table for reading it, for
 * `nullspace-agent check-config` and for the manual page. Members that name a command line option
 * mean the same; the command line wins.
 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include "agent/schema/network.h"

#define CONFIG_PATH "/etc/nullspace/agent.json"

/* The process of a service has the id "service.NAME", and each of its lives the key
 * "service.NAME.NUMBER": 43 characters leave room for any number. */
enum { CONFIG_SERVICES_MAX = 64, CONFIG_SERVICE_NAME_MAX = 43 };

enum config_restart { CONFIG_RESTART_NEVER, CONFIG_RESTART_ON_FAILURE, CONFIG_RESTART_ALWAYS };
enum config_on_exit { CONFIG_EXIT_NOTHING, CONFIG_EXIT_POWEROFF, CONFIG_EXIT_REBOOT };

/* A program that is started at boot, after those before it in the list. */
struct config_service {
    const char *name;                 /* the process's id is "service.NAME"; unique */
    struct param_strings argv;        /* items NULL when there is a command */
    const char *command;              /* instead of argv: for /bin/sh -c */
    struct param_strings environment; /* added to the default */
    const char *cwd;                  /* absolute; NULL: the workspace */
    int restart;                      /* enum config_restart, default NEVER */
    int64_t restart_delay_ms; /* doubled up to 30 s while it keeps failing early; default 1000 */
    int64_t restart_max;      /* restarts in a row without a steady life; 0: no limit */
    int on_exit;              /* enum config_on_exit: when it has ended for good */
    bool wait;                /* the next one is started when this one has ended for good */
};

struct config_mount {
    const char *source; /* NULL: the type needs none */
    const char *target; /* absolute, without ".." */
    const char *type;   /* NULL only for a bind mount */
    const char
        *options;  /* as in mount(8): known flags, the rest for the file system; may be NULL */
    bool required; /* its failure is FAILED, otherwise SKIPPED */
};

struct config {
    /* As on the command line. Not given: items NULL, NULL, false, 0, and -1 as said. */
    struct param_strings listen;
    const char *token_file, *workspace;
    int log_level; /* enum log_level; -1: not given */
    bool insecure_bind, any_cid;
    int64_t ring_budget;

    const char *hostname, *domain;    /* NULL: as they are */
    struct param_strings hosts;       /* lines "ADDRESS NAME..." added to /etc/hosts */
    struct param_strings sysctl;      /* "net.ipv4.ip_forward=1" */
    struct param_strings modules;     /* kernel modules by name */
    struct param_strings environment; /* default of all processes, "NAME=value" */
    const struct network *network;    /* NULL: lo only */
    struct param_objects mounts;      /* struct config_mount, beside the built-in ones */
    bool mount_tmp;                   /* tmpfs on /tmp unless something is there; default false */
    bool grow_root;                   /* default true */
    int64_t announce_port;            /* on the host (CID 2); 0: none */
    int64_t shutdown_grace_ms;        /* -1: not given */
    int shutdown_variant;             /* enum power_variant; -1: not given */
    bool shutdown_when_idle;          /* after the last service has ended for good */
    bool clock_from_host;          /* set from hello when off by more than 100 ms; default true */
    struct param_objects services; /* struct config_service */
};

struct config_document; /* keeps what a struct config points to */

/* Reads and checks; a regular file of at most NSP_LIMIT_JSON_MESSAGE bytes.
 *
 * NOT_FOUND when there is no such file, PERMISSION, SYSTEM. PARSE for what is no JSON text: the
 * message begins with "line N, column M: ". INVALID_PARAMS: the object is the member
 * ("services[1].restart") and the message begins with "line N: ". EXHAUSTED: too large, or no
 * memory. */
int config_read(const char *path, struct config_document **ret_document, struct nsp_error *err);
/* The same from memory; text need not outlive the call. */
int config_parse(const char *text, size_t length, struct config_document **ret_document,
                 struct nsp_error *err);
/* What holds when there is no file. */
int config_default(struct config_document **ret_document, struct nsp_error *err);
const struct config *config_get(const struct config_document *document);
void config_free(struct config_document *document);

#endif
