/* One loop: poll, read signals, read the agent's messages, take what has exited, look at the clock.
 * Whatever happens becomes an event; the table of transitions.h says the next state and the action.
 * Actions never change the state and states are changed only in raise_event.
 *
 * Nothing pending: poll has no timeout, and an idle supervisor never wakes. */
#include "init/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/handover/exitlog.h"
#include "agent/handover/storewire.h"
#include "agent/machine/cgroup.h"
#include "agent/machine/sdnotify.h"
#include "agent/machine/sweep.h"
#include "init/fdstore.h"
#include "init/leave.h"
#include "init/reaper.h"
#include "init/respawn.h"
#include "init/setup.h"
#include "init/transitions.h"

enum {
    RESTART_STEP_MS = 50,
    RESTART_READY_MS = 20, /* pause after a short life that got ready */
    STEADY_MS = 10000,     /* a life this long is no failure to start */
    KILL_MS = 2000,        /* after which a process that KILL does not end is left alone */
    STALL_MS = 100,        /* until the next try to record an exit */
    MESSAGES_MAX = 256,
    GRACE_MAX_MS = 3600000, /* whatever the agent says */
};

struct supervisor {
    const struct supervisor_options *options;
    enum state state;
    uint64_t deadline_ns; /* of the state; 0: none */
    bool pid1;
    int signal_fd;
    int exit_status;
    enum power_action power; /* of a guest, at the end */
    uint32_t grace_ms;

    struct exitlog *exits;
    struct respawn respawn;
    struct reaper reaper;
    struct fdstore store;

    pid_t agent;      /* 0: none */
    int agent_socket; /* -1: none */
    uint64_t born_ns; /* the present or last agent */
    int agent_code;   /* exit code of the last one that refused to start */
    bool ever_ready;
    bool is_ready;              /* the present or last agent */
    bool shutdown_due, end_due; /* messages not sent yet */
    unsigned failures;          /* short lives in a row */
    unsigned misfires;          /* lives in a row that never got ready */
    bool exits_due;             /* somebody has exited */
    bool stalled;               /* an exit waits for its place in the log */
    bool messages_due;          /* the agent has sent more than was read */
    bool work_due;              /* some of the workload may have ended */
    bool stop_due;              /* the agent does not start, and that is the end */
};

static void set_timer(struct supervisor *self, uint64_t delay_ms)
{
    self->deadline_ns = clock_now_ns() + delay_ms * CLOCK_NS_PER_MS;
}

/* Actions */

static void close_agent_socket(struct supervisor *self)
{
    if (self->agent_socket >= 0)
        close(self->agent_socket);
    self->agent_socket = -1;
    self->messages_due = false;
    self->shutdown_due = self->end_due = false;
    fdstore_list_stop(&self->store);
}

static void start_agent(struct supervisor *self)
{
    struct nsp_error err;
    self->born_ns = clock_now_ns();
    self->is_ready = false;
    if (respawn_start(&self->respawn, &self->agent, &self->agent_socket, &err) < 0) {
        /* Noticed by the loop as an agent that is not there. */
        log_error(LOG_ERROR, "agent not started", &err);
        return;
    }
    /* There may be exits that the last agent had not read. */
    storewire_kick(self->respawn.wake_fd);
    log_info("agent started", "pid=%d stored=%u", (int)self->agent, self->store.count);
}

/* One that was ready before it died has served somebody: its successor must not keep clients
 * waiting. One that never gets there may be as slow as the limit allows. */
static uint64_t restart_delay(const struct supervisor *self)
{
    uint64_t delay_ms = RESTART_STEP_MS;
    if (self->is_ready)
        return self->failures <= 2 ? 0 : RESTART_READY_MS;
    if (self->misfires <= 2)
        return 0;
    for (unsigned i = 3; i < self->misfires && delay_ms < self->options->restart_max_ms; i++)
        delay_ms *= 2;
    return delay_ms < self->options->restart_max_ms ? delay_ms : self->options->restart_max_ms;
}

