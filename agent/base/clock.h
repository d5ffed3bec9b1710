/* Time. All timeouts and ages use clock_now_ns (CLOCK_BOOTTIME: it goes on while the guest is
 * paused by suspend, never jumps by clock_settime). Wall-clock time only for people. */
#ifndef AGENT_CLOCK_H
#define AGENT_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_MS UINT64_C(1000000)
#define CLOCK_NS_PER_S UINT64_C(1000000000)

/* Nanoseconds since boot. Never 0. */
uint64_t clock_now_ns(void);

/* Milliseconds since the Unix epoch (CLOCK_REALTIME). */
int64_t clock_unix_ms(void);

#endif
