#include "tests/bench/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/limits.h"
#include "tests/bench/measure.h"

enum { IN_SIZE = 1 << 20, NUMBER_SIZE = 8 };

struct wire {
    int fd;
    uint32_t next_stream;
    uint64_t frames;
    size_t start, end;
    uint8_t in[IN_SIZE];
};

static void send_all(int fd, struct iovec *pieces, int count)
{
    while (count > 0) {
        ssize_t sent = writev(fd, pieces, count);
        if (sent < 0 && errno == EINTR)
            continue;
        measure_check(sent, "writev");
        for (; count > 0 && (size_t)sent >= pieces->iov_len; pieces++, count--)
            sent -= (ssize_t)pieces->iov_len;
        if (count > 0) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + sent;
            pieces->iov_len -= (size_t)sent;
        }
    }
}

static void send_frame(struct wire *wire, struct nsp_frame frame, const void *payload)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    nsp_frame_encode(&frame, header);
    struct iovec pieces[2] = {{header, sizeof header}, {(void *)payload, frame.length}};
    send_all(wire->fd, pieces, frame.length > 0 ? 2 : 1);
}

static void send_number(struct wire *wire, struct nsp_frame frame, uint64_t number)
{
    uint8_t payload[NUMBER_SIZE];
    nsp_frame_put_u64(payload, number);
    frame.length = sizeof payload;
    send_frame(wire, frame, payload);
}

/* Until at least so many bytes are there; false when they are not and wait is not wanted. */
static bool receive(struct wire *wire, size_t wanted, bool wait)
{
    if (wire->start == wire->end)
        wire->start = wire->end = 0;
    if (wire->start + wanted > IN_SIZE) {
        memmove(wire->in, wire->in + wire->start, wire->end - wire->start);
        wire->end -= wire->start;
        wire->start = 0;
    }
    while (wire->end - wire->start < wanted) {
        ssize_t got =
            recv(wire->fd, wire->in + wire->end, IN_SIZE - wire->end, wait ? 0 : MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return false;
        measure_check(got, "recv");
        if (got == 0)
            measure_die("the connection was closed");
        wire->end += (size_t)got;
    }
    return true;
}

/* The device's answer, "OK PORT", or its end of file when nobody in the guest listens. */
static bool ask_for_port(int fd, const char *port)
{
    char text[32], byte = 0;
    int length = snprintf(text, sizeof text, "CONNECT %s\n", port);
    send_all(fd, &(struct iovec){text, (size_t)length}, 1);
    while (byte != '\n')
        if (recv(fd, &byte, 1, 0) != 1)
            return false;
    return true;
}

int wire_dial(const char *path)
{
    static const char prefix[] = "hybrid:";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *port = NULL;
    size_t length = strlen(path);
    if (strncmp(path, prefix, strlen(prefix)) == 0) {
        path += strlen(prefix);
        port = strrchr(path, ':');
        if (!port)
            measure_die("%s: no port", path);
        length = (size_t)(port++ - path);
    }
    if (length >= sizeof address.sun_path)
        measure_die("%s: too long", path);
    memcpy(address.sun_path, path, length);
    int fd = (int)measure_check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        (!port || ask_for_port(fd, port)))
        return fd;
    close(fd);
    return -1;
}

struct wire *wire_adopt(int fd)
{
    struct wire *wire = measure_alloc(sizeof *wire);
    wire->fd = fd;
    wire->next_stream = 1;
    return wire;
}

static void greet(struct wire *wire)
{
    uint8_t preface[NSP_PREFACE_SIZE], minor;
    struct nsp_error err = NSP_ERROR_INIT;
    nsp_preface_encode(preface);
    send_all(wire->fd, &(struct iovec){preface, sizeof preface}, 1);
    wire_request(wire, "{\"method\":\"hello\",\"params\":{\"client\":\"bench\"}}");
    receive(wire, sizeof preface, true);
    if (nsp_preface_decode(wire->in + wire->start, &minor, &err) < 0)
        measure_die("%s", err.msg);
    wire->start += sizeof preface;
    struct nsp_frame frame;
    const uint8_t *payload;
    wire_next(wire, true, &frame, &payload);
    if (frame.type != NSP_FRAME_RESPONSE || !wire_holds(&frame, payload, "\"result\""))
        measure_die("hello was refused: %.*s", (int)frame.length, (const char *)payload);
}

struct wire *wire_try_open(const char *path)
{
    int fd = wire_dial(path);
    if (fd < 0)
        return NULL;
    struct wire *wire = wire_adopt(fd);
    greet(wire);
    return wire;
}