static void back_off(struct supervisor *self)
{
    bool steady = clock_now_ns() - self->born_ns >= STEADY_MS * CLOCK_NS_PER_MS;
    self->failures = steady ? 1 : self->failures + 1;
    self->misfires = steady || self->is_ready ? 0 : self->misfires + 1;
    uint64_t delay_ms = restart_delay(self);
    set_timer(self, delay_ms);
    log_info("agent will be restarted", "delay_ms=%llu", (unsigned long long)delay_ms);
    if (self->options->give_up_after > 0 && self->misfires >= self->options->give_up_after) {
        log_write(LOG_ERROR, "the agent does not start", "tries=%u action=%s", self->misfires,
                  power_action_name(self->options->give_up_action));
        self->power = self->options->give_up_action;
        self->exit_status = 1;
        self->stop_due = true;
    }
}

static void kill_agent(struct supervisor *self)
{
    if (self->agent > 0) {
        log_info("agent killed", "pid=%d", (int)self->agent);
        kill(self->agent, SIGKILL);
    }
}

static void kill_agent_now(struct supervisor *self)
{
    kill_agent(self);
    set_timer(self, KILL_MS);
}

static void refuse(struct supervisor *self)
{
    self->exit_status = self->agent_code;
}

static void signal_work(struct supervisor *self, int number)
{
    const struct sweep sweep = {self->exits, self->agent, self->pid1};
    sweep_signal(&sweep, number);
    self->work_due = true;
}

static void send_due(const struct supervisor *self, enum storewire_op op, bool *due)
{
    const struct storewire_message message = {.op = op, .argument = self->options->agent_ms};
    struct nsp_error err;
    if (*due &&
        (storewire_send(self->agent_socket, &message, NULL, &err) == 0 || err.sys_errno != EAGAIN))
        *due = false;
}

static void terminate(struct supervisor *self)
{
    log_info("shutting down", "grace_ms=%u", self->grace_ms);
    sdnotify_send("STOPPING=1", NULL);
    self->shutdown_due = true;
    /* Before anything ends, so that the agent starts nothing in its place. */
    if (self->agent_socket >= 0)
        send_due(self, STOREWIRE_SHUTDOWN, &self->shutdown_due);
    signal_work(self, SIGTERM);
    set_timer(self, self->grace_ms);
}

static void kill_rest(struct supervisor *self)
{
    if (self->options->is_guest)
        cgroup_kill(CGROUP_WORK);
    signal_work(self, SIGKILL);
}

static void kill_all(struct supervisor *self)
{
    kill_rest(self);
    set_timer(self, KILL_MS);
}

static void end_agent(struct supervisor *self)
{
    self->end_due = true;
    set_timer(self, self->options->agent_ms);
}

static void give_up(struct supervisor *self)
{
    log_warn("processes left that cannot be killed", NULL);
    end_agent(self);
}

static void (*const actions[])(struct supervisor *self) = {
    [ACTION_START_AGENT] = start_agent,
    [ACTION_BACK_OFF] = back_off,
    [ACTION_REFUSE] = refuse,
    [ACTION_TERMINATE] = terminate,
    [ACTION_KILL_ALL] = kill_all,
    [ACTION_KILL_REST] = kill_rest,
    [ACTION_GIVE_UP] = give_up,
    [ACTION_END_AGENT] = end_agent,
    [ACTION_KILL_AGENT] = kill_agent_now,
};
_Static_assert(sizeof actions / sizeof actions[0] == ACTION_COUNT, "every action");

static void raise_event(struct supervisor *self, enum event event)
{
    struct transition transition = transitions_after(self->state, event);
    if (transition.next != STATE_NONE && transition.next != self->state) {
        log_debug("supervisor state", "old=%s new=%s", transitions_state_name(self->state),
                  transitions_state_name(transition.next));
        self->state = transition.next;
        self->deadline_ns = 0;
    }
    if (transition.action != ACTION_NONE)
        actions[transition.action](self);
}

