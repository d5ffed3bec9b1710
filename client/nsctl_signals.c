#include "client/nsctl_signals.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/nsctl_report.h"
#include "client/writer.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

enum { SUCCESSION = 1000 };

int nsctl_signals_init(struct nsctl_signals *signals, bool catch_them, struct nsp_error *err)
{
    *signals = (struct nsctl_signals){.fd = -1};
    if (!catch_them)
        return 0;
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
        struct sigaction present;
        /* nohup's SIGHUP, or a shell's background SIGINT, stays ignored. */
        if (sigaction(caught[i], NULL, &present) == 0 && present.sa_handler == SIG_IGN)
            continue;
        sigaddset(&set, caught[i]);
    }
    sigprocmask(SIG_BLOCK, &set, &signals->before);
    signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals->fd >= 0)
        return 0;
    int reason = errno;
    sigprocmask(SIG_SETMASK, &signals->before, NULL);
    return nsp_fail_errno(err, NSP_E_SYSTEM, reason, "signalfd", NULL);
}

void nsctl_signals_done(struct nsctl_signals *signals)
{
    for (int i = 0; i < NSCTL_SIGNALS_CALLS; i++)
        nsp_call_free(signals->calls[i]);
    if (signals->fd < 0)
        return;
    close(signals->fd);
    sigprocmask(SIG_SETMASK, &signals->before, NULL);
}

static bool count_interrupt(struct nsctl_signals *signals, uint64_t now)
{
    if (now - signals->interrupted_at > SUCCESSION)
        signals->interrupts = 0;
    signals->interrupted_at = now;
    return ++signals->interrupts >= NSCTL_SIGNALS_DETACH;
}

bool nsctl_signals_read(struct nsctl_signals *signals, uint64_t now)
{
    struct signalfd_siginfo info;
    bool detach = false;
    while (signals->fd >= 0 && read(signals->fd, &info, sizeof info) == sizeof info) {
        nsctl_signals_add(signals, (int)info.ssi_signo);
        if (info.ssi_signo == SIGINT && count_interrupt(signals, now))
            detach = true;
    }
    return detach;
}

void nsctl_signals_add(struct nsctl_signals *signals, int signal)
{
    signals->waiting |= UINT32_C(1) << signal;
}

static int send_one(struct nsp_client *client, const char *id, int signal,
                    struct nsp_call **ret_call, struct nsp_error *err)
{
    AUTO_FREE char *params = NULL;
    struct nsp_writer writer;
    nsp_writer_init(&writer, NSP_LIMIT_JSON_MESSAGE);
    nsp_writer_open(&writer, NULL, '{');
    nsp_writer_text(&writer, "id", id);
    nsp_writer_int(&writer, "signal", signal);
    nsp_writer_text(&writer, "scope", "group");
    nsp_writer_close(&writer, '}');
    if (nsp_writer_take(&writer, &params, err) < 0)
        return -1;
    return nsp_call_new(client, "process.signal", params, 0, 0, ret_call, err);
}

/* A free place for a call; the answers of earlier ones are looked at on the way. */
static struct nsp_call **free_place(struct nsctl_signals *signals)
{
    struct nsp_call **place = NULL;
    for (int i = 0; i < NSCTL_SIGNALS_CALLS; i++) {
        struct nsp_call *call = signals->calls[i];
        if (call && nsp_call_done(call)) {
            struct nsp_error error = NSP_ERROR_INIT;
            const char *json = NULL;
            if (nsp_call_result(call, &json, &error) < 0 && error.code != NSP_E_NOT_FOUND)
                nsctl_report_note("a signal may not have arrived: %s", error.msg);
            nsp_call_free(call);
            signals->calls[i] = NULL;
        }
        if (!signals->calls[i])
            place = &signals->calls[i];
    }
    return place;
}

void nsctl_signals_send(struct nsctl_signals *signals, struct nsp_client *client, const char *id)
{
    struct nsp_call **place = free_place(signals);
    while (signals->waiting && place) {
        struct nsp_error error = NSP_ERROR_INIT;
        int signal = __builtin_ctz(signals->waiting);
        signals->waiting &= signals->waiting - 1;
        if (send_one(client, id, signal, place, &error) < 0)
            nsctl_report_note("%s", error.msg);
        place = free_place(signals);
    }
}
