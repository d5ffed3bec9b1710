/* Facts about this kernel and this process that cost little to find out. */
#ifndef AGENT_HOSTINFO_H
#define AGENT_HOSTINFO_H

#include <stdint.h>

#include "protocol/error.h"

/* What the agent uses when the kernel has it, and does without otherwise. */
enum hostinfo_feature {
    HOSTINFO_CLONE3,
    HOSTINFO_PIDFD,
    HOSTINFO_CLOSE_RANGE,
    HOSTINFO_OPENAT2,
    HOSTINFO_CGROUP2,
    HOSTINFO_FEATURE_COUNT
};

/* Bit 1 << feature for each that this kernel, or a seccomp filter above us, does not let us use. */
unsigned hostinfo_missing(void);
const char *hostinfo_feature_name(enum hostinfo_feature feature);

enum { HOSTINFO_BOOT_ID_SIZE = 37 };
/* /proc/sys/kernel/random/boot_id, see random(4). SYSTEM. */
int hostinfo_boot_id(char target[HOSTINFO_BOOT_ID_SIZE], struct nsp_error *err);

/* Resident memory and open descriptors of this process, proc(5); 0 when /proc does not tell. */
uint64_t hostinfo_resident_kib(void);
uint64_t hostinfo_descriptors(void);

#endif
