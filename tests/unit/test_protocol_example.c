/* Reads the example of PROTOCOL.md section 9 and plays both sides of it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rpc/json.h"
#include "protocol/channel.h"
#include "protocol/frame.h"
#include "protocol/json_check.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

enum { BLOCKS_MAX = 64, BLOCK_BYTES = 1024 };

enum side { CLIENT, AGENT };

struct block {
    enum side side;
    uint8_t bytes[BLOCK_BYTES];
    size_t length;
    char comments[BLOCK_BYTES]; /* one line each */
};

static struct block *blocks;
static unsigned block_count;

static int hex_value(char digit)
{
    return isdigit((unsigned char)digit) ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

/* "C0 4E ; comment" */
static void read_bytes(struct block *block, const char *line)
{
    for (; *line && *line != ';'; line++) {
        if (isspace((unsigned char)*line))
            continue;
        ck_assert_msg(isxdigit((unsigned char)line[0]) && isxdigit((unsigned char)line[1]), "%s",
                      line);
        ck_assert_uint_lt(block->length, BLOCK_BYTES);
        block->bytes[block->length++] = (uint8_t)(hex_value(line[0]) << 4 | hex_value(line[1]));
        line++;
    }
    size_t used = strlen(block->comments);
    snprintf(block->comments + used, sizeof block->comments - used, "%s", line);
}

static void read_line(const char *line)
{
    bool from_client = strncmp(line, "    client ;", 12) == 0;
    if (from_client || strncmp(line, "    agent ;", 11) == 0) {
        ck_assert_uint_lt(block_count, BLOCKS_MAX);
        blocks[block_count++].side = from_client ? CLIENT : AGENT;
    } else if (strncmp(line, "    ", 4) == 0) {
        ck_assert_uint_gt(block_count, 0);
        read_bytes(&blocks[block_count - 1], line + 4);
    }
}

static void setup(void)
{
    char path[4096], line[1024];
    const char *source = getenv("SOURCE_DIR");
    snprintf(path, sizeof path, "%s/protocol/PROTOCOL.md", source ? source : ".");
    FILE *file = fopen(path, "r");
    ck_assert_msg(file, "%s cannot be read", path);
    blocks = calloc(BLOCKS_MAX, sizeof *blocks);
    bool inside = false;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "## ", 3) == 0)
            inside = strncmp(line, "## 9.", 5) == 0;
        else if (inside)
            read_line(line);
    }
    fclose(file);
}

static void teardown(void)
{
    free(blocks);
    blocks = NULL;
    block_count = 0;
}

static bool is_preface(const struct block *block)
{
    return block->length == NSP_PREFACE_SIZE;
}

static const uint8_t *payload_of(const struct block *block)
{
    return block->bytes + NSP_FRAME_HEADER_SIZE;
}

static struct nsp_frame frame_of(const struct block *block)
{
    struct nsp_frame frame;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_uint_ge(block->length, NSP_FRAME_HEADER_SIZE);
    ck_assert_msg(nsp_frame_decode(block->bytes, &frame, &err) == 0, "%s", err.msg);
    return frame;
}

START_TEST(both_sides_begin_with_their_preface)
{
    bool seen[2] = {false, false};
    ck_assert_uint_ge(block_count, 12);
    for (unsigned i = 0; i < block_count; i++) {
        uint8_t preface[NSP_PREFACE_SIZE], minor;
        ck_assert_int_eq(is_preface(&blocks[i]), !seen[blocks[i].side]);
        if (!is_preface(&blocks[i]))
            continue;
        seen[blocks[i].side] = true;
        nsp_preface_encode(preface);
        ck_assert_mem_eq(blocks[i].bytes, preface, sizeof preface);
        ck_assert_int_eq(nsp_preface_decode(blocks[i].bytes, &minor, NULL), 0);
    }
    ck_assert(seen[CLIENT] && seen[AGENT]);
}
END_TEST

START_TEST(every_block_is_one_frame_that_encodes_to_the_same_bytes)
{
    for (unsigned i = 0; i < block_count; i++) {
        if (is_preface(&blocks[i]))
            continue;
        uint8_t header[NSP_FRAME_HEADER_SIZE];
        struct nsp_frame frame = frame_of(&blocks[i]);
        ck_assert_uint_eq(blocks[i].length, NSP_FRAME_HEADER_SIZE + frame.length);
        nsp_frame_encode(&frame, header);
        ck_assert_mem_eq(blocks[i].bytes, header, sizeof header);
    }
}
END_TEST

START_TEST(the_comments_say_what_the_headers_hold)
{
    for (unsigned i = 0; i < block_count; i++) {
        char wanted[128];
        if (is_preface(&blocks[i]))
            continue;
        struct nsp_frame frame = frame_of(&blocks[i]);
        snprintf(wanted, sizeof wanted, "; length %u, stream %u\n; %s, channel %u\n; offset %llu\n",
                 frame.length, frame.stream, nsp_frame_type_name(frame.type), frame.channel,
                 (unsigned long long)frame.offset);
        ck_assert_msg(strncmp(blocks[i].comments, wanted, strlen(wanted)) == 0, "%s, not %s",
                      blocks[i].comments, wanted);
    }
}
END_TEST

/* What both sides know of the connection. */
struct replay {
    uint32_t last_stream, open_stream;
    bool greeted;
    char method[64];
    struct nsp_recv_half outputs[NSP_CHANNEL_COUNT];
    struct nsp_send_half sources[NSP_CHANNEL_COUNT];
    char output[64];
    size_t output_length;
};

