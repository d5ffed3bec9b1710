/* One process stream of a client, with the fake agent on its other side.
 */
#ifndef TESTS_SUPPORT_FAKE_PROCESS_H
#define TESTS_SUPPORT_FAKE_PROCESS_H

#include <stdint.h>

#include "client/nsclient.h"
#include "protocol/limits.h"
#include "tests/support/fake_agent.h"

enum { OUT = NSP_CHANNEL_STDOUT, ERR = NSP_CHANNEL_STDERR, WINDOW = NSP_LIMIT_INITIAL_CREDIT };

struct fake_process {
    struct fake_agent agent;
    struct nsp_process *process;
    uint32_t stream;
};

/* The one of the running test. */
extern struct fake_process fake_process;
extern const struct nsp_start fake_process_simple;

/* A connected client, as a fixture. */
void fake_process_setup(void);
void fake_process_teardown(void);

/* The client starts a process; the agent has its request. */
void fake_process_begin(const struct nsp_start *start, const struct nsp_attach *attach);
/* ... and has told that it was started. */
void fake_process_begin_started(void);
/* The connection is lost and made again. */
void fake_process_reconnect(void);
/* The client's process.attach, with a fragment of its text that may be NULL. */
void fake_process_reattach(const char *fragment);

/* From the agent: process.started with these offsets, and the response. */
void fake_process_tell_started(uint64_t in, uint64_t out, uint64_t err);
void fake_process_respond(const char *text);

/* The client's next event of these kinds, left where it is. */
struct nsp_event fake_process_next_of(unsigned wanted);
/* A control event, which is taken. */
void fake_process_expect_event(enum nsp_event_kind kind);
/* The bytes that are next on a channel, which are taken. */
void fake_process_expect_data(int channel, uint64_t offset, const char *text);
void fake_process_expect_nothing(unsigned wanted);

#endif