/* What the agent knows from the configuration. */
static void configure(struct supervisor *self, uint32_t variant, uint32_t grace_ms)
{
    if (grace_ms <= GRACE_MAX_MS)
        self->grace_ms = grace_ms;
    if (self->options->is_guest && variant != POWER_VARIANT_AUTO && variant < POWER_VARIANT_COUNT)
        leave_prepare((enum power_variant)variant, self->options->has_reset_key);
}

static void stop(struct supervisor *self, enum power_action power, uint32_t grace_ms)
{
    if (self->state < STATE_TERMINATING) {
        self->power = power;
        configure(self, POWER_VARIANT_AUTO, grace_ms);
    }
    raise_event(self, EVENT_STOP);
}

/* Sources of events */

static void handle_message(struct supervisor *self, const struct storewire_message *message,
                           const int *fds)
{
    struct nsp_error err;
    switch (message->op) {
    case STOREWIRE_PUT:
        for (uint32_t i = 0; i < message->count; i++)
            if (fdstore_put(&self->store, message->keys[i], fds[i]) < 0)
                log_warn("no such place in the store", "kind=%u slot=%u", message->keys[i].kind,
                         message->keys[i].slot);
        break;
    case STOREWIRE_DROP:
        for (uint32_t i = 0; i < message->count; i++)
            fdstore_drop(&self->store, message->keys[i]);
        break;
    case STOREWIRE_LIST:
        fdstore_list(&self->store);
        break;
    case STOREWIRE_READY:
        if (!self->ever_ready && sdnotify_send("READY=1", &err) < 0)
            log_error(LOG_WARN, "the service manager was not told", &err);
        configure(self, message->argument, message->grace_ms);
        self->ever_ready = self->is_ready = true;
        raise_event(self, EVENT_READY);
        break;
    case STOREWIRE_SHUTDOWN:
        if (self->state < STATE_TERMINATING) /* only a signal shortens the waiting */
            stop(self,
                 message->argument < POWER_ACTION_COUNT ? (enum power_action)message->argument
                                                        : POWER_OFF,
                 message->grace_ms);
        break;
    default: /* ours to send */
        log_warn("unexpected message of the agent", "op=%u", message->op);
        for (uint32_t i = 0; message->op == STOREWIRE_ITEM && i < message->count; i++)
            close(fds[i]);
        break;
    }
}

/* An agent that lives but has closed its socket can neither be told anything nor keep anything. */
static void lose_socket(struct supervisor *self)
{
    close_agent_socket(self);
    if (self->agent > 0)
        kill(self->agent, SIGKILL);
}

/* The socket is not polled for reading: see handover/storewire.h. */
static void read_messages(struct supervisor *self, unsigned most)
{
    self->messages_due = self->agent_socket >= 0;
    for (unsigned i = 0; i < most && self->agent_socket >= 0; i++) {
        struct storewire_message message;
        struct nsp_error err;
        int fds[STOREWIRE_BATCH];
        int result = storewire_receive(self->agent_socket, &message, fds, &err);
        if (result > 0) {
            handle_message(self, &message, fds);
        } else if (result == 0) {
            lose_socket(self);
        } else if (err.sys_errno == EAGAIN) {
            self->messages_due = false;
            break;
        } else if (err.sys_errno != ECONNRESET) { /* that says: it ended without reading all */
            log_error(LOG_WARN, "message of the agent is lost", &err);
            /* What it had sent besides is read when it has ended. */
            if (err.code == NSP_E_SYSTEM) {
                kill_agent(self);
                break;
            }
        }
    }
}

/* Waits for nothing: what does not fit now is sent when the socket is writable. */
static void send_messages(struct supervisor *self)
{
    if (self->agent_socket >= 0)
        send_due(self, STOREWIRE_SHUTDOWN, &self->shutdown_due);
    if (self->agent_socket >= 0 && !self->shutdown_due)
        send_due(self, STOREWIRE_END, &self->end_due);
    if (self->agent_socket >= 0 && fdstore_list_send(&self->store, self->agent_socket) < 0) {
        /* It waits for the rest, and would for ever. */
        fdstore_list_stop(&self->store);
        kill_agent(self);
    }
}

