#include "agent/services/process_wait.h"

#include <stdlib.h>

#include "agent/services/process_record.h"

struct waiting {
    struct call *call;
    struct process *process;
    struct process_observer observer;
    enum process_wait_for what;
};

static void reply_fact(struct call *call, const struct process *process, enum process_wait_for what)
{
    struct reply *reply = reply_new();
    if (what == PROCESS_WAIT_STARTED) {
        reply_text(reply, "id", process->record->id);
        reply_int(reply, "pid", process->record->pid);
        reply_bool(reply, "attached", false);
    } else {
        process_record_exit(reply, process);
    }
    call_reply(call, reply);
}

static bool is_fact(const struct process *process, enum process_wait_for what)
{
    return what == PROCESS_WAIT_STARTED ? process->record->state != TABLE_STARTING
                                        : process_is_exited(process);
}

static void release(struct waiting *waiting)
{
    process_unobserve(waiting->process, &waiting->observer);
    free(waiting);
}

static void on_event(void *arg, struct process *process, enum process_event event)
{
    struct waiting *waiting = arg;
    struct call *call = waiting->call;
    enum process_wait_for what = waiting->what;
    if (event == PROCESS_FAILED) {
        release(waiting);
        call_fail(call, &process->failure);
    } else if (event == PROCESS_FORGOTTEN) {
        struct nsp_error err = NSP_ERROR_INIT;
        nsp_fail_on(&err, NSP_E_NOT_FOUND, process->record->id, "the process was forgotten");
        release(waiting);
        call_fail(call, &err);
    } else if (is_fact(process, what)) {
        release(waiting);
        reply_fact(call, process, what);
    }
}

static void on_gone(void *arg, enum stream_gone why)
{
    (void)why;
    release(arg);
}

static const struct stream_handler handler = {.gone = on_gone};

void process_wait_begin(struct call *call, struct process *process, enum process_wait_for what)
{
    if (is_fact(process, what)) {
        reply_fact(call, process, what);
        return;
    }
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting) {
        struct nsp_error err = NSP_ERROR_INIT;
        nsp_fail_on(&err, NSP_E_EXHAUSTED, "memory", "no memory to wait");
        call_fail(call, &err);
        return;
    }
    *waiting = (struct waiting){.call = call,
                                .process = process,
                                .observer = {.event = on_event, .arg = waiting},
                                .what = what};
    process_observe(process, &waiting->observer);
    call_set_handler(call, &handler, waiting);
}