static struct json_document *parse(const struct block *block, struct nsp_frame frame)
{
    struct json_document *document;
    struct nsp_error err = NSP_ERROR_INIT;
    const char *text = (const char *)payload_of(block);
    ck_assert_msg(nsp_json_check(text, frame.length, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(json_parse(text, frame.length, &document, &err), 0);
    return document;
}

static void replay_request(struct replay *replay, const struct block *block, struct nsp_frame frame)
{
    struct json_document *document = parse(block, frame);
    const struct json *method = json_member(json_root(document), "method");
    ck_assert_int_eq(block->side, CLIENT);
    ck_assert_uint_eq(replay->open_stream, 0);
    ck_assert_uint_eq(frame.stream & 1, 1);
    ck_assert_uint_gt(frame.stream, replay->last_stream);
    ck_assert_ptr_nonnull(method);
    snprintf(replay->method, sizeof replay->method, "%s", json_string(method));
    ck_assert_int_eq(strcmp(replay->method, "hello") == 0, !replay->greeted);
    replay->greeted = true;
    replay->last_stream = replay->open_stream = frame.stream;
    for (int i = 1; i < NSP_CHANNEL_COUNT; i++) {
        nsp_recv_half_init(&replay->outputs[i], 0, NSP_LIMIT_INITIAL_CREDIT);
        nsp_send_half_init(&replay->sources[i], 0, NSP_LIMIT_INITIAL_CREDIT);
    }
    json_free(document);
}

static void assert_offsets(struct replay *replay, const struct json *object)
{
    int64_t out, errors;
    ck_assert(json_int(json_member(object, "stdout"), &out));
    ck_assert(json_int(json_member(object, "stderr"), &errors));
    ck_assert_uint_eq((uint64_t)out, replay->outputs[NSP_CHANNEL_STDOUT].next);
    ck_assert_uint_eq((uint64_t)errors, replay->outputs[NSP_CHANNEL_STDERR].next);
}

static void replay_answer(struct replay *replay, const struct block *block, struct nsp_frame frame)
{
    struct json_document *document = parse(block, frame);
    const struct json *root = json_root(document);
    ck_assert_int_eq(block->side, AGENT);
    ck_assert_uint_eq(frame.stream, replay->open_stream);
    if (frame.type == NSP_FRAME_RESPONSE) {
        ck_assert_ptr_nonnull(json_member(root, "result"));
        if (strcmp(replay->method, "process.start") == 0)
            assert_offsets(replay, json_member(root, "result"));
        replay->open_stream = 0;
    } else if (strcmp(json_string(json_member(root, "method")), "process.drained") == 0) {
        assert_offsets(replay, json_member(root, "params"));
    }
    json_free(document);
}

static void replay_bytes(struct replay *replay, const struct block *block, struct nsp_frame frame)
{
    struct nsp_recv_half *half = &replay->outputs[frame.channel];
    struct nsp_send_half *source = &replay->sources[frame.channel];
    uint64_t skip;
    ck_assert_int_eq(block->side, AGENT);
    ck_assert_uint_eq(frame.stream, replay->open_stream);
    ck_assert_uint_eq(frame.offset, source->next);
    if (frame.type == NSP_FRAME_END) {
        ck_assert_int_eq(nsp_recv_half_end(half, frame.offset, NULL), 0);
        nsp_send_half_end(source);
        return;
    }
    ck_assert_uint_le(frame.length, nsp_send_half_allowance(source));
    nsp_send_half_data(source, frame.length);
    ck_assert_int_eq(nsp_recv_half_data(half, frame.offset, frame.length, &skip, NULL), 0);
    ck_assert_uint_eq(skip, 0);
    nsp_recv_half_consume(half, frame.length);
    ck_assert_uint_lt(replay->output_length + frame.length, sizeof replay->output);
    memcpy(replay->output + replay->output_length, payload_of(block), frame.length);
    replay->output_length += frame.length;
}

START_TEST(the_example_follows_the_rules_from_start_to_end)
{
    struct replay replay = {.last_stream = 0};
    for (unsigned i = 0; i < block_count; i++) {
        if (is_preface(&blocks[i]))
            continue;
        struct nsp_frame frame = frame_of(&blocks[i]);
        if (frame.type == NSP_FRAME_REQUEST)
            replay_request(&replay, &blocks[i], frame);
        else if (frame.type == NSP_FRAME_RESPONSE || frame.type == NSP_FRAME_NOTIFY)
            replay_answer(&replay, &blocks[i], frame);
        else
            replay_bytes(&replay, &blocks[i], frame);
    }
    ck_assert_uint_eq(replay.open_stream, 0);
    ck_assert_str_eq(replay.method, "process.start");
    ck_assert_str_eq(replay.output, "hi\n");
    ck_assert_int_eq(replay.outputs[NSP_CHANNEL_STDOUT].state, NSP_HALF_ENDED);
    ck_assert_int_eq(replay.outputs[NSP_CHANNEL_STDERR].state, NSP_HALF_ENDED);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("protocol_example");
    TCase *tests = tcase_create("example");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, both_sides_begin_with_their_preface);
    tcase_add_test(tests, every_block_is_one_frame_that_encodes_to_the_same_bytes);
    tcase_add_test(tests, the_comments_say_what_the_headers_hold);
    tcase_add_test(tests, the_example_follows_the_rules_from_start_to_end);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
