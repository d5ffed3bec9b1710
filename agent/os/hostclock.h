/* The wall clock of a guest, set from what its host says (clock_settime(2)). */
#ifndef AGENT_HOSTCLOCK_H
#define AGENT_HOSTCLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "protocol/error.h"

enum { HOSTCLOCK_TOLERANCE_MS = 100 };

/* unix_ns: the host's time, nanoseconds since the Unix epoch. Sets CLOCK_REALTIME when it is off by
 * more than the tolerance. *ret_offset_ns: how far the guest was behind. INVALID_PARAMS for a time
 * that cannot be, PERMISSION, SYSTEM. */
int hostclock_set(int64_t unix_ns, bool *ret_was_set, int64_t *ret_offset_ns,
                  struct nsp_error *err);

/* With other clocks, for tests: as clock_gettime(2) and clock_settime(2). */
struct hostclock_calls {
    int (*get)(clockid_t clock, struct timespec *time);
    int (*set)(clockid_t clock, const struct timespec *time);
};
int hostclock_set_with(const struct hostclock_calls *calls, int64_t unix_ns, bool *ret_was_set,
                       int64_t *ret_offset_ns, struct nsp_error *err);

#endif