static void agent_gone(struct supervisor *self, const siginfo_t *info)
{
    bool exited = info->si_code == CLD_EXITED;
    log_info("agent ended", "pid=%d %s=%d", (int)self->agent, exited ? "code" : "signal",
             info->si_status);
    /* The dead agent sends no more, so this ends. Not with end of file, perhaps: a new process that
     * hangs before its execve may still hold the socket. */
    self->agent = 0;
    read_messages(self, UINT32_MAX);
    close_agent_socket(self);
    if (exited && !self->ever_ready && !self->pid1) {
        self->agent_code = info->si_status;
        raise_event(self, EVENT_AGENT_REFUSED);
    } else {
        raise_event(self, EVENT_AGENT_DIED);
    }
}

static void reap(struct supervisor *self)
{
    struct reaper_pass pass;
    reaper_drain(&self->reaper, self->agent, &pass);
    self->exits_due = pass.more;
    if (pass.stalled && !self->stalled)
        log_warn("no place for an exit: a slot was used again before its exit was read", NULL);
    self->stalled = pass.stalled;
    if (pass.agent_gone)
        agent_gone(self, &pass.agent_exit);
    if (pass.reaped > 0) {
        self->work_due = true;
        raise_event(self, EVENT_REAPED);
    }
}

/* At the end. */
static bool awaits_work(const struct supervisor *self)
{
    return self->work_due && (self->state == STATE_TERMINATING || self->state == STATE_KILLING);
}

/* What is dead by now is told to the agent before it hears of the end. */
static void look_for_work(struct supervisor *self)
{
    const struct sweep sweep = {self->exits, self->agent, self->pid1};
    self->work_due = false;
    if (sweep_signal(&sweep, 0) > 0)
        return;
    reap(self);
    if (!self->exits_due)
        raise_event(self, EVENT_WORKLESS);
}

/* Ctrl-Alt-Del is SIGINT, see reboot(2). */
static void handle_signal(struct supervisor *self, uint32_t number)
{
    if (number == SIGCHLD)
        self->exits_due = true;
    else if (number == SIGUSR1)
        log_info("state", "state=%s agent=%d stored=%u exits=%llu orphans=%llu failures=%u",
                 transitions_state_name(self->state), (int)self->agent, self->store.count,
                 (unsigned long long)self->reaper.recorded,
                 (unsigned long long)self->reaper.untracked, self->failures);
    else
        stop(self, number == SIGINT ? POWER_REBOOT : POWER_OFF, UINT32_MAX);
}

static void read_signals(struct supervisor *self)
{
    struct signalfd_siginfo infos[8];
    ssize_t length;
    while ((length = read(self->signal_fd, infos, sizeof infos)) > 0) {
        for (size_t i = 0; i < (size_t)length / sizeof infos[0]; i++)
            handle_signal(self, infos[i].ssi_signo);
    }
}

static void read_kick(const struct supervisor *self)
{
    uint64_t count;
    if (read(self->respawn.kick_fd, &count, sizeof count) < 0)
        log_debug("kick", "errno=%d", errno);
}

/* It could not be started, or was dead when its end was to come. */
static bool awaits_no_agent(const struct supervisor *self)
{
    return self->agent == 0 &&
           (self->state == STATE_STARTING || self->state == STATE_ENDING_AGENT ||
            self->state == STATE_KILLING_AGENT);
}

static void check_clock(struct supervisor *self)
{
    if (awaits_no_agent(self))
        raise_event(self, EVENT_AGENT_DIED);
    if (self->stop_due) {
        self->stop_due = false;
        raise_event(self, EVENT_STOP);
    }
    if (self->deadline_ns == 0 || clock_now_ns() < self->deadline_ns)
        return;
    self->deadline_ns = 0;
    raise_event(self, EVENT_TIMER);
}

