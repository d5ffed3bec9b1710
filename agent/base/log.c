/* A line is made in a buffer of fixed size, put into a ring and written to standard error.
 *
 * Nothing here allocates or waits: when whoever reads standard error does not keep up, lines are
 * left out there (and counted), not in the ring. Even the date is computed here, since libc's
 * gmtime_r reads the time zone file when it is first called. */
#include "agent/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/clock.h"

enum { LINE_BYTES = 1024, TIME_BYTES = 64 };

static const char *const level_names[] = {"debug", "info", "warn", "error"};
_Static_assert(sizeof level_names / sizeof level_names[0] == LOG_ERROR + 1, "every level");

static struct {
    const char *role;
    enum log_level level;
    unsigned unwritten; /* lines left out on standard error */
    enum log_area area; /* ours */
    char *shared;       /* all areas; NULL: ours alone is there, in our own memory */
    struct logring_writer writer;
    void (*on_line)(void *arg);
    void *on_line_arg;
} state = {.role = "", .level = LOG_INFO, .area = LOG_AREA_AGENT};

/* Zero pages until the first line, and for good once the memory is shared. */
static _Alignas(uint64_t) char own_memory[LOGRING_BYTES];

void log_init(const char *role, enum log_level level)
{
    state.role = role;
    state.level = level;
}

enum log_level log_level_get(void)
{
    return state.level;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
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

static void keep(enum log_level level, int64_t unix_ms, const char *text, size_t length)
{
    if (!state.writer.memory)
        logring_writer_init(&state.writer, own_memory);
    logring_write(&state.writer, level, unix_ms, text, length);
    if (state.on_line)
        state.on_line(state.on_line_arg);
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

    int64_t unix_ms = clock_unix_ms();
    format_time(time, unix_ms);
    int start =
        snprintf(line, sizeof line, "t=%s level=%s role=%s ", time, level_names[level], state.role);
    int length = snprintf(line + start, sizeof line - (size_t)start, "msg=\"%s\"", msg);
    length += start;
    if (format && (size_t)length < sizeof line - 2) {
        line[length++] = ' ';
        va_list args;
        va_start(args, format);
        int more = vsnprintf(line + length, sizeof line - (size_t)length, format, args);
        va_end(args);
        length += more > 0 ? more : 0;
    }
    size_t size = (size_t)length < sizeof line - 1 ? (size_t)length : sizeof line - 1;
    flatten(line, size);
    keep(level, unix_ms, line + start, size - (size_t)start);
    line[size++] = '\n';
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

static void *area_memory(enum log_area area)
{
    if (state.shared)
        return state.shared + (size_t)area * LOGRING_BYTES;
    return area == state.area ? own_memory : NULL;
}

void log_reader_init(struct logring_reader *reader, enum log_area area, uint64_t from,
                     enum log_level level)
{
    logring_reader_init(reader, area_memory(area), from, level);
}

void log_on_line(void (*callback)(void *arg), void *arg)
{
    state.on_line = callback;
    state.on_line_arg = arg;
}

/* The other areas are for reading: a stray pointer of ours shall not spoil another's lines. */
static int map_areas(int fd, enum log_area own, char **ret_memory, struct nsp_error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "fstat", "log");
    if (status.st_size != LOG_SHARED_BYTES)
        return nsp_fail(err, NSP_E_UNSUPPORTED, "the shared log has %lld bytes, not %d",
                        (long long)status.st_size, LOG_SHARED_BYTES);
    char *memory = mmap(NULL, LOG_SHARED_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, errno, "mmap", "log");
    if (mprotect(memory + (size_t)own * LOGRING_BYTES, LOGRING_BYTES, PROT_READ | PROT_WRITE) < 0) {
        int sys_errno = errno;
        munmap(memory, LOG_SHARED_BYTES);
        return nsp_fail_errno(err, NSP_E_SYSTEM, sys_errno, "mprotect", "log");
    }
    *ret_memory = memory;
    return 0;
}

int log_share(int fd, enum log_area area, struct nsp_error *err)
{
    char *memory = NULL;
    if (map_areas(fd, area, &memory, err) < 0)
        return -1;
    char *former = state.shared;
    state.shared = memory;
    state.area = area;
    logring_writer_init(&state.writer, area_memory(area));
    if (former) {
        munmap(former, LOG_SHARED_BYTES);
        return 0;
    }
    struct logring_reader early;
    struct logring_line line;
    logring_reader_init(&early, own_memory, 0, LOG_DEBUG);
    while (logring_read(&early, &line))
        logring_write(&state.writer, line.level, line.unix_ms, line.text, line.length);
    return 0;
}
