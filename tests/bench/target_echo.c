/* A bare program in a guest (vsock_echo.c): what the kernels, the device and the socket alone take.
 */
#include "tests/bench/target.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/wire.h"

enum { PIECE = 65536, PING_BYTES = NSP_FRAME_HEADER_SIZE + 8 };

struct echo {
    struct target target;
    const char *address;
    int link; /* of the pings; -1: none yet */
};

static int ask(const struct echo *echo, char wanted, uint64_t length)
{
    int link = wire_dial(echo->address);
    uint8_t request[1 + sizeof length] = {(uint8_t)wanted};
    if (link < 0)
        measure_die("%s: %s", echo->address, strerror(errno));
    length = htole64(length);
    memcpy(request + 1, &length, sizeof length);
    measure_check(write(link, request, sizeof request), "write");
    return link;
}

static struct target *open_echo(const char *rest)
{
    struct echo *echo = measure_alloc(sizeof *echo);
    echo->address = rest;
    echo->link = -1;
    return &echo->target;
}

static void close_echo(struct target *target)
{
    struct echo *echo = (struct echo *)target;
    if (echo->link >= 0)
        close(echo->link);
    free(echo);
}

static void ping(struct target *target)
{
    struct echo *echo = (struct echo *)target;
    char bytes[PING_BYTES] = {0};
    if (echo->link < 0)
        echo->link = ask(echo, 'e', 0);
    measure_check(write(echo->link, bytes, sizeof bytes), "write");
    if (measure_check(recv(echo->link, bytes, sizeof bytes, MSG_WAITALL), "recv") != sizeof bytes)
        measure_die("half a ping");
}

static uint64_t output(struct target *target, uint64_t bytes)
{
    static char scratch[PIECE];
    int link = ask((struct echo *)target, 'o', bytes);
    uint64_t done = 0;
    for (long got; (got = measure_check(read(link, scratch, sizeof scratch), "read")) > 0;)
        done += (uint64_t)got;
    close(link);
    return done;
}

static void input(struct target *target, uint64_t bytes)
{
    static const char zeros[PIECE];
    char last;
    int link = ask((struct echo *)target, 'i', bytes);
    for (uint64_t sent = 0; sent < bytes;) {
        size_t piece = bytes - sent < PIECE ? bytes - sent : PIECE;
        sent += (uint64_t)measure_check(write(link, zeros, piece), "write");
    }
    if (measure_check(read(link, &last, 1), "read") != 1)
        measure_die("no answer at the end of the input");
    close(link);
}

const struct target_kind target_echo = {.name = "echo",
                                        .open = open_echo,
                                        .close = close_echo,
                                        .ping = ping,
                                        .output = output,
                                        .input = input};
