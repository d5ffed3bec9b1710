#include "tests/support/fake_process.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

struct fake_process fake_process;

void fake_process_setup(void)
{
    fake_process.process = NULL;
    fake_agent_init(&fake_process.agent);
    ck_assert_int_eq(
        nsp_client_new(fake_process.agent.address, NULL, &fake_process.agent.client, NULL), 0);
    fake_agent_accept(&fake_process.agent);
}

void fake_process_teardown(void)
{
    nsp_process_free(fake_process.process);
    fake_agent_done(&fake_process.agent);
}

void fake_process_reconnect(void)
{
    fake_agent_drop(&fake_process.agent);
    fake_agent_accept(&fake_process.agent);
}

void fake_process_begin(const struct nsp_start *start, const struct nsp_attach *attach)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_process_start(fake_process.agent.client, start, attach, &fake_process.process,
                                    &err) == 0,
                  "%s", err.msg);
    fake_process.stream =
        fake_agent_expect_request(&fake_process.agent, "process.start", "\"attach\":true");
}

const struct nsp_start fake_process_simple = {.argv = (const char *const[]){"prog", "arg", NULL},
                                              .stdin_pipe = true};

void fake_process_tell_started(uint64_t in, uint64_t out, uint64_t err)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"method\":\"process.started\",\"params\":{\"process\":\"p1\",\"pid\":42,"
             "\"running\":true,"
             "\"argv0\":\"prog\",\"stdin_offset\":%llu,\"stdout_from\":%llu,\"stderr_from\":%llu,"
             "\"merged\":false}}",
             (unsigned long long)in, (unsigned long long)out, (unsigned long long)err);
    fake_agent_json(&fake_process.agent, NSP_FRAME_NOTIFY, fake_process.stream, text);
}

struct nsp_event fake_process_next_of(unsigned wanted)
{
    struct nsp_event event;
    FAKE_UNTIL(&fake_process.agent, nsp_process_peek(fake_process.process, wanted, &event));
    return event;
}

void fake_process_expect_event(enum nsp_event_kind kind)
{
    struct nsp_event event = fake_process_next_of(NSP_PEEK_CONTROL);
    ck_assert_int_eq(event.kind, kind);
    nsp_process_take(fake_process.process, &event, 0);
}

void fake_process_expect_data(int channel, uint64_t offset, const char *text)
{
    for (size_t length = strlen(text); length > 0;) {
        struct nsp_event event = fake_process_next_of(1u << channel);
        ck_assert_int_eq(event.kind, NSP_EVENT_DATA);
        ck_assert_int_eq(event.channel, channel);
        ck_assert_uint_eq(event.offset, offset);
        size_t piece = event.length < length ? event.length : length;
        ck_assert_mem_eq(event.data, text, piece);
        nsp_process_take(fake_process.process, &event, piece);
        text += piece;
        offset += piece;
        length -= piece;
    }
}

void fake_process_expect_nothing(unsigned wanted)
{
    struct nsp_event event;
    for (int i = 0; i < 4; i++) {
        fake_agent_work(&fake_process.agent);
        ck_assert(!nsp_process_peek(fake_process.process, wanted, &event));
    }
}

void fake_process_begin_started(void)
{
    fake_process_begin(&fake_process_simple, NULL);
    fake_process_tell_started(0, 0, 0);
    fake_process_expect_event(NSP_EVENT_STARTED);
}

void fake_process_respond(const char *text)
{
    fake_agent_json(&fake_process.agent, NSP_FRAME_RESPONSE, fake_process.stream, text);
}

void fake_process_reattach(const char *fragment)
{
    fake_process.stream =
        fake_agent_expect_request(&fake_process.agent, "process.attach", fragment);
}
