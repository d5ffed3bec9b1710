#include "tests/support/fake_agent.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ROUNDS = 2000, ROUND_MS = 5, SILENCE_ROUNDS = 6 };

static const char hello_answer[] =
    "{\"result\":{\"protocol\":\"1.0\",\"agent\":\"fake\",\"version\":\"0\",\"boot_id\":\"b\","
    "\"generation\":7,\"limits\":{\"initial_credit\":1048576},\"features\":[],"
    "\"keepalive\":{\"idle_ms\":15000,\"dead_ms\":30000}}}";

void fake_agent_init(struct fake_agent *fake)
{
    memset(fake, 0, sizeof *fake);
    fake->fd = -1;
    snprintf(fake->path, sizeof fake->path, "/tmp/fake-agent-%d-%p", (int)getpid(), (void *)fake);
    snprintf(fake->address, sizeof fake->address, "unix:%s", fake->path);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, fake->path, sizeof fake->path);
    unlink(fake->path);
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fake->listener, 0);
    ck_assert_int_eq(bind(fake->listener, (struct sockaddr *)&un, sizeof un), 0);
    ck_assert_int_eq(listen(fake->listener, 8), 0);
}

void fake_agent_done(struct fake_agent *fake)
{
    nsp_client_free(fake->client);
    fake_agent_drop(fake);
    close(fake->listener);
    unlink(fake->path);
}

void fake_agent_drop(struct fake_agent *fake)
{
    if (fake->fd >= 0)
        close(fake->fd);
    fake->fd = -1;
}

void fake_agent_work(struct fake_agent *fake)
{
    if (!fake->client || nsp_client_state(fake->client) == NSP_CLIENT_FAILED) {
        poll(NULL, 0, 1);
        return;
    }
    (void)nsp_client_step(fake->client, ROUND_MS, NULL);
}

void fake_agent_open(struct fake_agent *fake, const struct nsp_client_options *options)
{
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_client_new(fake->address, options, &fake->client, &err) == 0, "%s", err.msg);
}

struct nsp_call *fake_agent_call(struct fake_agent *fake, const char *method, unsigned flags)
{
    struct nsp_call *call = NULL;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_msg(nsp_call_new(fake->client, method, NULL, 0, flags, &call, &err) == 0, "%s",
                  err.msg);
    return call;
}

void fake_agent_expect_result(struct fake_agent *fake, struct nsp_call *call, const char *json)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const char *result = NULL;
    FAKE_UNTIL(fake, nsp_call_done(call));
    ck_assert_msg(nsp_call_result(call, &result, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(result, json);
    nsp_call_free(call);
}

void fake_agent_expect_error(struct fake_agent *fake, struct nsp_call *call,
                             enum nsp_error_code code)
{
    struct nsp_error err = NSP_ERROR_INIT;
    const char *result = NULL;
    FAKE_UNTIL(fake, nsp_call_done(call));
    ck_assert_int_eq(nsp_call_result(call, &result, &err), -1);
    ck_assert_msg(err.code == code, "%s: %s", nsp_error_name(err.code), err.msg);
    nsp_call_free(call);
}

void fake_agent_expect_failed(struct fake_agent *fake, enum nsp_error_code code)
{
    FAKE_UNTIL(fake, nsp_client_state(fake->client) == NSP_CLIENT_FAILED);
    const struct nsp_error *error = nsp_client_last_error(fake->client);
    ck_assert_msg(error->code == code, "%s: %s", nsp_error_name(error->code), error->msg);
}

void fake_agent_accept_only(struct fake_agent *fake)
{
    ck_assert_int_lt(fake->fd, 0);
    for (int round = 0; fake->fd < 0; round++) {
        ck_assert_msg(round < ROUNDS, "nobody connected");
        fake->fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fake->fd < 0)
            fake_agent_work(fake);
    }
}

void fake_agent_greet(struct fake_agent *fake)
{
    uint8_t preface[NSP_PREFACE_SIZE], minor;
    fake_agent_read(fake, preface, sizeof preface);
    ck_assert_int_eq(nsp_preface_decode(preface, &minor, NULL), 0);
    fake_agent_write(fake, preface, sizeof preface);
    uint32_t stream = fake_agent_expect_request(fake, "hello", NULL);
    fake_agent_json(fake, NSP_FRAME_RESPONSE, stream, hello_answer);
    FAKE_UNTIL(fake, nsp_client_state(fake->client) == NSP_CLIENT_READY);
}

