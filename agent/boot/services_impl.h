/* What services.c and services_control.c share. */
#ifndef AGENT_BOOT_SERVICES_IMPL_H
#define AGENT_BOOT_SERVICES_IMPL_H

#include "agent/boot/services.h"
#include "agent/boot/services_record.h"

struct service {
    struct services *services;
    const struct config_service *config;
    struct services_record *record;
    struct process *process; /* that of the present life, observed; NULL: none */
    struct process_observer observer;
    struct timer *timer; /* BACKOFF; made when first needed */
    struct bootreport_step *step;
    char id[NSP_LIMIT_ID + 1];
};

struct services {
    struct services_config config;
    struct loop *loop;
    struct services_record *records;
    struct service *list;
    size_t count;
    struct loop_deferred advance;
    bool is_begun, is_halted;
};

void services_set_state(struct service *service, enum service_state state);
/* Starts the next life, or has it started once services_begin was called. */
void services_start_life(struct service *service);
/* Starts who waits for the end of another, soon. */
void services_advance(struct services *services);

#endif
