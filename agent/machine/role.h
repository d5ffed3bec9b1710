/* As what this program was started: see init/boot.h for what follows from it. */
#ifndef AGENT_ROLE_H
#define AGENT_ROLE_H

enum role {
    ROLE_AUTO,
    ROLE_GUEST,     /* PID 1 of a machine: mounts, and ends the machine */
    ROLE_CONTAINER, /* PID 1 of another PID namespace (pid_namespaces(7)) */
    ROLE_SYSTEMD,   /* a service of systemd(1) */
    ROLE_OPENRC,    /* a service of openrc(8) */
    ROLE_PROCESS,   /* anything else */
    ROLE_COUNT
};

/* From the process number, the PID namespace and the environment; never AUTO. */
enum role role_find(void);

const char *role_name(enum role role);
int role_by_name(const char *name, enum role *ret_role);

#endif