void fake_agent_accept(struct fake_agent *fake)
{
    fake_agent_accept_only(fake);
    fake_agent_greet(fake);
}

void fake_agent_read(struct fake_agent *fake, void *bytes, size_t length)
{
    size_t done = 0;
    for (int round = 0; done < length; round++) {
        ck_assert_msg(round < ROUNDS, "only %zu of %zu bytes came", done, length);
        ssize_t n = recv(fake->fd, (char *)bytes + done, length - done, MSG_DONTWAIT);
        ck_assert_msg(n != 0, "the client closed the connection");
        if (n > 0)
            done += (size_t)n;
        else
            fake_agent_work(fake);
    }
}

void fake_agent_write(struct fake_agent *fake, const void *bytes, size_t length)
{
    size_t done = 0;
    for (int round = 0; done < length; round++) {
        ck_assert_msg(round < ROUNDS, "the client does not read");
        ssize_t n =
            send(fake->fd, (const char *)bytes + done, length - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else
            fake_agent_work(fake);
    }
}

void fake_agent_expect(struct fake_agent *fake, uint8_t type)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    fake_agent_read(fake, header, sizeof header);
    ck_assert_int_eq(nsp_frame_decode(header, &fake->frame, NULL), 0);
    fake_agent_read(fake, fake->payload, fake->frame.length);
    fake->payload[fake->frame.length] = '\0';
    ck_assert_msg(fake->frame.type == type, "%s came instead of %s: %.200s",
                  nsp_frame_type_name(fake->frame.type), nsp_frame_type_name(type), fake->payload);
}

uint32_t fake_agent_expect_request(struct fake_agent *fake, const char *method,
                                   const char *fragment)
{
    char head[128];
    fake_agent_expect(fake, NSP_FRAME_REQUEST);
    snprintf(head, sizeof head, "{\"method\":\"%s\",", method);
    ck_assert_msg(strncmp(fake->payload, head, strlen(head)) == 0, "not %s: %.300s", method,
                  fake->payload);
    if (fragment)
        ck_assert_msg(strstr(fake->payload, fragment) != NULL, "%s is not in %.400s", fragment,
                      fake->payload);
    return fake->frame.stream;
}

void fake_agent_expect_silence(struct fake_agent *fake)
{
    char byte;
    for (int round = 0; round < SILENCE_ROUNDS; round++) {
        fake_agent_work(fake);
        ssize_t n = recv(fake->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        ck_assert_msg(n < 0 && errno == EAGAIN, "the client sent something or closed");
    }
}

void fake_agent_send(struct fake_agent *fake, uint8_t type, uint8_t flags, uint32_t stream,
                     uint8_t channel, uint64_t offset, const void *payload, size_t length)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    struct nsp_frame frame = {.length = (uint32_t)length,
                              .stream = stream,
                              .type = type,
                              .flags = flags,
                              .channel = channel,
                              .offset = offset};
    nsp_frame_encode(&frame, header);
    fake_agent_write(fake, header, sizeof header);
    fake_agent_write(fake, payload, length);
}

void fake_agent_json(struct fake_agent *fake, uint8_t type, uint32_t stream, const char *text)
{
    fake_agent_send(fake, type, 0, stream, 0, 0, text, strlen(text));
}

void fake_agent_data(struct fake_agent *fake, uint32_t stream, uint8_t channel, uint64_t offset,
                     const char *text)
{
    fake_agent_send(fake, NSP_FRAME_DATA, 0, stream, channel, offset, text, strlen(text));
}

void fake_agent_number(struct fake_agent *fake, uint8_t type, uint32_t stream, uint8_t channel,
                       uint64_t offset, uint64_t number)
{
    uint8_t payload[8];
    nsp_frame_put_u64(payload, number);
    fake_agent_send(fake, type, 0, stream, channel, offset, payload, sizeof payload);
}
