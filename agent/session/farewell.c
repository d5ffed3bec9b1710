/* Looks every few milliseconds, since this happens once in a life: first until nothing has waited
 * to be sent for some looks in a row (output of processes that have just ended still comes in), at
 * most half of the time; then until the sessions are gone. */
#include "agent/session/farewell.h"

#include <stdlib.h>

#include "agent/base/clock.h"

enum { LOOK_MS = 5, QUIET_LOOKS = 4 };

struct farewell {
    struct session_server *server;
    struct timer *timer;
    uint64_t flush_until_ns, until_ns;
    unsigned quiet_looks;
    bool wait_for_peers, is_said;
    void (*done)(void *arg);
    void *arg;
};

static void on_look(void *arg)
{
    struct farewell *farewell = arg;
    uint64_t now = clock_now_ns();
    if (!farewell->is_said) {
        bool is_quiet = session_server_is_quiet(farewell->server);
        farewell->quiet_looks = is_quiet ? farewell->quiet_looks + 1 : 0;
        if (farewell->quiet_looks == QUIET_LOOKS || now >= farewell->flush_until_ns) {
            session_server_say_goodbye(farewell->server);
            farewell->is_said = true;
        }
    }
    bool is_over =
        farewell->is_said && (farewell->wait_for_peers ? session_server_is_empty(farewell->server)
                                                       : session_server_is_quiet(farewell->server));
    if (is_over || now >= farewell->until_ns ||
        timer_set(farewell->timer, LOOK_MS * CLOCK_NS_PER_MS, NULL) < 0)
        farewell->done(farewell->arg);
}

int farewell_start(struct loop *loop, struct session_server *server, bool wait_for_peers,
                   unsigned limit_ms, void (*done)(void *arg), void *arg,
                   struct farewell **ret_farewell, struct nsp_error *err)
{
    uint64_t now = clock_now_ns();
    struct farewell *farewell = calloc(1, sizeof *farewell);
    if (!farewell)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a farewell");
    *farewell = (struct farewell){
        .server = server,
        .wait_for_peers = wait_for_peers,
        .flush_until_ns = now + limit_ms * CLOCK_NS_PER_MS / 2,
        .until_ns = now + limit_ms * CLOCK_NS_PER_MS,
        .done = done,
        .arg = arg,
    };
    if (timer_new(loop, on_look, farewell, &farewell->timer, err) < 0 ||
        timer_set(farewell->timer, LOOK_MS * CLOCK_NS_PER_MS, err) < 0) {
        farewell_free(farewell);
        return -1;
    }
    *ret_farewell = farewell;
    return 0;
}

void farewell_free(struct farewell *farewell)
{
    if (!farewell)
        return;
    timer_free(farewell->timer);
    free(farewell);
}
