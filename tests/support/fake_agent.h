/* An agent that says exactly what a test tells it to, on a unix socket in the test's own process.
 *
 * Nothing runs at the same time: whenever the fake waits for bytes it lets the client under test
 * work. A wait that takes longer than some seconds fails the test.
 */
#ifndef TESTS_SUPPORT_FAKE_AGENT_H
#define TESTS_SUPPORT_FAKE_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "client/nsclient.h"
#include "protocol/frame.h"

struct fake_agent {
    int listener, fd;
    char path[64];
    char address[96]; /* for nsp_client_new */
    struct nsp_client *client;
    struct nsp_frame frame; /* received last */
    char payload[NSP_FRAME_HEADER_SIZE + 262144 + 1];
};

/* Listens; client is NULL yet. */
void fake_agent_init(struct fake_agent *fake);
void fake_agent_done(struct fake_agent *fake);

/* Lets the client work until the condition holds. */
#define FAKE_UNTIL(fake, condition)                                                                \
    for (int fake_rounds_ = 0; !(condition); fake_rounds_++) {                                     \
        ck_assert_msg(fake_rounds_ < 2000, "never came true: %s", #condition);                     \
        fake_agent_work(fake);                                                                     \
    }
/* One round of the client, of at most some milliseconds. */
void fake_agent_work(struct fake_agent *fake);

/* A client of this agent; no error is expected. */
void fake_agent_open(struct fake_agent *fake, const struct nsp_client_options *options);
/* A call without parameters, and its end: the call is freed. */
struct nsp_call *fake_agent_call(struct fake_agent *fake, const char *method, unsigned flags);
void fake_agent_expect_result(struct fake_agent *fake, struct nsp_call *call, const char *json);
void fake_agent_expect_error(struct fake_agent *fake, struct nsp_call *call,
                             enum nsp_error_code code);
void fake_agent_expect_failed(struct fake_agent *fake, enum nsp_error_code code);

/* Accepts the next connection and takes the client's preface; then sends ours and answers hello. */
void fake_agent_accept(struct fake_agent *fake);
void fake_agent_accept_only(struct fake_agent *fake);
void fake_agent_greet(struct fake_agent *fake);
void fake_agent_drop(struct fake_agent *fake);

/* Reads exactly length bytes from the client. */
void fake_agent_read(struct fake_agent *fake, void *bytes, size_t length);
void fake_agent_write(struct fake_agent *fake, const void *bytes, size_t length);

/* The next frame of the client; it must be of that type. Its payload is then a string too. */
void fake_agent_expect(struct fake_agent *fake, uint8_t type);
/* A REQUEST whose text contains method and, if it is not NULL, the fragment. Returns its stream. */
uint32_t fake_agent_expect_request(struct fake_agent *fake, const char *method,
                                   const char *fragment);
/* Nothing is sent by the client within some milliseconds. */
void fake_agent_expect_silence(struct fake_agent *fake);

void fake_agent_send(struct fake_agent *fake, uint8_t type, uint8_t flags, uint32_t stream,
                     uint8_t channel, uint64_t offset, const void *payload, size_t length);
void fake_agent_json(struct fake_agent *fake, uint8_t type, uint32_t stream, const char *text);
void fake_agent_data(struct fake_agent *fake, uint32_t stream, uint8_t channel, uint64_t offset,
                     const char *text);
/* GAP, CREDIT */
void fake_agent_number(struct fake_agent *fake, uint8_t type, uint32_t stream, uint8_t channel,
                       uint64_t offset, uint64_t number);

#endif
