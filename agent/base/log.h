/* The log: one line of key=value pairs on standard error, and the last lines kept for log.tail.
 *
 * Kept are the texts from msg on, in two areas: the supervisor's and the agent's. Until log_share
 * there is only our own, in our own memory; with it they outlive whoever wrote them.
 *
 * A line looks like `t=2026-01-02T03:04:05.678Z level=info role=agent msg="connection opened"
 * conn=7`. The format string gives the key=value pairs after msg. Strings that come from a peer go
 * through log_quote first. Never an environment value, a token or file content.
 */
#ifndef AGENT_LOG_H
#define AGENT_LOG_H

#include <stddef.h>

#include "agent/base/logring.h"
#include "protocol/error.h"

enum log_area { LOG_AREA_SUPERVISOR, LOG_AREA_AGENT, LOG_AREA_COUNT };

enum { LOG_SHARED_BYTES = LOG_AREA_COUNT * LOGRING_BYTES };

/* role: a static string ("supervisor", "agent"). Lines below the level are not made at all. */
void log_init(const char *role, enum log_level level);
enum log_level log_level_get(void);

const char *log_level_name(enum log_level level);
/* level from its name; -1 when there is none. */
int log_level_by_name(const char *name, enum log_level *ret_level);

/* msg: a static string. format may be NULL. Never fails, never allocates; cut at 1,024 bytes. */
void log_write(enum log_level level, const char *msg, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Logs an error value as pairs error=NAME errno=ENOENT op=... detail="...". */
void log_error(enum log_level level, const char *msg, const struct nsp_error *err);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)

/* Writes text quoted, escaped and cut to fit capacity (at least 8). Returns target. */
const char *log_quote(char *target, size_t capacity, const char *text, size_t length);

/* Keeps our lines in that area of shared memory of LOG_SHARED_BYTES from now on, after those that
 * are there; what was kept until now is taken along. One process at a time writes an area: the fork
 * of a supervisor that is to become an agent calls this again, for the agent's. The descriptor
 * stays the caller's and is not needed any more. UNSUPPORTED for another size, SYSTEM, EXHAUSTED;
 * lines are then kept as before. */
int log_share(int fd, enum log_area area, struct nsp_error *err);

/* The lines of an area, as logring.h has it: for logring_read. Empty when there is no such area. */
void log_reader_init(struct logring_reader *reader, enum log_area area, uint64_t from,
                     enum log_level level);

/* Called after each of our lines was kept; must not log. NULL: nobody. */
void log_on_line(void (*callback)(void *arg), void *arg);

#endif
