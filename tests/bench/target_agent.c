#include "tests/bench/target.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/wire.h"

enum { PIECE = 65536 };

struct agent {
    struct target target;
    struct wire *wire;
    uint32_t streams[TARGET_SLOTS]; /* 0: free */
    unsigned forgetting;            /* process.forget without an answer yet */
};

static struct target *open_agent(const char *path)
{
    struct agent *agent = measure_alloc(sizeof *agent);
    agent->wire = wire_open(path);
    return &agent->target;
}

static void close_agent(struct target *target)
{
    struct agent *agent = (struct agent *)target;
    wire_close(agent->wire);
    free(agent);
}

static void start(struct target *target, const char *program, unsigned slot)
{
    struct agent *agent = (struct agent *)target;
    agent->streams[slot] = wire_request(
        agent->wire,
        "{\"method\":\"process.start\",\"params\":{\"argv\":[\"%s\"],\"attach\":true}}", program);
}

static void check_exit(const struct nsp_frame *frame, const uint8_t *payload)
{
    if (!wire_holds(frame, payload, "\"exit\":{\"code\":0,"))
        measure_die("a process failed: %.*s", (int)frame->length, (const char *)payload);
}

/* The response begins with the id. */
static void forget(struct agent *agent, const struct nsp_frame *frame, const uint8_t *payload)
{
    static const char key[] = "\"id\":\"";
    const char *id = memmem(payload, frame->length, key, strlen(key));
    if (!id)
        measure_die("an answer without id");
    id += strlen(key);
    wire_request(agent->wire, "{\"method\":\"process.forget\",\"params\":{\"id\":\"%.*s\"}}",
                 (int)strcspn(id, "\""), id);
    agent->forgetting++;
}

static void on_forgotten(struct agent *agent, const struct nsp_frame *frame, const uint8_t *payload)
{
    if (agent->forgetting == 0 || !wire_holds(frame, payload, "\"result\""))
        measure_die("unexpected: %.*s", (int)frame->length, (const char *)payload);
    agent->forgetting--;
}

static struct nsp_frame next_response(struct agent *agent, const uint8_t **ret_payload)
{
    struct nsp_frame frame;
    uint64_t before = wire_frames(agent->wire);
    do {
        wire_next(agent->wire, true, &frame, ret_payload);
    } while (frame.type != NSP_FRAME_RESPONSE);
    agent->target.events += wire_frames(agent->wire) - before;
    return frame;
}

static unsigned wait_for_one(struct target *target)
{
    struct agent *agent = (struct agent *)target;
    for (;;) {
        const uint8_t *payload;
        struct nsp_frame frame = next_response(agent, &payload);
        for (unsigned slot = 0; slot < TARGET_SLOTS; slot++) {
            if (agent->streams[slot] != frame.stream)
                continue;
            check_exit(&frame, payload);
            agent->streams[slot] = 0;
            if (target->forget)
                forget(agent, &frame, payload);
            return slot;
        }
        on_forgotten(agent, &frame, payload);
    }
}

static void settle(struct target *target)
{
    struct agent *agent = (struct agent *)target;
    while (agent->forgetting > 0) {
        const uint8_t *payload;
        struct nsp_frame frame = next_response(agent, &payload);
        on_forgotten(agent, &frame, payload);
    }
}

static void ping(struct target *target)
{
    wire_ping(((struct agent *)target)->wire);
}

static uint64_t output(struct target *target, uint64_t bytes)
{
    struct wire *wire = ((struct agent *)target)->wire;
    struct wire_output taken = {.gives_credit = true};
    taken.stream =
        wire_request(wire,
                     "{\"method\":\"process.start\",\"params\":{\"argv\":[\"head\",\"-c\","
                     "\"%llu\",\"/dev/zero\"],\"attach\":true}}",
                     (unsigned long long)bytes);
    struct nsp_frame frame;
    const uint8_t *payload;
    do {
        wire_next(wire, true, &frame, &payload);
        wire_take_output(wire, &taken, &frame, payload);
    } while (frame.type != NSP_FRAME_RESPONSE);
    check_exit(&frame, payload);
    return taken.next - taken.lost;
}

/* True when the stream has ended. */
static bool take_credit(struct wire *wire, bool wait, uint64_t *limit)
{
    struct nsp_frame frame;
    const uint8_t *payload;
    while (wire_next(wire, wait, &frame, &payload)) {
        wait = false;
        if (frame.type == NSP_FRAME_CREDIT)
            *limit = nsp_frame_get_u64(payload);
        if (frame.type == NSP_FRAME_RESPONSE) {
            check_exit(&frame, payload);
            return true;
        }
    }
    return false;
}

static void input(struct target *target, uint64_t bytes)
{
    struct wire *wire = ((struct agent *)target)->wire;
    static const uint8_t zeros[PIECE];
    uint32_t stream =
        wire_request(wire, "{\"method\":\"process.start\",\"params\":{\"command\":"
                           "\"exec cat >/dev/null\",\"stdin\":\"pipe\",\"attach\":true}}");
    struct nsp_frame frame;
    const uint8_t *payload;
    wire_next(wire, true, &frame, &payload); /* process.started */
    if (frame.type != NSP_FRAME_NOTIFY)
        measure_die("not started: %.*s", (int)frame.length, (const char *)payload);
    uint64_t sent = 0, limit = WIRE_WINDOW;
    while (sent < bytes) {
        uint64_t piece = bytes - sent < PIECE ? bytes - sent : PIECE;
        if (limit - sent < piece) {
            if (take_credit(wire, true, &limit))
                measure_die("cat has ended early");
            continue;
        }
        wire_data(wire, stream, NSP_CHANNEL_STDIN, sent, zeros, piece);
        sent += piece;
    }
    wire_end(wire, stream, NSP_CHANNEL_STDIN, sent);
    while (!take_credit(wire, true, &limit))
        ;
}

const struct target_kind target_agent = {.name = "agent",
                                         .open = open_agent,
                                         .close = close_agent,
                                         .start = start,
                                         .wait = wait_for_one,
                                         .settle = settle,
                                         .ping = ping,
                                         .output = output,
                                         .input = input};
