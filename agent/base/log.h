/* The log: one line of key=value pairs on standard error, and the last lines kept for log.tail.
 *
 * A line looks like `t=2026-01-02T03:04:05.678Z level=info role=agent msg="connection opened"
 * conn=7`. The format string gives the key=value pairs after msg. Strings that come from a peer go
 * through log_quote first. Never an environment value, a token or file content.
 */
#ifndef AGENT_LOG_H
#define AGENT_LOG_H

#include <stddef.h>

#include "protocol/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* role: a static string ("supervisor", "agent"). Lines below the level are not made at all. */
void log_init(const char *role, enum log_level level);
enum log_level log_level_get(void);

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

/* The last lines, oldest first, each with its newline, at most capacity bytes. Returns the length.
 */
size_t log_tail(char *target, size_t capacity, unsigned lines);

#endif
