#include "agent/machine/kmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum {
    RECORD_BYTES = 8192, /* the kernel's own bound; it never gives a part of a record */
    SNAPSHOT_MAX = 1 << 20,
    SKIPPED_MAX = 1024, /* reads that give no record, before others have their turn */
    ACTION_READ_ALL = 3,
    ACTION_SIZE = 10,
    DEFAULT_PRIORITY = 6,
    US_PER_S = 1000000,
};

struct kmsg {
    int fd; /* -1: a snapshot */
    char *text;
    size_t at, length;
};

struct input {
    const char *at, *end;
};

static bool take(struct input *input, char wanted)
{
    if (input->at == input->end || *input->at != wanted)
        return false;
    input->at++;
    return true;
}

static bool take_number(struct input *input, uint64_t *ret_number)
{
    const char *start = input->at;
    uint64_t number = 0;
    for (; input->at < input->end && *input->at >= '0' && *input->at <= '9'; input->at++) {
        uint64_t digit = (uint64_t)(*input->at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return input->at > start;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "\x1b" is one byte; a backslash before anything else is itself. */
static char take_byte(struct input *input)
{
    char c = *input->at++;
    if (c != '\\' || input->end - input->at < 3 || input->at[0] != 'x')
        return c;
    int high = hex_digit(input->at[1]), low = hex_digit(input->at[2]);
    if (high < 0 || low < 0)
        return c;
    input->at += 3;
    return (char)(high * 16 + low);
}

/* Up to the end of the input. What a terminal could take for a command does not get through. */
static void take_text(struct input *input, bool escaped, struct kmsg_record *record)
{
    record->length = 0;
    while (input->at < input->end && record->length < KMSG_TEXT_MAX) {
        char c = escaped ? take_byte(input) : *input->at++;
        bool control = ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
        record->text[record->length++] = control ? '?' : c;
    }
    record->text[record->length] = '\0';
}

/* "priority,sequence,microseconds,flags[,more];text\n", and then lines " KEY=value", which only
 * repeat what the text says. */
int kmsg_parse(const char *bytes, size_t length, struct kmsg_record *ret_record)
{
    const char *line_end = memchr(bytes, '\n', length);
    struct input input = {bytes, line_end ? line_end : bytes + length};
    uint64_t priority, sequence, time_us;
    if (!take_number(&input, &priority) || !take(&input, ',') || !take_number(&input, &sequence) ||
        !take(&input, ',') || !take_number(&input, &time_us) || !take(&input, ','))
        return -1;
    const char *semicolon = memchr(input.at, ';', (size_t)(input.end - input.at));
    if (!semicolon)
        return -1;
    input.at = semicolon + 1;
    ret_record->sequence = sequence;
    ret_record->priority = priority & 7; /* the facility is above */
    ret_record->time_us = time_us;
    take_text(&input, true, ret_record);
    return 0;
}

/* "<6>" */
static bool take_priority(struct input *input, unsigned *ret_priority)
{
    struct input rest = *input;
    uint64_t priority;
    if (!take(&rest, '<') || !take_number(&rest, &priority) || !take(&rest, '>'))
        return false;
    *ret_priority = priority & 7;
    *input = rest;
    return true;
}

/* "[    1.234567] " */
static bool take_time(struct input *input, uint64_t *ret_time_us)
{
    struct input rest = *input;
    uint64_t seconds, fraction;
    if (!take(&rest, '['))
        return false;
    while (take(&rest, ' '))
        ;
    if (!take_number(&rest, &seconds) || !take(&rest, '.') || !take_number(&rest, &fraction) ||
        !take(&rest, ']') || seconds > UINT32_MAX || fraction >= US_PER_S)
        return false;
    take(&rest, ' ');
    *ret_time_us = seconds * US_PER_S + fraction;
    *input = rest;
    return true;
}

/* Either of them may be missing: the time by printk.time. */
size_t kmsg_parse_line(const char *bytes, size_t length, struct kmsg_record *ret_record)
{
    if (length == 0)
        return 0;
    const char *line_end = memchr(bytes, '\n', length);
    struct input input = {bytes, line_end ? line_end : bytes + length};
    size_t used = (size_t)(input.end - bytes) + (line_end ? 1 : 0);
    ret_record->sequence = 0;
    if (!take_priority(&input, &ret_record->priority))
        ret_record->priority = DEFAULT_PRIORITY;
    if (!take_time(&input, &ret_record->time_us))
        ret_record->time_us = 0;
    take_text(&input, false, ret_record);
    return used;
}

static int fail(struct nsp_error *err, int sys_errno, const char *op)
{
    bool missing = sys_errno == ENOENT || sys_errno == ENODEV || sys_errno == ENXIO ||
                   sys_errno == ENOSYS || sys_errno == EINVAL;
    bool refused = sys_errno == EPERM || sys_errno == EACCES;
    bool short_of = sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == ENOMEM;
    return nsp_fail_errno(err,
                          missing    ? NSP_E_NOT_FOUND
                          : refused  ? NSP_E_PERMISSION
                          : short_of ? NSP_E_EXHAUSTED
                                     : NSP_E_SYSTEM,
                          sys_errno, op, "/dev/kmsg");
}

static int make(int fd, size_t capacity, struct kmsg **ret_kmsg, struct nsp_error *err)
{
    struct kmsg *kmsg = malloc(sizeof *kmsg);
    char *text = malloc(capacity);
    if (!kmsg || !text) {
        free(kmsg);
        free(text);
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the kernel's log");
    }
    *kmsg = (struct kmsg){.fd = fd, .text = text};
    *ret_kmsg = kmsg;
    return 0;
}

int kmsg_open_snapshot(struct kmsg **ret_kmsg, struct nsp_error *err)
{
    struct kmsg *kmsg;
    int size = klogctl(ACTION_SIZE, NULL, 0);
    if (size < 0)
        return fail(err, errno, "syslog");
    size = size > SNAPSHOT_MAX ? SNAPSHOT_MAX : size;
    if (make(-1, (size_t)size + 1, &kmsg, err) < 0)
        return -1;
    int length = klogctl(ACTION_READ_ALL, kmsg->text, size);
    if (length < 0) {
        int sys_errno = errno;
        kmsg_free(kmsg);
        return fail(err, sys_errno, "syslog");
    }
    kmsg->length = (size_t)length;
    *ret_kmsg = kmsg;
    return 0;
}

int kmsg_open(struct kmsg **ret_kmsg, struct nsp_error *err)
{
    AUTO_FD int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? fail(err, errno, "open")
                                                  : kmsg_open_snapshot(ret_kmsg, err);
    if (make(fd, RECORD_BYTES, ret_kmsg, err) < 0)
        return -1;
    STEAL_FD(fd);
    return 0;
}

void kmsg_free(struct kmsg *kmsg)
{
    if (!kmsg)
        return;
    if (kmsg->fd >= 0)
        close(kmsg->fd);
    free(kmsg->text);
    free(kmsg);
}

int kmsg_fd(const struct kmsg *kmsg)
{
    return kmsg->fd;
}

void kmsg_rewind(struct kmsg *kmsg)
{
    if (kmsg->fd >= 0)
        lseek(kmsg->fd, 0, SEEK_SET);
}

static bool read_line(struct kmsg *kmsg, struct kmsg_record *ret_record)
{
    size_t used;
    do {
        used = kmsg_parse_line(kmsg->text + kmsg->at, kmsg->length - kmsg->at, ret_record);
        kmsg->at += used;
    } while (used > 0 && ret_record->length == 0);
    return used > 0;
}

bool kmsg_read(struct kmsg *kmsg, struct kmsg_record *ret_record)
{
    if (kmsg->fd < 0)
        return read_line(kmsg, ret_record);
    for (unsigned tries = 0; tries < SKIPPED_MAX; tries++) {
        ssize_t length = read(kmsg->fd, kmsg->text, RECORD_BYTES);
        /* EPIPE: the next record was overwritten, and the next read gives the oldest that is left.
         */
        if (length < 0 && errno != EPIPE && errno != EINTR)
            return false;
        if (length == 0)
            return false;
        if (length > 0 && kmsg_parse(kmsg->text, (size_t)length, ret_record) == 0)
            return true;
    }
    return false;
}