struct wire *wire_open(const char *path)
{
    struct wire *wire = wire_try_open(path);
    if (!wire)
        measure_die("%s: %s", path, strerror(errno));
    return wire;
}

void wire_close(struct wire *wire)
{
    if (!wire)
        return;
    close(wire->fd);
    free(wire);
}

int wire_fd(const struct wire *wire)
{
    return wire->fd;
}

uint64_t wire_frames(const struct wire *wire)
{
    return wire->frames;
}

uint32_t wire_request(struct wire *wire, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text)
        measure_die("a request is too long");
    uint32_t stream = wire->next_stream;
    wire->next_stream += 2;
    send_frame(
        wire,
        (struct nsp_frame){.length = (uint32_t)length, .stream = stream, .type = NSP_FRAME_REQUEST},
        text);
    return stream;
}

void wire_data(struct wire *wire, uint32_t stream, uint8_t channel, uint64_t offset,
               const void *bytes, size_t length)
{
    send_frame(wire,
               (struct nsp_frame){.length = (uint32_t)length,
                                  .stream = stream,
                                  .type = NSP_FRAME_DATA,
                                  .channel = channel,
                                  .offset = offset},
               bytes);
}

void wire_end(struct wire *wire, uint32_t stream, uint8_t channel, uint64_t offset)
{
    send_frame(wire,
               (struct nsp_frame){
                   .stream = stream, .type = NSP_FRAME_END, .channel = channel, .offset = offset},
               NULL);
}

void wire_credit(struct wire *wire, uint32_t stream, uint8_t channel, uint64_t consumed,
                 uint64_t limit)
{
    send_number(
        wire,
        (struct nsp_frame){
            .stream = stream, .type = NSP_FRAME_CREDIT, .channel = channel, .offset = consumed},
        limit);
}

void wire_ping(struct wire *wire)
{
    struct nsp_frame frame;
    const uint8_t *payload;
    send_number(wire, (struct nsp_frame){.type = NSP_FRAME_PING}, wire->frames);
    do {
        wire_next(wire, true, &frame, &payload);
    } while (frame.type != NSP_FRAME_PONG);
}

bool wire_next(struct wire *wire, bool wait, struct nsp_frame *ret_frame,
               const uint8_t **ret_payload)
{
    struct nsp_error err = NSP_ERROR_INIT;
    for (;;) {
        if (!receive(wire, NSP_FRAME_HEADER_SIZE, wait))
            return false;
        if (nsp_frame_decode(wire->in + wire->start, ret_frame, &err) < 0)
            measure_die("%s", err.msg);
        if (!receive(wire, NSP_FRAME_HEADER_SIZE + ret_frame->length, wait))
            return false;
        *ret_payload = wire->in + wire->start + NSP_FRAME_HEADER_SIZE;
        wire->start += NSP_FRAME_HEADER_SIZE + ret_frame->length;
        wire->frames++;
        if (ret_frame->type == NSP_FRAME_GOAWAY)
            measure_die("GOAWAY: %.*s", (int)ret_frame->length, (const char *)*ret_payload);
        if (ret_frame->type != NSP_FRAME_PING)
            return true;
        send_number(wire, (struct nsp_frame){.type = NSP_FRAME_PONG},
                    nsp_frame_get_u64(*ret_payload));
    }
}

bool wire_holds(const struct nsp_frame *frame, const uint8_t *payload, const char *text)
{
    return memmem(payload, frame->length, text, strlen(text)) != NULL;
}

static void give_credit(struct wire *wire, struct wire_output *output, uint64_t due)
{
    if (!output->gives_credit || output->next - output->credited < due)
        return;
    output->credited = output->next;
    wire_credit(wire, output->stream, NSP_CHANNEL_STDOUT, output->next, output->next + WIRE_WINDOW);
}

bool wire_take_output(struct wire *wire, struct wire_output *output, const struct nsp_frame *frame,
                      const uint8_t *payload)
{
    if (frame->stream != output->stream || frame->channel != NSP_CHANNEL_STDOUT)
        return false;
    if (frame->offset != output->next)
        measure_die("offset %llu came, %llu was due", (unsigned long long)frame->offset,
                    (unsigned long long)output->next);
    switch (frame->type) {
    case NSP_FRAME_DATA:
        output->next += frame->length;
        give_credit(wire, output, WIRE_CREDIT_EVERY);
        break;
    case NSP_FRAME_GAP:
        output->lost += nsp_frame_get_u64(payload) - output->next;
        output->next = nsp_frame_get_u64(payload);
        break;
    case NSP_FRAME_BLOCKED:
        give_credit(wire, output, 1);
        break;
    default:
        output->has_ended = true;
        break;
    }
    return true;
}
