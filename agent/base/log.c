/* A line is made in a buffer of fixed size, put into a ring of bytes and written to standard error.
 *
 * Nothing here allocates or waits: when whoever reads standard error does not keep up, lines are
 * left out there (and counted), not in the ring. Even the date is computed here, since libc's
 * gmtime_r reads the time zone file when it is first called. */
#include "agent/base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"

enum { LINE_BYTES = 1024, KEPT_BYTES = 65536, TIME_BYTES = 64 };

static const char *const level_names[] = {"debug", "info", "warn", "error"};
_Static_assert(sizeof level_names / sizeof level_names[0] == LOG_ERROR + 1, "every level");

static struct {
    const char *role;
    enum log_level level;
    unsigned unwritten; /* lines left out on standard error */
    uint64_t written;   /* bytes ever put into kept; the last is at (written - 1) % KEPT_BYTES */
    char kept[KEPT_BYTES];
} state = {.role = "", .level = LOG_INFO};

void log_init(const char *role, enum log_level level)
{
    state.role = role;
    state.level = level;
}

enum log_level log_level_get(void)
{
    return state.level;
}

int log_level_by_name(const char *name, enum log_level *ret_level)
{
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (strcmp(name, level_names[level]) == 0) {
            *ret_level = (enum log_level)level;
            return 0;
        }
    }
    return -1;
}

/* The proleptic Gregorian calendar, counted in years that start in March, so that the leap day is
 * the last of its year; 400 such years have 146,097 days. */
static void format_time(char *target, int64_t unix_ms)
{
    int64_t seconds = unix_ms / 1000;
    uint64_t day = (uint64_t)(seconds / 86400) + 719468; /* since 0000-03-01 */
    unsigned second = (unsigned)(seconds % 86400);
    unsigned day_of_era = (unsigned)(day % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;
    unsigned year = (unsigned)(day / 146097) * 400 + year_of_era + (month <= 2);

    snprintf(target, TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000, month,
             day_of_year - (153 * march_month + 2) / 5 + 1, second / 3600, second / 60 % 60,
             second % 60, (unsigned)(unix_ms % 1000));
}

static void keep(const char *line, size_t length)
{
    size_t at = state.written % KEPT_BYTES;
    size_t first = length < KEPT_BYTES - at ? length : KEPT_BYTES - at;
    memcpy(state.kept + at, line, first);
    memcpy(state.kept, line + first, length - first);
    state.written += length;
}

/* A pipe that polls as writable takes a whole line (PIPE_BUF, pipe(7)). */
static void show(const char *line, size_t length)
{
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&output, 1, 0) != 1 || !(output.revents & POLLOUT)) {
        state.unwritten++;
        return;
    }
    if (state.unwritten > 0) {
        char note[64];
        int size =
            snprintf(note, sizeof note, "level=warn msg=\"%u lines left out\"\n", state.unwritten);
        state.unwritten = 0;
        if (write(STDERR_FILENO, note, (size_t)size) < 0)
            return;
    }
    if (write(STDERR_FILENO, line, length) < 0)
        state.unwritten++;
}

/* One line stays one line, whatever a caller has forgotten to quote. */
static void flatten(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
}

void log_write(enum log_level level, const char *msg, const char *format, ...)
{
    char line[LINE_BYTES], time[TIME_BYTES];
    if (level < state.level)
        return;

    format_time(time, clock_unix_ms());
    int length = snprintf(line, sizeof line, "t=%s level=%s role=%s msg=\"%s\"", time,
                          level_names[level], state.role, msg);
    if (length > 0 && format && (size_t)length < sizeof line - 2) {
        line[length++] = ' ';
        va_list args;
        va_start(args, format);
        int more = vsnprintf(line + length, sizeof line - (size_t)length, format, args);
        va_end(args);
        length += more > 0 ? more : 0;
    }
    if (length < 0)
        return;
    size_t size = (size_t)length < sizeof line - 1 ? (size_t)length : sizeof line - 1;
    flatten(line, size);
    line[size++] = '\n';
    keep(line, size);
    show(line, size);
}

void log_error(enum log_level level, const char *msg, const struct nsp_error *err)
{
    char object[3 * sizeof err->object], detail[2 * sizeof err->msg];
    log_write(level, msg, "error=%s errno=%s op=%s object=%s detail=%s", nsp_error_name(err->code),
              err->sys_errno ? nsp_errno_name(err->sys_errno) : "-", err->op[0] ? err->op : "-",
              log_quote(object, sizeof object, err->object, strlen(err->object)),
              log_quote(detail, sizeof detail, err->msg, strlen(err->msg)));
}

/* At most 4 bytes and a NUL. */
static size_t escape(char *target, unsigned char byte)
{
    if (byte == '"' || byte == '\\')
        return (size_t)snprintf(target, 5, "\\%c", byte);
    if (byte == '\n')
        return (size_t)snprintf(target, 5, "\\n");
    if (byte < 0x20 || byte >= 0x7f)
        return (size_t)snprintf(target, 5, "\\x%02x", byte);
    target[0] = (char)byte;
    return 1;
}

const char *log_quote(char *target, size_t capacity, const char *text, size_t length)
{
    static const char whole[] = "\"", cut[] = "\"...";
    char escaped[5];
    size_t used = 0, needed = 2, i = 0;

    for (; i < length && needed < capacity; i++)
        needed += escape(escaped, (unsigned char)text[i]);
    const char *end = i == length && needed < capacity ? whole : cut;
    size_t room = capacity - (end == whole ? sizeof whole : sizeof cut);

    target[used++] = '"';
    for (i = 0; i < length; i++) {
        size_t size = escape(escaped, (unsigned char)text[i]);
        if (used + size > room)
            break;
        memcpy(target + used, escaped, size);
        used += size;
    }
    snprintf(target + used, capacity - used, "%s", end);
    return target;
}

static char kept_at(uint64_t position)
{
    return state.kept[position % KEPT_BYTES];
}

size_t log_tail(char *target, size_t capacity, unsigned lines)
{
    uint64_t oldest = state.written > KEPT_BYTES ? state.written - KEPT_BYTES : 0;
    uint64_t start = state.written, position = state.written;

    /* Backwards from line to line: a line starts at the beginning or after a newline. */
    for (unsigned found = 0; found < lines && position > oldest;) {
        position--;
        bool starts = position == 0 || (position > oldest && kept_at(position - 1) == '\n');
        if (state.written - position > capacity)
            break;
        if (starts) {
            start = position;
            found++;
        }
    }
    for (uint64_t i = start; i < state.written; i++)
        target[i - start] = kept_at(i);
    return (size_t)(state.written - start);
}