/* Rounded up, so that a wake-up is never too early. */
static int poll_timeout(const struct supervisor *self)
{
    int64_t timeout_ms = self->stalled ? STALL_MS : -1;
    if (self->exits_due || self->messages_due || self->stop_due || awaits_no_agent(self) ||
        awaits_work(self))
        return 0;
    if (self->deadline_ns > 0) {
        uint64_t now = clock_now_ns();
        uint64_t left = self->deadline_ns > now ? self->deadline_ns - now : 0;
        int64_t left_ms = (int64_t)((left + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS);
        if (timeout_ms < 0 || left_ms < timeout_ms)
            timeout_ms = left_ms;
    }
    return (int)timeout_ms;
}

static void step(struct supervisor *self)
{
    bool has_mail = self->shutdown_due || self->end_due || self->store.listing;
    short wanted = has_mail ? POLLOUT : 0;
    struct pollfd fds[] = {{.fd = self->signal_fd, .events = POLLIN},
                           {.fd = self->respawn.kick_fd, .events = POLLIN},
                           {.fd = self->agent_socket, .events = wanted}};
    if (poll(fds, 3, poll_timeout(self)) < 0 && errno != EINTR)
        log_write(LOG_ERROR, "poll", "errno=%s", nsp_errno_name(errno));
    if (fds[0].revents)
        read_signals(self);
    if (fds[1].revents)
        read_kick(self);
    /* Exits first: somebody waits for them. At the end the question is also who is left. */
    if (self->exits_due || self->stalled || self->state >= STATE_TERMINATING)
        reap(self);
    read_messages(self, MESSAGES_MAX);
    if (awaits_work(self))
        look_for_work(self);
    check_clock(self);
    send_messages(self);
}

/* Somebody may be following our log. */
static void on_line(void *arg)
{
    storewire_kick(((const struct supervisor *)arg)->respawn.wake_fd);
}

static int prepare(struct supervisor *self, struct nsp_error *err)
{
    int claims_fd, exits_fd, wake_fd, kick_fd;
    self->agent_socket = -1;
    self->state = STATE_BACKING_OFF;
    self->grace_ms = self->options->grace_ms;
    setup_process(self->pid1);
    sdnotify_open();
    if (self->options->is_guest) {
        reboot((int)RB_DISABLE_CAD);
        leave_prepare(self->options->variant, self->options->has_reset_key);
    }
    if (setup_signals(self->pid1, &self->signal_fd, &self->respawn.signal_mask, err) < 0 ||
        setup_binary(self->options->binary_fd, &self->respawn.binary_fd, err) < 0 ||
        storewire_new_kick(&wake_fd, err) < 0 || storewire_new_kick(&kick_fd, err) < 0 ||
        exitlog_create(&self->exits, &claims_fd, &exits_fd, err) < 0)
        return -1;
    self->respawn.argv = self->options->argv;
    self->respawn.claims_fd = claims_fd;
    self->respawn.exits_fd = exits_fd;
    self->respawn.wake_fd = wake_fd;
    self->respawn.kick_fd = kick_fd;
    self->respawn.boot_fd = self->options->boot_fd;
    self->respawn.log_fd = setup_log();
    log_on_line(on_line, self);
    self->reaper = (struct reaper){.log = self->exits, .wake_fd = wake_fd};
    return 0;
}

int supervisor_run(const struct supervisor_options *options)
{
    static struct supervisor supervisor; /* zero pages until they are used; too large for a stack */
    struct supervisor *self = &supervisor;
    struct nsp_error err;

    self->options = options;
    self->pid1 = getpid() == 1;
    if (prepare(self, &err) < 0) {
        log_error(LOG_ERROR, "supervisor not started", &err);
        self->exit_status = 1;
    } else {
        set_timer(self, 0);
        while (self->state != STATE_DONE)
            step(self);
        signal_work(self, SIGKILL); /* what the agent had started when it was told to stop */
        reap(self);                 /* what ended last */
        log_info("done", "exits=%llu orphans=%llu", (unsigned long long)self->reaper.recorded,
                 (unsigned long long)self->reaper.untracked);
    }
    fdstore_close(&self->store); /* full, it leaves no descriptor for the rest */
    if (self->options->is_guest)
        leave_machine(self->power);
    return self->exit_status;
}
